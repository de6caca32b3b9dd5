using System.Text.Json.Nodes;
using LocalLlm.Tests.Loading;
using LocalLlm.Tests.Models;
using LocalLlm.Tests.Tokenization;
using LocalLlm.Tokenization;

namespace LocalLlm.Tests;

/// <summary>Embeddings of random models against the double-precision oracle, from the folder to the vector.</summary>
public sealed class EmbeddingTests : IDisposable
{
    private const double Tolerance = 1e-4;

    private static readonly string[] Texts =
        ["hello world", "a", "Embeddings of a longer text, which takes more than one step of eight tokens.", "12 <|im_end|>", "hello world"];

    private readonly CheckpointWriter writer = new();

    public void Dispose() => writer.Dispose();

    /// <summary>The names of architecture and tensors that embedding models come with, and whole models that embed all the same.</summary>
    public static TheoryData<string, bool> Folders => new()
    {
        { "Qwen3ForCausalLM", true },
        { "Qwen3Model", true },
        { "Qwen3Model", false },
        { "LlamaForCausalLM", false },
        { "MistralModel", true },
        { "Qwen2Model", true },
        { "Phi3ForCausalLM", false },
    };

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task Embed_LastTokenAndMean_EqualTheOracle(string architecture, bool withoutPrefix)
    {
        var reference = WriteModel(architecture, withoutPrefix);
        await using var engine = await LoadAsync();
        var tokenizer = TextTokenizer.Load(writer.FolderPath);

        var last = await engine.EmbedAsync(Texts, new EmbeddingOptions { Pooling = EmbeddingPooling.LastToken, Normalize = false });
        var mean = await engine.EmbedAsync(Texts, new EmbeddingOptions { Pooling = EmbeddingPooling.Mean, Normalize = false });

        engine.EmbeddingDimensions.ShouldBe(32);
        var ids = Texts.Select(tokenizer.Encode).ToList();
        last.PromptTokens.ShouldBe(ids.Sum(i => i.Length));
        ids.ShouldContain(i => i.Length > 3 * 8);
        for (var i = 0; i < Texts.Length; i++)
        {
            var states = reference.Hidden(ids[i]);
            Error(last.Vectors[i], states[^1]).ShouldBeLessThan(Tolerance, $"last token of text {i}");
            Error(mean.Vectors[i], [.. Enumerable.Range(0, 32).Select(c => states.Average(s => s[c]))]).ShouldBeLessThan(Tolerance, $"mean of text {i}");
        }
    }

    [Fact]
    public async Task Embed_TextsTogether_EqualThoseAlone()
    {
        WriteModel("Qwen3ForCausalLM", withoutPrefix: true);
        await using var engine = await LoadAsync();
        var options = new EmbeddingOptions { Pooling = EmbeddingPooling.Mean };

        var together = (await engine.EmbedAsync(Texts, options)).Vectors;

        for (var i = 0; i < Texts.Length; i++)
        {
            var alone = (await engine.EmbedAsync([Texts[i]], options)).Vectors.Single();
            Error(together[i], Doubles(alone)).ShouldBeLessThan(1e-5);
            Dot(together[i], together[i]).ShouldBe(1, 1e-5);
        }
        Error(together[^1], Doubles(together[0])).ShouldBeLessThan(1e-5);
        Dot(together[0], together[2]).ShouldBeLessThan(0.999);
    }

    [Fact]
    public async Task Embed_Dimensions_AreTheFirstNumbersWithLengthOne()
    {
        WriteModel("Qwen3ForCausalLM", withoutPrefix: true);
        await using var engine = await LoadAsync();

        var all = Doubles((await engine.EmbedAsync(Texts, new EmbeddingOptions { Normalize = false })).Vectors[0]);
        var first = (await engine.EmbedAsync(Texts, new EmbeddingOptions { Dimensions = 5 })).Vectors[0];

        var length = Math.Sqrt(all[..5].Sum(x => x * x));
        Error(first, [.. all[..5].Select(x => x / length)]).ShouldBeLessThan(1e-5);
    }

    [Fact]
    public async Task Embed_FolderSaysMeanAndHasPrompts_FollowsIt()
    {
        var reference = WriteModel("Qwen3ForCausalLM", withoutPrefix: true);
        Write("modules.json", """
            [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
             {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]
            """);
        Write("1_Pooling/config.json", """{"word_embedding_dimension": 32, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}""");
        Write("config_sentence_transformers.json", """{"prompts": {"query": "ask: ", "document": ""}, "default_prompt_name": null}""");
        await using var engine = await LoadAsync();
        var tokenizer = TextTokenizer.Load(writer.FolderPath);

        var plain = (await engine.EmbedAsync(["hello"], new EmbeddingOptions { Normalize = false })).Vectors[0];
        var query = (await engine.EmbedAsync(["hello"], new EmbeddingOptions { Normalize = false, PromptName = "query" })).Vectors[0];

        Error(plain, Mean(reference.Hidden(tokenizer.Encode("hello")))).ShouldBeLessThan(Tolerance);
        Error(query, Mean(reference.Hidden(tokenizer.Encode("ask: hello")))).ShouldBeLessThan(Tolerance);
        var error = await Should.ThrowAsync<ArgumentException>(() => engine.EmbedAsync(["x"], new EmbeddingOptions { PromptName = "passage" }));
        error.Message.ShouldContain("it has document, query");
    }

    [Theory]
    [InlineData("""{"pooling_mode_cls_token": true}""", "pooling_mode_cls_token")]
    [InlineData("""{"pooling_mode": "weightedmean"}""", "weightedmean")]
    [InlineData("""{"pooling_mode_mean_tokens": true, "pooling_mode_lasttoken": true}""", "mean and the last token")]
    [InlineData("""{"pooling_mode_mean_tokens": true, "include_prompt": false}""", "prompt out of the pooling")]
    public async Task Embed_FolderAsksForWhatIsNotSupported_SaysSoUnlessPoolingIsChosen(string pooling, string expected)
    {
        WriteModel("Qwen3ForCausalLM", withoutPrefix: true);
        Write("1_Pooling/config.json", pooling);
        await using var engine = await LoadAsync();

        (await Should.ThrowAsync<NotSupportedException>(() => engine.EmbedAsync(["x"]))).Message.ShouldContain(expected);
        (await engine.EmbedAsync(["x"], new EmbeddingOptions { Pooling = EmbeddingPooling.Mean })).Vectors.Count.ShouldBe(1);
    }

    [Fact]
    public async Task Embed_TokenizerAddsAnEndToken_ItIsTheLastToken()
    {
        var reference = WriteModel("Qwen3ForCausalLM", withoutPrefix: true, addsEnd: true);
        await using var engine = await LoadAsync();
        var tokenizer = TextTokenizer.Load(writer.FolderPath);
        tokenizer.TryGetId("<|endoftext|>", out var end).ShouldBeTrue();

        var result = await engine.EmbedAsync(["hello", ""], new EmbeddingOptions { Normalize = false });

        Error(result.Vectors[0], reference.Hidden([.. tokenizer.Encode("hello"), end])[^1]).ShouldBeLessThan(Tolerance);
        Error(result.Vectors[1], reference.Hidden([end])[^1]).ShouldBeLessThan(Tolerance);
    }

    [Fact]
    public async Task Embed_WrongArguments_SayWhatIsWrong()
    {
        WriteModel("Qwen3ForCausalLM", withoutPrefix: true);
        await using var engine = await LoadAsync();

        var error = await Should.ThrowAsync<ArgumentException>(
            () => engine.EmbedAsync(["a", null!], new EmbeddingOptions { Dimensions = 33, MaxTokens = 0, Pooling = (EmbeddingPooling)9 }));
        foreach (var part in new[] { "Dimensions is 33", "1 to 32", "MaxTokens is 0", "text 1 is null", "Pooling is 9" })
            error.Message.ShouldContain(part);
        (await Should.ThrowAsync<ArgumentException>(() => engine.EmbedAsync([""]))).Message.ShouldContain("Text 0 is empty");
        var tooLong = await Should.ThrowAsync<ContextLengthException>(() => engine.EmbedAsync(["a", "some text"], new EmbeddingOptions { MaxTokens = 3 }));
        tooLong.Message.ShouldContain("Text 1 has 9 tokens; 3 are allowed by EmbeddingOptions.MaxTokens");
        (await engine.EmbedAsync([])).Vectors.ShouldBeEmpty();
    }

    [Fact]
    public async Task Embed_CancelledOrDisposed_EndsAndTheEngineGoesOn()
    {
        WriteModel("Qwen3ForCausalLM", withoutPrefix: true);
        var engine = await LoadAsync();
        using var cancellation = new CancellationTokenSource();
        var longWork = engine.EmbedAsync([.. Enumerable.Repeat(Texts[2], 20_000)], cancellationToken: cancellation.Token);

        await cancellation.CancelAsync();

        await Should.ThrowAsync<OperationCanceledException>(() => longWork);
        (await engine.EmbedAsync(["a"])).Vectors.Count.ShouldBe(1);
        var unfinished = engine.EmbedAsync([.. Enumerable.Repeat(Texts[2], 20_000)]);
        await engine.DisposeAsync();
        (await Should.ThrowAsync<LocalLlmException>(() => unfinished)).Message.ShouldContain("disposed");
        await Should.ThrowAsync<ObjectDisposedException>(() => engine.EmbedAsync(["a"]));
    }

    [Fact]
    public async Task Embed_BesideGenerations_ChangesNeither()
    {
        WriteModel("Qwen3ForCausalLM", withoutPrefix: true);
        await using var engine = await LoadAsync();
        var request = new GenerationRequest { Prompt = "hello", MaxTokens = 40, Sampling = SamplingOptions.Greedy };
        var (expected, _) = await engine.ReadAsync(request);
        var vector = Doubles((await engine.EmbedAsync(["hello world"])).Vectors[0]);

        var generations = Enumerable.Range(0, 3).Select(_ => engine.ReadAsync(request)).ToList();
        var embeddings = Enumerable.Range(0, 10).Select(_ => engine.EmbedAsync(["hello world", Texts[2]])).ToList();

        foreach (var generation in generations)
            (await generation).Text.ShouldBe(expected);
        foreach (var embedding in embeddings)
            Error((await embedding).Vectors[0], vector).ShouldBeLessThan(1e-5);
    }

    [Fact]
    public async Task Embed_TextThatNeverFitsTheMemory_IsRefusedWithTheArithmetic()
    {
        WriteModel("Qwen3ForCausalLM", withoutPrefix: true);
        await using var engine = await LoadAsync(new KvCacheOptions { Window = 32, MemoryBytes = 30_000 });

        var error = await Should.ThrowAsync<LocalLlmException>(() => engine.EmbedAsync(["hello", Texts[2]]));

        error.Message.ShouldContain("Text 0 has");
        error.Message.ShouldContain("KvCache.MemoryBytes is 30,000");
        engine.GetStatistics().KvUsedBytes.ShouldBe(0);
    }

    [Fact]
    public async Task Generate_NetworkWithoutAnOutputProjection_SaysSo()
    {
        WriteModel("Qwen3Model", withoutPrefix: true);
        await using var engine = await LoadAsync();

        (await Should.ThrowAsync<NotSupportedException>(() => engine.ReadAsync(new GenerationRequest { Prompt = "x" }))).Message.ShouldContain("Qwen3Model");
    }

    [Fact]
    public async Task Load_BrokenSentenceTransformersFiles_AreErrorsOfTheFolder()
    {
        WriteModel("Qwen3ForCausalLM", withoutPrefix: true);
        Write("modules.json", "{}");
        Write("config_sentence_transformers.json", """{"prompts": {"query": 1}}""");

        var error = await Should.ThrowAsync<ModelLoadException>(LoadAsync);

        error.Errors.ShouldContain(e => e.StartsWith("modules.json must be a list"));
        error.Errors.ShouldContain(e => e.Contains("prompts"));
    }

    private ReferenceModel WriteModel(string architecture, bool withoutPrefix, bool addsEnd = false)
    {
        var whole = architecture.Replace("Model", "ForCausalLM");
        var config = RandomCheckpoint.Config(whole, new JsonObject { ["vocab_size"] = 300, ["max_position_embeddings"] = 128, ["tie_word_embeddings"] = true });
        var tensors = RandomCheckpoint.Tensors(config);
        var reference = new ReferenceModel(config, tensors, 128);
        var stored = (JsonObject)config.DeepClone();
        stored["architectures"] = new JsonArray(architecture);
        writer.WriteModel(stored, tensors.ToDictionary(t => withoutPrefix ? t.Key.Replace("model.", "") : t.Key, t => t.Value));
        var tokenizer = TokenizerFiles.ByteLevel();
        if (addsEnd)
        {
            var id = tokenizer["added_tokens"]![0]!["id"]!.DeepClone();
            tokenizer["post_processor"] = JsonNode.Parse($$$"""
                {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}],
                 "pair": [], "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [{{{id}}}], "tokens": ["<|endoftext|>"]} } }
                """);
        }
        Write("tokenizer.json", tokenizer.ToJsonString());
        return reference;
    }

    private void Write(string name, string text)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(writer.FilePath(name))!);
        File.WriteAllText(writer.FilePath(name), text);
    }

    private Task<LlmEngine> LoadAsync() => LoadAsync(new KvCacheOptions());

    private Task<LlmEngine> LoadAsync(KvCacheOptions cache) => LlmEngine.LoadAsync(new LlmEngineOptions
    {
        ModelPath = writer.FolderPath,
        Threads = 1,
        PrefillChunkTokens = 8,
        KvCache = cache,
    });

    private static double Error(ReadOnlyMemory<float> actual, double[] expected)
    {
        actual.Length.ShouldBe(expected.Length);
        return Doubles(actual).Zip(expected, (a, e) => Math.Abs(a - e)).Max() / expected.Max(Math.Abs);
    }

    private static double[] Mean(double[][] states) => [.. Enumerable.Range(0, states[0].Length).Select(c => states.Average(s => s[c]))];

    private static double[] Doubles(ReadOnlyMemory<float> vector) => Array.ConvertAll(vector.ToArray(), x => (double)x);

    private static double Dot(ReadOnlyMemory<float> a, ReadOnlyMemory<float> b) => Doubles(a).Zip(Doubles(b), (x, y) => x * y).Sum();
}
