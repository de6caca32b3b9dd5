using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using LocalLlm.Loading;
using LocalLlm.Models;
using LocalLlm.Tests.Loading;
using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Models;

/// <summary>Linear layers and whole models on the row kernels against the same on torch.</summary>
public sealed class LinearTests : IDisposable
{
    private readonly WorkerTeam team = new(2);
    private readonly CheckpointWriter writer = new();

    public LinearTests() => LibTorch.EnsureLoaded();

    [Theory]
    [InlineData(ScalarType.BFloat16, 1.0 / 128, 1e-3)]
    [InlineData(ScalarType.Float16, 1.0 / 1024, 1e-4)]
    [InlineData(ScalarType.Float32, 1e-6, 3e-5)]
    public void Apply_OnKernels_EqualsTorchToRounding(ScalarType type, double unit, double sumError)
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(5);
        using var kernels = new RowMatmul(team);
        var weight = randn([96, 200], generator: generator).to(type);
        var bias = randn([96], generator: generator).to(type);
        for (var rows = 1; rows <= 17; rows++)
        {
            var x = randn([rows, 200], generator: generator).to(type);
            foreach (var b in new[] { null, bias })
            {
                var ours = new Linear(weight, b, kernels).Apply(x);
                var theirs = new Linear(weight, b, null).Apply(x);
                ours.shape.ShouldBe(theirs.shape);
                ours.dtype.ShouldBe(type);
                var difference = (ours.to(ScalarType.Float64) - theirs.to(ScalarType.Float64)).abs();
                // One unit of the result's own size, and the order of the additions: 200 products that sum to 130 in size, in float32.
                var allowed = (theirs.to(ScalarType.Float64).abs() * unit) + sumError;
                (difference - allowed).max().item<double>().ShouldBeLessThanOrEqualTo(0, $"{rows} rows");
            }
        }
    }

    [Theory]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    [InlineData(ScalarType.Float32)]
    public void Apply_ByKind_GivesARowTheSameBitsInEveryBatch(ScalarType type)
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(6);
        using var kernels = new RowMatmul(team);
        var layer = new Linear(randn([96, 200], generator: generator).to(type), randn([96], generator: generator).to(type), kernels);
        var (generated, prompt) = (randn([40, 200], generator: generator).to(type), randn([300, 200], generator: generator).to(type));
        foreach (var (first, count, promptRows) in new[] { (0, 1, 0), (3, 2, 1), (0, 7, 5), (11, 16, 64), (0, 17, 33), (1, 39, 299), (0, 0, 3), (0, 0, 16), (0, 0, 150) })
        {
            var x = cat([generated.narrow(0, first, count), prompt.narrow(0, 300 - promptRows, promptRows)]);

            var y = layer.Apply(x, count);

            for (var row = 0; row < count; row++)
                Same(y[row], layer.Apply(generated.narrow(0, first + row, 1), 1)[0]);
            for (var row = 0; row < promptRows; row += 7)
                Same(y[count + row], layer.Apply(prompt.narrow(0, 300 - promptRows + row, 1), 0)[0]);
        }

        static void Same(Tensor actual, Tensor expected) => actual.eq(expected).all().item<bool>().ShouldBeTrue();
    }

    [Fact]
    public void Apply_ViewThatIsNotContiguous_EqualsTorch()
    {
        using var scope = NewDisposeScope();
        using var kernels = new RowMatmul(team);
        var weight = randn(12, 20);
        var x = randn(20, 3).t();

        var difference = new Linear(weight, null, kernels).Apply(x) - new Linear(weight, null, null).Apply(x);
        difference.abs().max().item<float>().ShouldBeLessThan(1e-4f);
    }

    [Fact]
    public void Apply_WrongInput_IsRefused()
    {
        using var scope = NewDisposeScope();
        using var kernels = new RowMatmul(team);
        var linear = new Linear(zeros(4, 8), null, kernels);

        Should.Throw<ArgumentException>(() => linear.Apply(zeros(1, 7))).Message.ShouldContain("[T, 8]");
        Should.Throw<ArgumentException>(() => linear.Apply(zeros([1, 8], ScalarType.BFloat16))).Message.ShouldContain("BFloat16");
        linear.Apply(zeros(0, 8)).shape.ShouldBe([0, 4]);
    }

    [Theory]
    [InlineData("Qwen2ForCausalLM", WeightType.Float32, 1e-5)]
    [InlineData("LlamaForCausalLM", WeightType.Float32, 1e-5)]
    [InlineData("LlamaForCausalLM", WeightType.BFloat16, 0.05)]
    [InlineData("LlamaForCausalLM", WeightType.Float16, 0.005)]
    public void Forward_OnKernels_EqualsTorch(string architecture, WeightType type, double tolerance)
    {
        var config = RandomCheckpoint.Config(architecture);
        writer.WriteModel(config, RandomCheckpoint.Tensors(config, "BF16"));
        var ids = RandomCheckpoint.Ids(config, 24);

        using var folder = ModelFolder.Open(writer.FolderPath);
        using var torchModel = DecoderModel.Load(folder, CPU, type);
        using var kernelModel = DecoderModel.Load(folder, CPU, type, team: team);

        foreach (var chunk in new[] { 1, 5, 24 })
        {
            var expected = Logits(torchModel, ids, chunk);
            var actual = Logits(kernelModel, ids, chunk);
            ModelRun.RelativeError(actual, [.. expected.Select(row => row.Select(v => (double)v).ToArray())]).ShouldBeLessThan(tolerance, $"chunks of {chunk}");
        }
    }

    [Fact]
    public void Load_WithATeam_MultipliesByTheKernels()
    {
        var config = RandomCheckpoint.Config("LlamaForCausalLM");
        writer.WriteModel(config, RandomCheckpoint.Tensors(config));
        using var folder = ModelFolder.Open(writer.FolderPath);
        using var model = DecoderModel.Load(folder, CPU, team: team);

        model.RowKernels.ShouldNotBeNull().Path.ShouldBe(SimdPaths.Best);
        Logits(model, RandomCheckpoint.Ids(config, 5), 1).Length.ShouldBe(5);
    }

    public void Dispose()
    {
        writer.Dispose();
        team.Dispose();
    }

    private static float[][] Logits(DecoderModel model, int[] ids, int chunk)
    {
        using var cache = new DenseKvCache(ModelRun.Shape(model));
        return [.. ids.Chunk(chunk).SelectMany(part => ModelRun.Step(model, cache, part, [.. Enumerable.Range(0, part.Length)]))];
    }
}
