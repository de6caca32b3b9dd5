namespace LocalLlm.Tests;

/// <summary>The engine over the shipped model, by conversations that go on.</summary>
public sealed class ConversationEngineTests
{
    // Hot, so that the model writes words in tokens that the tokenizer would not choose.
    private static readonly SamplingOptions Hot = new() { Temperature = 3f, Seed = 7 };

    [Theory]
    [InlineData(KvCacheKind.Dense)]
    [InlineData(KvCacheKind.StreamingQuant)]
    [InlineData(KvCacheKind.HuggingFaceKivi)]
    public async Task Generate_AConversationThatGoesOn_IsTheSameWithAndWithoutRetainedCaches(KvCacheKind kind)
    {
        await using var reusing = await LoadAsync(kind, retained: 4);
        await using var cold = await LoadAsync(kind, retained: 0);
        var turns = new List<ChatTurn>();
        for (var turn = 0; turn < 6; turn++)
        {
            turns.Add(new ChatTurn(ChatRole.User, $"Please tell me about number {turn}, and about its neighbours."));
            var request = new GenerationRequest { Turns = [.. turns], MaxTokens = 60, Sampling = Hot with { Seed = turn } };
            var (text, end) = await reusing.ReadAsync(request);
            var (expected, coldEnd) = await cold.ReadAsync(request);

            text.ShouldBe(expected);
            coldEnd.Usage.CachedPromptTokens.ShouldBe(0);
            end.Usage.PromptTokens.ShouldBe(coldEnd.Usage.PromptTokens);
            turns.Add(new ChatTurn(ChatRole.Assistant, text));
        }
    }

    [Fact]
    public async Task Generate_AnAnswerInUnusualTokens_IsReusedWhole()
    {
        await using var engine = await LoadAsync(KvCacheKind.StreamingQuant, retained: 4);
        var turns = new List<ChatTurn>();
        var (held, whole, ended) = (0, 0, 0);
        for (var turn = 0; turn < 12; turn++)
        {
            turns.Add(new ChatTurn(ChatRole.User, $"Please tell me about number {turn}."));
            var (text, end) = await engine.ReadAsync(new GenerationRequest { Turns = [.. turns], MaxTokens = 300, Sampling = Hot with { Seed = 100 + turn } });
            if (held > 0)
            {
                ended++;
                if (end.Usage.CachedPromptTokens == held)
                    whole++;
            }

            turns.Add(new ChatTurn(ChatRole.Assistant, text));
            // The last token, which ended the answer, was sampled but not run.
            held = end.FinishReason == FinishReason.Stop ? end.Usage.PromptTokens + end.Usage.CompletionTokens - 1 : 0;
        }

        // The others ended in a token with which the template does not end an answer, so they come back as the template writes them.
        ended.ShouldBeGreaterThan(4);
        whole.ShouldBeGreaterThan(2);
    }

    private static Task<LlmEngine> LoadAsync(KvCacheKind kind, int retained) => LlmEngine.LoadAsync(new LlmEngineOptions
    {
        ModelPath = RepositoryRoot.Require("samples", "DemoModel", "model"),
        KvCache = new KvCacheOptions { Kind = kind, RetainedConversations = retained },
        Threads = 1,
    });
}
