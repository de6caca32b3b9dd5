using System.Text;

namespace LocalLlm.Tests;

/// <summary>Log probabilities from the engine over the model that ships.</summary>
public sealed class LogprobTests
{
    private static readonly GenerationRequest Request = new()
    {
        Turns = [new ChatTurn(ChatRole.User, "Hello, how are you?")],
        Sampling = SamplingOptions.Greedy,
        MaxTokens = 24,
        TopLogprobs = 5,
    };

    [Fact]
    public async Task Generate_TopLogprobs_ComeWithEveryTokenAndSpellTheText()
    {
        await using var engine = await LoadAsync();

        var (updates, text, end) = await ReadAsync(engine, Request);

        var tokens = updates.OfType<LogprobUpdate>().Select(u => u.Token).ToList();
        // The token that ends the turn has no log probability.
        tokens.Count.ShouldBe(end.Usage.CompletionTokens - (end.FinishReason == FinishReason.Stop ? 1 : 0));
        Encoding.UTF8.GetString([.. tokens.SelectMany(t => t.Utf8Bytes.ToArray())]).Trim().ShouldBe(text.Trim());
        tokens.ShouldAllBe(t => t.Top.Count == 5 && t.Logprob <= 0);
        foreach (var token in tokens)
        {
            // Greedy: the sampled token is the first of the alternatives.
            (token.Top[0].TokenId, token.Top[0].Logprob).ShouldBe((token.TokenId, token.Logprob));
            token.Top.Select(t => t.Logprob).ShouldBeInOrder(SortDirection.Descending);
            token.Top.Sum(t => Math.Exp(t.Logprob)).ShouldBeInRange(0, 1 + 1e-9);
        }
    }

    [Fact]
    public async Task Generate_Logprobs_AreThoseBeforeTemperatureAndPenalties()
    {
        await using var engine = await LoadAsync();

        var plain = await ReadAsync(engine, Request with { MaxTokens = 1 });
        var hot = await ReadAsync(engine, Request with
        {
            MaxTokens = 1,
            Sampling = new SamplingOptions { Temperature = 3, RepetitionPenalty = 1.7f, TopK = 3, Seed = 11 },
        });

        hot.Updates.OfType<LogprobUpdate>().Single().Token.Top.Select(t => (t.TokenId, Math.Round(t.Logprob, 4)))
            .ShouldBe(plain.Updates.OfType<LogprobUpdate>().Single().Token.Top.Select(t => (t.TokenId, Math.Round(t.Logprob, 4))));
    }

    [Fact]
    public async Task Generate_NoLogprobsAskedFor_NoneComeAndTheTextIsTheSame()
    {
        await using var engine = await LoadAsync();

        var with = await ReadAsync(engine, Request);
        var without = await ReadAsync(engine, Request with { TopLogprobs = null });

        without.Updates.OfType<LogprobUpdate>().ShouldBeEmpty();
        without.Text.ShouldBe(with.Text);
    }

    [Fact]
    public async Task Generate_TopZero_TellsTheSampledTokenOnly()
    {
        await using var engine = await LoadAsync();

        var (updates, _, _) = await ReadAsync(engine, Request with { TopLogprobs = 0, MaxTokens = 3 });

        updates.OfType<LogprobUpdate>().ShouldNotBeEmpty();
        updates.OfType<LogprobUpdate>().ShouldAllBe(u => u.Token.Top.Count == 0 && u.Token.Logprob <= 0);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(21)]
    public async Task Generate_TopLogprobsOutOfRange_Throws(int top)
    {
        await using var engine = await LoadAsync();

        var error = await Should.ThrowAsync<ArgumentException>(() => ReadAsync(engine, Request with { TopLogprobs = top }));

        error.Message.ShouldContain($"TopLogprobs is {top}, must be 0 to 20");
    }

    private static Task<LlmEngine> LoadAsync() => LlmEngine.LoadAsync(
        new LlmEngineOptions { ModelPath = DemoModelFolder.Require(), Threads = 1 }, cancellationToken: TestContext.Current.CancellationToken);

    private static async Task<(List<GenerationUpdate> Updates, string Text, GenerationCompleted End)> ReadAsync(ILlmEngine engine, GenerationRequest request)
    {
        var updates = new List<GenerationUpdate>();
        await foreach (var update in engine.GenerateAsync(request, TestContext.Current.CancellationToken))
            updates.Add(update);
        return (updates, string.Concat(updates.OfType<TextDelta>().Select(d => d.Text)), updates[^1].ShouldBeOfType<GenerationCompleted>());
    }
}
