using System.Text.Json;
using LocalLlm.Attention;
using LocalLlm.Batching;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using LocalLlm.Loading;
using LocalLlm.Models;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Models;

/// <summary>A real trained model against float64 logits and a greedy continuation of another implementation.</summary>
public sealed class StoriesTests : IDisposable
{
    private readonly string path = SharedData.Require("stories260K");
    private readonly ModelFolder folder;
    private readonly DecoderModel model;
    private readonly DenseKvCache cache;

    public StoriesTests()
    {
        LibTorch.EnsureLoaded();
        folder = ModelFolder.Open(path);
        model = DecoderModel.Load(folder, CPU);
        cache = new DenseKvCache(ModelRun.Shape(model));
    }

    [Fact]
    public void Forward_WholePrompt_GivesGoldenLogits()
    {
        var golden = Golden().GetProperty("logits");
        var ids = Ids(golden.GetProperty("ids"));
        var expected = golden.GetProperty("logits").EnumerateArray().Select(row => row.EnumerateArray().Select(x => x.GetDouble()).ToArray()).ToArray();

        var logits = ModelRun.Step(model, cache, ids, [.. Enumerable.Range(0, ids.Length)]);

        ModelRun.RelativeError(logits, expected).ShouldBeLessThan(1e-4);
    }

    [Fact]
    public void Forward_GreedyFromTheFirstToken_GivesGoldenIds()
    {
        var expected = Ids(Golden().GetProperty("greedy_from_bos").GetProperty("ids"));

        var ids = new List<int> { expected[0] };
        while (ids.Count < expected.Length)
        {
            var logits = ModelRun.Step(model, cache, [ids[^1]], [0])[0];
            ids.Add(Array.IndexOf(logits, logits.Max()));
        }

        ids.ShouldBe(expected);
    }

    [Fact]
    public void Open_RealFolder_ReadsItsConfiguration()
    {
        folder.Errors.ShouldBeEmpty();
        folder.EosTokenIds.ShouldBe([1, 2]);
        folder.Generation!.Sampling.ShouldBe(SamplingOptions.Greedy);
        model.ParameterCount.ShouldBe(folder.Weights!.Tensors.Values.Sum(t => t.ElementCount));
        model.Type.ShouldBe(ScalarType.Float32);
    }

    public void Dispose()
    {
        cache.Dispose();
        model.Dispose();
        folder.Dispose();
    }

    private static int[] Ids(JsonElement array) => [.. array.EnumerateArray().Select(x => x.GetInt32())];

    private JsonElement Golden() => JsonDocument.Parse(File.ReadAllBytes(Path.Combine(path, "golden.json"))).RootElement;
}
