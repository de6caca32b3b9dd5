using System.Text.Json.Nodes;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using LocalLlm.Loading;
using LocalLlm.Models;
using LocalLlm.Tests.Loading;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Models;

/// <summary>Every architecture and option of a configuration against the double-precision oracle.</summary>
public sealed class DecoderModelTests : IDisposable
{
    private const double Tolerance = 1e-4;
    private readonly CheckpointWriter writer = new();

    public DecoderModelTests() => LibTorch.EnsureLoaded();

    /// <summary>Name; architecture; fields of config.json; fields that switch the option off, to prove that the test would see it missing; context.</summary>
    public static TheoryData<string, string, string, string?, int?> Cases => new()
    {
        { "Llama 2: multi-head", "LlamaForCausalLM", """{"num_key_value_heads": 4, "head_dim": null}""", null, null },
        { "Llama: no KV heads named", "LlamaForCausalLM", """{"num_key_value_heads": null}""", null, null },
        { "Llama: grouped, tied", "LlamaForCausalLM", """{"tie_word_embeddings": true}""", null, null },
        { "Llama: one KV head, head_dim apart from hidden size", "LlamaForCausalLM", """{"num_key_value_heads": 1, "head_dim": 24}""", null, null },
        { "Llama: all biases", "LlamaForCausalLM", """{"attention_bias": true, "mlp_bias": true}""", null, null },
        {
            "Llama 3.1: llama3 scaling", "LlamaForCausalLM",
            """{"rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 96}, "head_dim": 16}""",
            """{"rope_scaling": null}""", null
        },
        {
            "Llama 3.1: rope_parameters", "LlamaForCausalLM",
            """{"rope_theta": null, "rope_parameters": {"rope_theta": 500.0, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 96}}""",
            """{"rope_parameters": {"rope_theta": 500.0, "rope_type": "default"}}""", null
        },
        { "Llama: linear scaling, old field", "LlamaForCausalLM", """{"rope_scaling": {"type": "linear", "factor": 4.0}}""", """{"rope_scaling": null}""", null },
        {
            "Llama: dynamic scaling beyond the context", "LlamaForCausalLM", """{"max_position_embeddings": 24, "rope_scaling": {"type": "dynamic", "factor": 2.0}}""",
            """{"rope_scaling": null}""", 64
        },
        {
            "Qwen2.5: YaRN", "Qwen2ForCausalLM", """{"head_dim": null, "hidden_size": 64, "rope_theta": 1000000.0, "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 40}}""",
            """{"rope_scaling": null}""", null
        },
        { "Mistral: sliding window", "MistralForCausalLM", """{"sliding_window": 7}""", """{"sliding_window": null}""", null },
        { "Mistral: no window", "MistralForCausalLM", """{"head_dim": 16}""", null, null },
        { "Qwen2: bias", "Qwen2ForCausalLM", """{"rope_theta": 1000000.0, "tie_word_embeddings": true}""", null, null },
        {
            "Qwen2: window in the upper layers", "Qwen2ForCausalLM", """{"use_sliding_window": true, "sliding_window": 6, "max_window_layers": 1}""",
            """{"use_sliding_window": false}""", null
        },
        { "Qwen2: window not used", "Qwen2ForCausalLM", """{"use_sliding_window": false, "sliding_window": 6, "max_window_layers": 1}""", null, null },
        { "Qwen3: norms", "Qwen3ForCausalLM", """{"head_dim": 16, "tie_word_embeddings": true, "rope_theta": 1000000.0}""", null, null },
        { "Qwen3: norms and bias", "Qwen3ForCausalLM", """{"attention_bias": true}""", null, null },
        {
            "Qwen3: layer types", "Qwen3ForCausalLM", """{"use_sliding_window": true, "sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]}""",
            """{"use_sliding_window": false}""", null
        },
        { "Phi-3: fused, window", "Phi3ForCausalLM", """{"sliding_window": 9, "num_key_value_heads": 4}""", """{"sliding_window": null}""", null },
        {
            "Phi-3: short LongRoPE", "Phi3ForCausalLM",
            """{"max_position_embeddings": 512, "original_max_position_embeddings": 64, "rope_scaling": {"type": "su", "short_factor": [1.0, 1.1, 1.3, 1.6], "long_factor": [1.5, 3.0, 6.0, 12.0]}}""",
            """{"rope_scaling": {"type": "su", "short_factor": [1.0, 1.0, 1.0, 1.0], "long_factor": [1.5, 3.0, 6.0, 12.0]}}""", 64
        },
        {
            "Phi-3: long LongRoPE", "Phi3ForCausalLM",
            """{"max_position_embeddings": 512, "original_max_position_embeddings": 64, "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.1, 1.3, 1.6], "long_factor": [1.5, 3.0, 6.0, 12.0]}}""",
            """{"rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.1, 1.3, 1.6], "long_factor": [1.0, 1.1, 1.3, 1.6]}}""", 65
        },
        {
            "Phi-4-mini: partial rotary", "Phi3ForCausalLM",
            """{"head_dim": 16, "partial_rotary_factor": 0.75, "tie_word_embeddings": true, "original_max_position_embeddings": 64, "rope_scaling": {"type": "longrope", "short_factor": [1, 1, 1, 1, 1, 1], "long_factor": [1, 1.5, 2, 3, 4, 5]}}""",
            """{"partial_rotary_factor": 1.0, "rope_scaling": null}""", null
        },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Forward_RandomCheckpoint_EqualsTheOracle(string name, string architecture, string fields, string? without, int? contextTokens)
    {
        var config = RandomCheckpoint.Config(architecture, Json(fields));
        var tensors = RandomCheckpoint.Tensors(config);
        var ids = RandomCheckpoint.Ids(config, 48);
        writer.WriteModel(config, tensors);
        var context = contextTokens ?? (int)config["max_position_embeddings"]!;
        var expected = new ReferenceModel(config, tensors, context).Logits(ids);

        ModelRun.RelativeError(InChunks(ids, 48, contextTokens: contextTokens), expected).ShouldBeLessThan(Tolerance, name);
        ModelRun.RelativeError(InChunks(ids, 5, contextTokens: contextTokens), expected).ShouldBeLessThan(Tolerance, name + ", in chunks");

        if (without is null)
            return;
        foreach (var (field, value) in Json(without))
            config[field] = value?.DeepClone();
        ModelRun.RelativeError(InChunks(ids, 48, contextTokens: contextTokens), new ReferenceModel(config, tensors, context).Logits(ids))
            .ShouldBeGreaterThan(100 * Tolerance, $"{name}: the option makes no difference, so the test proves nothing");
    }

    [Theory]
    [InlineData(8)]
    [InlineData(16)]
    [InlineData(40)]
    [InlineData(64)]
    [InlineData(80)]
    [InlineData(96)]
    [InlineData(128)]
    [InlineData(256)]
    public void Forward_HeadDim_EqualsTheOracle(int headDim)
    {
        var config = RandomCheckpoint.Config("Qwen3ForCausalLM", new() { ["head_dim"] = headDim, ["num_hidden_layers"] = 1 });
        EqualsTheOracle(config, RandomCheckpoint.Tensors(config));
    }

    [Theory]
    [InlineData("F32")]
    [InlineData("F16")]
    [InlineData("BF16")]
    public void Forward_StoredType_EqualsTheOracleOnTheStoredValues(string type)
    {
        var config = RandomCheckpoint.Config("LlamaForCausalLM");
        EqualsTheOracle(config, RandomCheckpoint.Tensors(config, type));
    }

    [Theory]
    [InlineData("LlamaForCausalLM", 3)]
    [InlineData("Phi3ForCausalLM", 2)]
    public void Forward_Shards_EqualsTheOracle(string architecture, int shards)
    {
        var config = RandomCheckpoint.Config(architecture);
        EqualsTheOracle(config, RandomCheckpoint.Tensors(config), shards);
    }

    [Theory]
    [InlineData(WeightType.BFloat16, "BF16", 0.1)]
    [InlineData(WeightType.Float16, "F16", 0.01)]
    [InlineData(WeightType.Float16, "F32", 0.01)]
    public void Forward_HalfPrecision_IsNearTheOracle(WeightType weightType, string stored, double tolerance)
    {
        var config = RandomCheckpoint.Config("Qwen2ForCausalLM");
        var tensors = RandomCheckpoint.Tensors(config, stored);
        var ids = RandomCheckpoint.Ids(config, 24);
        writer.WriteModel(config, tensors);

        ModelRun.RelativeError(InChunks(ids, 24, weightType), new ReferenceModel(config, tensors, 512).Logits(ids)).ShouldBeLessThan(tolerance);
    }

    [Fact]
    public void Forward_SeveralSequencesInOneStep_EqualsEachAlone()
    {
        var config = RandomCheckpoint.Config("MistralForCausalLM", new() { ["sliding_window"] = 6 });
        var tensors = RandomCheckpoint.Tensors(config);
        writer.WriteModel(config, tensors);
        var first = RandomCheckpoint.Ids(config, 20, seed: 3);
        var second = RandomCheckpoint.Ids(config, 9, seed: 4);
        using var model = Load();
        using var firstCache = new DenseKvCache(ModelRun.Shape(model));
        using var secondCache = new DenseKvCache(ModelRun.Shape(model));

        ModelRun.Step(model, firstCache, first[..^3], []).ShouldBeEmpty();
        var logits = ModelRun.Step(model, [(secondCache, second), (firstCache, first[^3..])], [11, 8, 10]);

        var reference = new ReferenceModel(config, tensors, 512);
        var (expectedFirst, expectedSecond) = (reference.Logits(first), reference.Logits(second));
        ModelRun.RelativeError(logits, [expectedFirst[19], expectedSecond[8], expectedFirst[18]]).ShouldBeLessThan(Tolerance);
    }

    [Fact]
    public void Forward_FromAnotherThreadWithoutScopes_Works()
    {
        var config = RandomCheckpoint.Config("LlamaForCausalLM");
        var tensors = RandomCheckpoint.Tensors(config);
        writer.WriteModel(config, tensors);
        var ids = RandomCheckpoint.Ids(config, 6);
        DecoderModel model;
        using (NewDisposeScope())
            model = Load();
        float[][]? logits = null;
        var thread = new Thread(() =>
        {
            using var cache = new DenseKvCache(ModelRun.Shape(model));
            logits = ModelRun.Step(model, cache, ids, [5]);
        });
        thread.Start();
        thread.Join();
        model.Dispose();

        ModelRun.RelativeError(logits!, [new ReferenceModel(config, tensors, 512).Logits(ids)[5]]).ShouldBeLessThan(Tolerance);
    }

    public void Dispose() => writer.Dispose();

    private static JsonObject Json(string text) => JsonNode.Parse(text)!.AsObject();

    private void EqualsTheOracle(JsonObject config, Dictionary<string, TestTensor> tensors, int shards = 1)
    {
        writer.WriteModel(config, tensors, shards);
        var ids = RandomCheckpoint.Ids(config, 24);
        ModelRun.RelativeError(InChunks(ids, 11), new ReferenceModel(config, tensors, 512).Logits(ids)).ShouldBeLessThan(Tolerance);
    }

    private DecoderModel Load(WeightType weightType = WeightType.Float32, int? contextTokens = null)
    {
        using var folder = ModelFolder.Open(writer.FolderPath);
        return DecoderModel.Load(folder, CPU, weightType, contextTokens);
    }

    private float[][] InChunks(int[] ids, int chunk, WeightType weightType = WeightType.Float32, int? contextTokens = null)
    {
        using var model = Load(weightType, contextTokens);
        using var cache = new DenseKvCache(ModelRun.Shape(model));
        return [.. ids.Chunk(chunk).SelectMany(part => ModelRun.Step(model, cache, part, [.. Enumerable.Range(0, part.Length)]))];
    }
}
