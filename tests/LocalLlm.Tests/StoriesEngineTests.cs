using System.Text.Json;
using LocalLlm.Tokenization;

namespace LocalLlm.Tests;

/// <summary>The engine over a real trained model, by raw prompts.</summary>
public sealed class StoriesEngineTests
{
    [Fact]
    public async Task Generate_Greedy_EqualsTheGoldenIds()
    {
        var (golden, tokenizer) = await GoldenAsync();
        await using var engine = await LoadAsync(KvCacheKind.Dense);

        var (text, end) = await engine.ReadAsync(new GenerationRequest { Prompt = "", MaxTokens = golden.Length - 1 });

        text.TrimStart().ShouldBe(tokenizer.Decode(golden));
        (end.Usage.PromptTokens, end.Usage.CompletionTokens).ShouldBe((1, golden.Length - 1));
        end.Usage.KvBytesFp16.ShouldBe(engine.Model.KvBytesPerTokenFp16 * (golden.Length - 1));
    }

    [Fact]
    public async Task Generate_LogQuant_EqualsTheGoldenIdsWhileAllTokensAreRows()
    {
        var (golden, tokenizer) = await GoldenAsync();
        await using var engine = await LoadAsync(KvCacheKind.LogQuant);

        var (text, _) = await engine.ReadAsync(new GenerationRequest { Prompt = "", MaxTokens = 3 * 32 - 1 });

        text.TrimStart().ShouldBe(tokenizer.Decode(golden.AsSpan(0, 3 * 32)));
    }

    [Theory]
    [InlineData(KvCacheKind.Dense)]
    [InlineData(KvCacheKind.LogQuant)]
    [InlineData(KvCacheKind.PartialLogQuant)]
    [InlineData(KvCacheKind.StreamingQuant)]
    [InlineData(KvCacheKind.Kivi)]
    [InlineData(KvCacheKind.LogEvict)]
    public async Task Generate_ContinuedConversation_EqualsACompleteRecomputation(KvCacheKind kind)
    {
        await using var engine = await LoadAsync(kind);
        var opening = string.Concat(Enumerable.Repeat("Once upon a time there was a little girl named Lily. She liked to play in the park. ", 8));
        var request = new GenerationRequest { Prompt = opening, MaxTokens = 40, Sampling = SamplingOptions.Greedy };
        var (answer, first) = await engine.ReadAsync(request);
        first.Usage.CachedPromptTokens.ShouldBe(0);
        var followUp = request with { Prompt = opening + answer + " One day Tom saw a big dog.", MaxTokens = 60 };

        var (warm, end) = await engine.ReadAsync(followUp);
        await using var fresh = await LoadAsync(kind);
        var (cold, coldEnd) = await fresh.ReadAsync(followUp);

        warm.ShouldBe(cold);
        coldEnd.Usage.CachedPromptTokens.ShouldBe(0);
        end.Usage.CachedPromptTokens.ShouldBeGreaterThan(first.Usage.PromptTokens);
    }

    [Fact]
    public async Task Generate_SeveralAtATime_EachEqualsItsSoloRun()
    {
        await using var engine = await LoadAsync(KvCacheKind.LogQuant);
        var requests = new[] { "Tom", "Lily and the dog", "The sun was", "One day, a bird", "Mom said" }
            .Select(p => new GenerationRequest { Prompt = p, MaxTokens = 120, Sampling = SamplingOptions.Greedy }).ToList();
        var solo = new List<string>();
        foreach (var request in requests)
        {
            await using var own = await LoadAsync(KvCacheKind.LogQuant);
            solo.Add((await own.ReadAsync(request)).Text);
        }

        var together = await Task.WhenAll(requests.Select(async r => (await engine.ReadAsync(r)).Text));

        together.ShouldBe(solo);
    }

    [Fact]
    public async Task Generate_SameSeed_RepeatsTheText()
    {
        await using var engine = await LoadAsync(KvCacheKind.LogQuant);
        var request = new GenerationRequest { Prompt = "Once", MaxTokens = 60, Sampling = new SamplingOptions { Temperature = 1, Seed = 5 } };

        var (first, _) = await engine.ReadAsync(request);
        var (second, _) = await engine.ReadAsync(request);
        var (other, _) = await engine.ReadAsync(request with { Sampling = new SamplingOptions { Temperature = 1, Seed = 6 } });

        second.ShouldBe(first);
        other.ShouldNotBe(first);
    }

    [Fact]
    public async Task Generate_PromptAsLongAsTheContext_IsAnErrorWithTheFigures()
    {
        await using var engine = await LoadAsync(KvCacheKind.LogQuant);

        var error = await Should.ThrowAsync<ContextLengthException>(() =>
            engine.ReadAsync(new GenerationRequest { Prompt = string.Concat(Enumerable.Repeat("a cat ", 400)) }));

        error.ContextTokens.ShouldBe(512);
        error.PromptTokens.ShouldBeGreaterThanOrEqualTo(512);
    }

    [Fact]
    public async Task Generate_ToTheContextsEnd_EndsWithLength()
    {
        await using var engine = await LoadAsync(KvCacheKind.LogQuant, o => o.ContextTokens = 64);

        var (_, end) = await engine.ReadAsync(new GenerationRequest { Prompt = "Once upon a time", Sampling = SamplingOptions.Greedy });

        end.FinishReason.ShouldBe(FinishReason.Length);
        (end.Usage.PromptTokens + end.Usage.CompletionTokens).ShouldBe(64);
    }

    [Fact]
    public async Task Generate_ReaderStopsReading_TheSequenceIsDropped()
    {
        await using var engine = await LoadAsync(KvCacheKind.LogQuant, o => o.MaxSequences = 1);

        await foreach (var update in engine.GenerateAsync(new GenerationRequest { Prompt = "Once" }))
            break;

        // The one place is free again.
        (await engine.ReadAsync(new GenerationRequest { Prompt = "Once", MaxTokens = 4 })).End.Usage.CompletionTokens.ShouldBe(4);
    }

    [Fact]
    public async Task Generate_CancelledBeforehand_NeverStarts()
    {
        await using var engine = await LoadAsync(KvCacheKind.LogQuant);
        using var cancelled = new CancellationTokenSource();
        await cancelled.CancelAsync();

        await Should.ThrowAsync<OperationCanceledException>(() => engine.ReadAsync(new GenerationRequest { Prompt = "Once" }, cancelled.Token));
    }

    [Fact]
    public async Task Dispose_ThenGenerate_IsAnError()
    {
        var engine = await LoadAsync(KvCacheKind.LogQuant);
        await engine.DisposeAsync();
        await engine.DisposeAsync();

        await Should.ThrowAsync<ObjectDisposedException>(() => engine.ReadAsync(new GenerationRequest { Prompt = "Once" }));
    }

    [Fact]
    public async Task Generate_TurnsWithoutATemplate_SaysWhatToAdd()
    {
        await using var engine = await LoadAsync(KvCacheKind.LogQuant);

        var error = await Should.ThrowAsync<ChatTemplateException>(() => engine.ReadAsync(new GenerationRequest { Turns = [new ChatTurn(ChatRole.User, "Hi")] }));

        error.Message.ShouldContain("chat_template");
    }

    private static async Task<(int[] Ids, TextTokenizer Tokenizer)> GoldenAsync()
    {
        var folder = SharedData.Require("stories260K");
        using var golden = JsonDocument.Parse(await File.ReadAllTextAsync(Path.Combine(folder, "golden.json")));
        int[] ids = [.. golden.RootElement.GetProperty("greedy_from_bos").GetProperty("ids").EnumerateArray().Select(e => e.GetInt32())];
        return (ids, TextTokenizer.Load(folder));
    }

    private static Task<LlmEngine> LoadAsync(KvCacheKind kind, Action<LlmEngineOptions>? configure = null)
    {
        var options = new LlmEngineOptions { ModelPath = SharedData.Require("stories260K"), Threads = 1, KvCache = new KvCacheOptions { Kind = kind, Window = 32 } };
        configure?.Invoke(options);
        return LlmEngine.LoadAsync(options);
    }
}
