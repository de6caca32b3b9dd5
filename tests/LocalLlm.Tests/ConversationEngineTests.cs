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

    [Theory]
    [InlineData(KvCacheKind.Dense)]
    [InlineData(KvCacheKind.StreamingQuant)]
    [InlineData(KvCacheKind.HuggingFaceKivi)]
    public async Task Generate_AfterARestartWithASpillDirectory_GoesOnAsIfNothingHadHappened(KvCacheKind kind)
    {
        var directory = Directory.CreateTempSubdirectory("spill-engine-").FullName;
        try
        {
            var turns = LongConversation(30);
            int held;
            string expected;
            await using (var engine = await LoadAsync(kind, retained: 4, directory))
            {
                var (text, end) = await engine.ReadAsync(new GenerationRequest { Turns = turns, MaxTokens = 40, Sampling = SamplingOptions.Greedy });
                turns = [.. turns, new ChatTurn(ChatRole.Assistant, text), new ChatTurn(ChatRole.User, "And what was the first number?")];
                held = end.Usage.PromptTokens;
                (expected, _) = await engine.ReadAsync(new GenerationRequest { Turns = turns, MaxTokens = 40, Sampling = SamplingOptions.Greedy });
            }

            Directory.GetFiles(directory).ShouldNotBeEmpty();
            await using var restarted = await LoadAsync(kind, retained: 4, directory);
            var (again, usage) = await restarted.ReadAsync(new GenerationRequest { Turns = turns, MaxTokens = 40, Sampling = SamplingOptions.Greedy });
            again.ShouldBe(expected);
            usage.Usage.CachedPromptTokens.ShouldBeGreaterThanOrEqualTo(held);

            // Another format of cache, or damage: a miss, and the same answer as ever.
            await using var other = await LoadAsync(kind, retained: 4, directory, window: 128);
            (await other.ReadAsync(new GenerationRequest { Turns = turns, MaxTokens = 4 })).End.Usage.CachedPromptTokens.ShouldBe(0);
            await restarted.DisposeAsync();
            foreach (var file in Directory.GetFiles(directory))
            {
                var bytes = await File.ReadAllBytesAsync(file, TestContext.Current.CancellationToken);
                bytes[bytes.Length - 1000] ^= 1;
                await File.WriteAllBytesAsync(file, bytes, TestContext.Current.CancellationToken);
            }

            await using var damaged = await LoadAsync(kind, retained: 4, directory);
            var (computed, anew) = await damaged.ReadAsync(new GenerationRequest { Turns = turns, MaxTokens = 40, Sampling = SamplingOptions.Greedy });
            computed.ShouldBe(expected);
            anew.Usage.CachedPromptTokens.ShouldBe(0);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public async Task Generate_MoreConversationsThanAreRetained_ComeBackFromTheSpillDirectory()
    {
        var directory = Directory.CreateTempSubdirectory("spill-engine-").FullName;
        try
        {
            await using var engine = await LoadAsync(KvCacheKind.StreamingQuant, retained: 1, directory);
            await using var plain = await LoadAsync(KvCacheKind.StreamingQuant, retained: 8);
            var conversations = Enumerable.Range(0, 4).Select(i => LongConversation(12, first: 100 * i)).ToArray();
            for (var turn = 0; turn < 3; turn++)
            {
                var held = turn == 0 ? 0 : 200;
                for (var i = 0; i < conversations.Length; i++)
                {
                    var request = new GenerationRequest { Turns = conversations[i], MaxTokens = 30, Sampling = SamplingOptions.Greedy };
                    var (text, end) = await engine.ReadAsync(request);
                    text.ShouldBe((await plain.ReadAsync(request)).Text);
                    end.Usage.CachedPromptTokens.ShouldBeGreaterThanOrEqualTo(held);
                    conversations[i] = [.. conversations[i], new ChatTurn(ChatRole.Assistant, text), new ChatTurn(ChatRole.User, $"And number {turn}?")];
                }
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public async Task LoadAsync_ASpillDirectoryThatCannotBeMade_IsAClearError()
    {
        var file = Path.GetTempFileName();
        try
        {
            var error = await Should.ThrowAsync<LocalLlmException>(() => LoadAsync(KvCacheKind.Dense, retained: 1, Path.Combine(file, "below")));
            error.Message.ShouldContain("KvCache.SpillDirectory");
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static ChatTurn[] LongConversation(int turns, int first = 0) =>
    [
        .. Enumerable.Range(first, turns).SelectMany(i => (ChatTurn[])
            [new ChatTurn(ChatRole.User, $"Please remember number {i}, it is {i * 7919 % 1000}."), new ChatTurn(ChatRole.Assistant, $"I will remember number {i}.")]),
        new ChatTurn(ChatRole.User, $"What is number {first + 3}?"),
    ];

    private static Task<LlmEngine> LoadAsync(KvCacheKind kind, int retained, string? spillDirectory = null, int window = 64) => LlmEngine.LoadAsync(new LlmEngineOptions
    {
        ModelPath = RepositoryRoot.Require("samples", "DemoModel", "model"),
        KvCache = new KvCacheOptions { Kind = kind, RetainedConversations = retained, SpillDirectory = spillDirectory, Window = window },
        Threads = 1,
    });
}
