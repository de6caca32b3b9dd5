using System.Text.Json.Nodes;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using LocalLlm.Loading;
using LocalLlm.Models;
using LocalLlm.Tests.Loading;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Models;

/// <summary>Loading of a model: what is wrong is told at once, progress, cancellation, nothing left behind.</summary>
public sealed class DecoderLoadTests : IDisposable
{
    private readonly CheckpointWriter writer = new();
    private readonly JsonObject config = RandomCheckpoint.Config("Qwen3ForCausalLM");
    private readonly Dictionary<string, TestTensor> tensors;

    public DecoderLoadTests()
    {
        LibTorch.EnsureLoaded();
        tensors = RandomCheckpoint.Tensors(config);
    }

    [Fact]
    public void Load_WrongTensors_ListsAllOfThem()
    {
        tensors.Remove("model.layers.1.self_attn.q_norm.weight");
        tensors.Remove("lm_head.weight");
        tensors["model.norm.weight"] = new TestTensor([31], new double[31]);
        tensors["model.layers.0.mlp.down_proj.weight"] = tensors["model.layers.0.mlp.down_proj.weight"] with { Shape = [48, 32] };
        tensors["model.layers.2.mlp.down_proj.weight"] = new TestTensor([1], [0]);
        tensors["model.layers.0.self_attn.q_proj.bias"] = new TestTensor([32], new double[32]);
        writer.WriteModel(config, tensors);

        var error = Should.Throw<ModelLoadException>(() => Load());

        error.Errors.Count.ShouldBe(6);
        error.Message.ShouldContain("model.layers.1.self_attn.q_norm.weight of shape [8] is missing");
        error.Message.ShouldContain("lm_head.weight of shape [40, 32] is missing. config.json has tie_word_embeddings false");
        error.Message.ShouldContain("model.norm.weight has shape [31]; config.json asks for [32]");
        error.Message.ShouldContain("model.layers.0.mlp.down_proj.weight has shape [48, 32]; config.json asks for [32, 48]");
        error.Message.ShouldContain("'model.layers.2.mlp.down_proj.weight' of shape [1] is not part of a Qwen3ForCausalLM");
        error.Message.ShouldContain("'model.layers.0.self_attn.q_proj.bias'");
    }

    [Fact]
    public void Load_WeightOfIntegers_Refused()
    {
        writer.WriteModel(config, tensors);
        writer.WriteRaw("model.safetensors", new JsonObject { ["model.norm.weight"] = CheckpointWriter.Entry("I32", [32], 0, 128) }.ToJsonString(), new byte[128]);

        Should.Throw<ModelLoadException>(() => Load()).Message.ShouldContain("model.norm.weight has dtype I32; weights must be BF16, F16 or F32");
    }

    [Fact]
    public void Load_HarmlessExtras_Accepted()
    {
        var tied = RandomCheckpoint.Config("LlamaForCausalLM", new() { ["tie_word_embeddings"] = true });
        var weights = RandomCheckpoint.Tensors(tied);
        var ids = RandomCheckpoint.Ids(tied, 5);
        var expected = new ReferenceModel(tied, weights, 512).Logits(ids);
        weights["lm_head.weight"] = new TestTensor([40, 32], new double[40 * 32]);
        weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = new TestTensor([4], new double[4]);
        writer.WriteModel(tied, weights);

        using var model = Load();
        using var cache = new DenseKvCache(ModelRun.Shape(model));
        ModelRun.RelativeError(ModelRun.Step(model, cache, ids, [0, 1, 2, 3, 4]), expected).ShouldBeLessThan(1e-4);
        model.ParameterCount.ShouldBe(weights.Where(t => t.Key.StartsWith("model.", StringComparison.Ordinal) && !t.Key.Contains("inv_freq", StringComparison.Ordinal)).Sum(t => (long)t.Value.Values.Length));
    }

    [Fact]
    public void Load_ConfigAndTensorsAndTokenizerWrong_OneErrorForAll()
    {
        writer.WriteModel(config, tensors);
        File.Delete(writer.FilePath("tokenizer.json"));
        writer.WriteText("generation_config.json", """{"temperature": -1}""");
        writer.WriteRaw("model.safetensors", "{}", new byte[3]);
        config["num_hidden_layers"] = 0;
        config["hidden_act"] = "gelu";
        writer.WriteText("config.json", config.ToJsonString());

        var error = Should.Throw<ModelLoadException>(() => Load());

        error.Errors.Count.ShouldBe(5);
        error.Message.ShouldContain("num_hidden_layers is 0");
        error.Message.ShouldContain("hidden_act is 'gelu'");
        error.Message.ShouldContain("tokenizer.json or tokenizer.model is missing");
        error.Message.ShouldContain("temperature is -1");
        error.Message.ShouldContain("the last 3 bytes belong to no tensor");
    }

    [Fact]
    public void Load_Float16OfLargerValues_Refused()
    {
        tensors["model.norm.weight"].Values[3] = 70_000;
        writer.WriteModel(config, tensors);
        var before = LiveTensors.Count;

        Should.Throw<ModelLoadException>(() => Load(WeightType.Float16)).Message.ShouldContain("model.norm.weight is stored as F32 and has values beyond float16's range");
        LiveTensors.Count.ShouldBe(before);
    }

    [Theory]
    [InlineData("F32", ScalarType.Float32)]
    [InlineData("F16", ScalarType.Float32)]
    [InlineData("BF16", ScalarType.Float32)]
    public void Load_AutoOfASmallModelOnACpu_IsFloat32(string stored, ScalarType expected)
    {
        writer.WriteModel(config, RandomCheckpoint.Tensors(config, stored));

        using var model = Load(WeightType.Auto);
        model.Type.ShouldBe(expected);
    }

    [Theory]
    [InlineData("BF16", 999_999_999, "cpu", ScalarType.Float32)]
    [InlineData("BF16", 1_000_000_000, "cpu", ScalarType.BFloat16)]
    [InlineData("F16", 1_000_000_000, "cpu", ScalarType.Float32)]
    [InlineData("BF16", 10, "cuda", ScalarType.BFloat16)]
    [InlineData("F16", 10, "cuda", ScalarType.Float16)]
    [InlineData("F32", 10, "cuda", ScalarType.BFloat16)]
    public void Choose_Auto_FollowsCheckpointDeviceAndSize(string stored, long elements, string device, ScalarType expected)
    {
        var tensor = new StoredTensor("w", stored, [elements], 0, elements * (stored == "F32" ? 4 : 2));
        WeightTypes.Choose(WeightType.Auto, new Device(device), [tensor]).ShouldBe(expected);
    }

    [Fact]
    public void Load_Progress_CountsEveryByteOnce()
    {
        writer.WriteModel(config, tensors, shards: 2);
        var reports = new List<LoadProgress>();

        using var model = Load(progress: new Recorder(reports.Add));

        var total = tensors.Values.Sum(t => t.Values.Length * 4L);
        reports[0].ShouldBe(new LoadProgress("loading weights", 0, total));
        reports[^1].BytesLoaded.ShouldBe(total);
        reports.Select(r => r.BytesLoaded).ShouldBeInOrder();
    }

    [Fact]
    public void Load_Cancelled_FreesWhatWasLoaded()
    {
        writer.WriteModel(config, tensors);
        using var cancellation = new CancellationTokenSource();
        var before = LiveTensors.Count;
        var largest = 0L;

        Should.Throw<OperationCanceledException>(() => Load(progress: new Recorder(p =>
        {
            largest = LiveTensors.Count;
            if (p.BytesLoaded > p.BytesTotal / 2)
                cancellation.Cancel();
        }), cancellationToken: cancellation.Token));

        largest.ShouldBeGreaterThan(before + 5);
        LiveTensors.Count.ShouldBe(before);
    }

    [Fact]
    public void LoadForwardDispose_FiftyTimes_LeavesNoTensor()
    {
        writer.WriteModel(config, tensors);
        Run();
        var before = LiveTensors.Count;

        for (var i = 0; i < 50; i++)
            Run();

        LiveTensors.Count.ShouldBe(before);

        void Run()
        {
            using var model = Load();
            using var cache = new DenseKvCache(ModelRun.Shape(model));
            ModelRun.Step(model, cache, [1, 2, 3], [2]);
            ModelRun.Step(model, cache, [4], [0]);
        }
    }

    [Fact]
    public void Forward_AttentionFails_LeavesNoTensor()
    {
        writer.WriteModel(config, tensors);
        using var model = Load();
        using var cache = new DenseKvCache(ModelRun.Shape(model) with { KvHeads = 1 });
        var before = LiveTensors.Count;

        Should.Throw<Exception>(() => ModelRun.Step(model, cache, [1, 2], [1]));

        LiveTensors.Count.ShouldBe(before);
    }

    public void Dispose() => writer.Dispose();

    private DecoderModel Load(WeightType type = WeightType.Auto, IProgress<LoadProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        using var folder = ModelFolder.Open(writer.FolderPath);
        return DecoderModel.Load(folder, CPU, type, null, progress, cancellationToken: cancellationToken);
    }

    private sealed class Recorder(Action<LoadProgress> record) : IProgress<LoadProgress>
    {
        public void Report(LoadProgress value) => record(value);
    }
}
