using System.Text.Json.Nodes;
using LocalLlm.Interop;
using LocalLlm.Loading;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Loading;

public sealed class CheckpointTests : IDisposable
{
    private const string Index = "model.safetensors.index.json";
    private readonly CheckpointWriter writer = new();

    public CheckpointTests()
    {
        writer.WriteTensors("one.safetensors", new Dictionary<string, TestTensor> { ["a"] = new([2], [1, 2]), ["b"] = new([2], [3, 4]) });
        writer.WriteTensors("two.safetensors", new Dictionary<string, TestTensor> { ["c"] = new([2], [5, 6]) });
    }

    [Fact]
    public void Open_Shards_GivesAllTensors()
    {
        WriteIndex("""{"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"}""");

        using var checkpoint = Checkpoint.Open(writer.FolderPath, new LoadErrors())!;
        checkpoint.Tensors.Keys.ShouldBe(["a", "b", "c"], ignoreOrder: true);
    }

    [Theory]
    [InlineData("""{"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors", "d": "three.safetensors"}""", "three.safetensors is missing; model.safetensors.index.json expects 1 tensors in it")]
    [InlineData("""{"a": "one.safetensors", "b": "one.safetensors", "c": "one.safetensors"}""", "one.safetensors: tensor 'c' is missing; model.safetensors.index.json expects it there")]
    [InlineData("""{"a": "one.safetensors", "c": "two.safetensors"}""", "one.safetensors: tensor 'b' is not in model.safetensors.index.json")]
    [InlineData("""{"a": "../one.safetensors"}""", "which is not a file of the model folder")]
    [InlineData("""{"a": "x/../../one.safetensors"}""", "which is not a file of the model folder")]
    [InlineData("""{"a": "/etc/passwd"}""", "which is not a file of the model folder")]
    [InlineData("""{"a": "."}""", "which is not a file of the model folder")]
    [InlineData("""{"a": ""}""", "which is not a file of the model folder")]
    [InlineData("""{"a": "one\u0000.safetensors"}""", "which is not a file of the model folder")]
    [InlineData("""{"a": 1}""", "weight_map is object; it must be an object of strings")]
    [InlineData("""{"\ud800": "one.safetensors"}""", "cannot be read")]
    [InlineData("""{"a": "one.safetensors", "a": "two.safetensors"}""", "cannot be read")]
    [InlineData("""{}""", "weight_map is empty")]
    [InlineData("""[]""", "weight_map is array of 0; it must be an object of strings")]
    [InlineData("""null""", "weight_map is missing")]
    public void Open_WrongIndex_IsRefusedWithItsReason(string weightMap, string expected)
    {
        WriteIndex(weightMap);

        ErrorsOf().ShouldContain(e => e.Contains(expected, StringComparison.Ordinal));
    }

    [Fact]
    public void Open_TensorInTwoShards_IsRefused()
    {
        writer.WriteTensors("two.safetensors", new Dictionary<string, TestTensor> { ["a"] = new([2], [5, 6]), ["c"] = new([2], [5, 6]) });
        WriteIndex("""{"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"}""");

        ErrorsOf().ShouldContain("two.safetensors: tensor 'a' is in one.safetensors as well.");
    }

    [Fact]
    public void Open_NoWeights_SaysWhatWasFoundInstead() =>
        ErrorsOf().ShouldHaveSingleItem().ShouldBe("model.safetensors or model.safetensors.index.json is missing. There is 'one.safetensors': "
            + "if it is one part of several, the index is missing; else name it model.safetensors.");

    [Fact]
    public void Open_OneWrongShard_LeavesNoFileOpen()
    {
        WriteIndex("""{"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"}""");
        writer.WriteRaw("two.safetensors", "{", []);

        ErrorsOf().ShouldHaveSingleItem().ShouldContain("two.safetensors");
        if (OperatingSystem.IsLinux())
            File.ReadAllText("/proc/self/maps").ShouldNotContain(writer.FolderPath);
    }

    [Theory]
    [InlineData("F32", ScalarType.Float32)]
    [InlineData("F32", ScalarType.BFloat16)]
    [InlineData("BF16", ScalarType.Float32)]
    [InlineData("F16", ScalarType.Float16)]
    public void Load_AnyTypes_GivesTheStoredValues(string stored, ScalarType type)
    {
        LibTorch.EnsureLoaded();
        double[] values = [1, -2, 0.5, 1024, -0.125, 3];
        writer.WriteTensors("model.safetensors", new Dictionary<string, TestTensor> { ["w"] = new([3, 2], values, stored) });
        using var checkpoint = Checkpoint.Open(writer.FolderPath, new LoadErrors())!;
        using var target = zeros(3, 2, dtype: type);
        var read = 0L;

        checkpoint.Load("w", target, bytes => read += bytes, CancellationToken.None);

        using var expected = tensor(values).view(3, 2);
        using var actual = target.to(ScalarType.Float64);
        AreEqual(actual, expected).ShouldBeTrue();
        read.ShouldBe(checkpoint.Tensors["w"].ByteCount);
    }

    [Fact]
    public void Load_LargerThanAPiece_GivesEveryValue()
    {
        LibTorch.EnsureLoaded();
        const int count = (40 << 20) + 3;   // F16: 80 MiB, two pieces.
        var header = new JsonObject { ["w"] = CheckpointWriter.Entry("F16", [count], 0, 2L * count) };
        var data = new byte[2 * count];
        for (var i = 0; i < count; i++)
            BitConverter.TryWriteBytes(data.AsSpan(2 * i), (Half)(i % 1021));
        writer.WriteRaw("model.safetensors", header.ToJsonString(), data);
        using var checkpoint = Checkpoint.Open(writer.FolderPath, new LoadErrors())!;
        using var target = zeros(count);
        var pieces = new List<long>();

        checkpoint.Load("w", target, pieces.Add, CancellationToken.None);

        pieces.ShouldBe([64L << 20, (2L * count) - (64L << 20)]);
        using var scope = NewDisposeScope();
        var expected = arange(count, dtype: ScalarType.Int64).remainder_(1021).to(ScalarType.Float32);
        AreEqual(target, expected).ShouldBeTrue();
    }

    public void Dispose() => writer.Dispose();

    private static bool AreEqual(Tensor a, Tensor b)
    {
        using var scope = NewDisposeScope();
        return a.eq(b).all().bytes[0] != 0;
    }

    private void WriteIndex(string weightMap) => writer.WriteText(Index, $$"""{"metadata": {"total_size": 24}, "weight_map": {{weightMap}}}""");

    private IReadOnlyList<string> ErrorsOf()
    {
        var errors = new LoadErrors();
        Checkpoint.Open(writer.FolderPath, errors).ShouldBeNull();
        return errors.ToList();
    }
}
