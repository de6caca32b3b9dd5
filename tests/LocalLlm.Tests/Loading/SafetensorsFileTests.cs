using System.Text;
using System.Text.Json.Nodes;
using CsCheck;
using LocalLlm.Loading;

namespace LocalLlm.Tests.Loading;

public sealed class SafetensorsFileTests : IDisposable
{
    private const string Name = "model.safetensors";
    private readonly CheckpointWriter writer = new();

    [Fact]
    public void Open_ValidFile_GivesTensorsAndBytes()
    {
        writer.WriteTensors(Name, new Dictionary<string, TestTensor>
        {
            ["a"] = new([2, 3], [1, 2, 3, 4, 5, 6]),
            ["b"] = new([2], [0.5, -2], "BF16"),
            ["scalar"] = new([], [7], "F16"),
            ["empty"] = new([0, 5], []),
        });

        using var file = Open()!;

        file.Tensors.Keys.ShouldBe(["a", "b", "scalar", "empty"], ignoreOrder: true);
        file.Tensors["a"].ShapeText.ShouldBe("[2, 3]");
        file.Tensors["b"].ByteCount.ShouldBe(4);
        file.Tensors["scalar"].ElementCount.ShouldBe(1);
        file.Tensors["empty"].ElementCount.ShouldBe(0);
        var bytes = new byte[8];
        file.Read(file.Tensors["a"], 16, bytes);
        bytes.ShouldBe([.. BitConverter.GetBytes(5f), .. BitConverter.GetBytes(6f)]);
    }

    [Theory]
    [InlineData(0, 25)]
    [InlineData(24, 1)]
    [InlineData(25, 0)]
    [InlineData(-1, 1)]
    [InlineData(long.MaxValue, 1)]
    public void Read_OutsideTheTensor_Throws(long offset, int count)
    {
        writer.WriteTensors(Name, new Dictionary<string, TestTensor> { ["a"] = new([2, 3], [1, 2, 3, 4, 5, 6]), ["b"] = new([2], [1, 2]) });
        using var file = Open()!;

        Should.Throw<ArgumentOutOfRangeException>(() => file.Read(file.Tensors["a"], offset, new byte[count]));
    }

    [Theory]
    [InlineData("""[]""", "the header is a JSON Array; it must be an object")]
    [InlineData("""{"a": """, "the header is not valid JSON")]
    [InlineData("", "the header is not valid JSON")]
    [InlineData("""{"a": 5}""", "tensor 'a' is a JSON Number")]
    [InlineData("""{"a": {"dtype": "F32", "shape": [2]}}""", "must have dtype, shape and two data_offsets")]
    [InlineData("""{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8, 9]}}""", "must have dtype, shape and two data_offsets")]
    [InlineData("""{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], "x": 1}}""", "unknown, twice there")]
    [InlineData("""{"a": {"dtype": "F32", "dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}""", "unknown, twice there")]
    [InlineData("""{"a": {"dtype": "F33", "shape": [2], "data_offsets": [0, 8]}}""", "unknown dtype 'F33'")]
    [InlineData("""{"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}""", "integers of at least 0")]
    [InlineData("""{"a": {"dtype": "F32", "shape": [2.5], "data_offsets": [0, 8]}}""", "integers of at least 0")]
    [InlineData("""{"a": {"dtype": "F32", "shape": [99999999999999999999], "data_offsets": [0, 8]}}""", "integers of at least 0")]
    [InlineData("""{"a": {"dtype": "F32", "shape": [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2], "data_offsets": [0, 8]}}""", "has 17 dimensions")]
    [InlineData("""{"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}""", "they must rise and stay within the file's 8 bytes")]
    [InlineData("""{"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}""", "they must rise and stay within the file's 8 bytes")]
    [InlineData("""{"a": {"dtype": "F32", "shape": [2], "data_offsets": [9223372036854775800, 9223372036854775807]}}""", "stay within")]
    [InlineData("""{"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}""", "needs 12 bytes; its data_offsets [0, 8] hold 8")]
    [InlineData("""{"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 8]}}""", "needs more than 2^63 bytes")]
    [InlineData("""{"a": {"dtype": "F32", "shape": [4611686018427387906], "data_offsets": [0, 8]}}""", "needs more than 2^63 bytes")]
    [InlineData("""{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}""", "'a' is there twice")]
    [InlineData("""{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "b": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}""", "'a' and 'b' overlap at byte 4")]
    [InlineData("""{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}""", "bytes 0 to 4 before tensor 'a' belong to no tensor")]
    [InlineData("""{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}""", "the last 4 bytes belong to no tensor")]
    [InlineData("""{"__metadata__": {"x": 1}, "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}""", "__metadata__ must be an object of strings")]
    [InlineData("""{"\ud800": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}""", "name is not valid Unicode")]
    [InlineData("""{"a": {"dtype": "\ud800", "shape": [2], "data_offsets": [0, 8]}}""", "not of its type")]
    public void Open_HostileHeader_IsRefusedWithItsReason(string header, string expected)
    {
        writer.WriteRaw(Name, header, new byte[8]);

        ErrorsOf().ShouldContain(e => e.Contains(expected, StringComparison.Ordinal));
    }

    [Fact]
    public void Open_SeveralFaults_ListsAllOfThem()
    {
        var header = new JsonObject
        {
            ["a"] = CheckpointWriter.Entry("F32", [2], 0, 9),
            ["b"] = CheckpointWriter.Entry("Q4", [2], 0, 8),
            ["c"] = CheckpointWriter.Entry("F32", [2], 0, 8),
            ["d"] = CheckpointWriter.Entry("F16", [2], 4, 8),
        };
        writer.WriteRaw(Name, header.ToJsonString(), new byte[8]);

        ErrorsOf().Count.ShouldBe(3);
    }

    [Fact]
    public void Open_MillionsOfFaults_KeepsAHundredAndCountsTheRest()
    {
        var header = new StringBuilder("{");
        for (var i = 0; i < 20_000; i++)
            header.Append(System.Globalization.CultureInfo.InvariantCulture, $"\"{i}\":0,");
        header.Append("\"last\":0}");
        writer.WriteRaw(Name, header.ToString(), []);

        var errors = ErrorsOf();

        errors.Count.ShouldBe(101);
        errors[^1].ShouldBe("and 19901 more");
    }

    [Theory]
    [InlineData(100_000_001, "the format allows 100000000")]
    [InlineData(long.MaxValue, "the format allows 100000000")]
    [InlineData(-1, "the format allows 100000000")]
    [InlineData(17, "only 16 follow: the file is truncated")]
    public void Open_HeaderLengthBeyondTheFile_IsRefused(long headerLength, string expected)
    {
        writer.WriteRaw(Name, Encoding.UTF8.GetBytes("{}      "), new byte[8], unchecked((ulong)headerLength));

        ErrorsOf().ShouldHaveSingleItem().ShouldContain(expected);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(7)]
    public void Open_FileShorterThanItsPrefix_IsRefused(int length)
    {
        File.WriteAllBytes(writer.FilePath(Name), new byte[length]);

        ErrorsOf().ShouldHaveSingleItem().ShouldContain($"the file has {length} bytes");
    }

    [Fact]
    public void Open_InvalidUtf8_IsRefused()
    {
        writer.WriteRaw(Name, [(byte)'{', (byte)'"', 0xff, (byte)'"', (byte)':', (byte)'0', (byte)'}'], []);

        ErrorsOf().ShouldHaveSingleItem().ShouldContain("not valid UTF-8");
    }

    [Fact]
    public void Open_Link_IsFollowed()
    {
        writer.WriteTensors("blob", new Dictionary<string, TestTensor> { ["a"] = new([1], [3]) });
        File.CreateSymbolicLink(writer.FilePath(Name), writer.FilePath("blob"));

        using var file = Open();
        file.ShouldNotBeNull();
    }

    [Fact]
    public void Open_AnyTruncation_IsRefused()
    {
        writer.WriteTensors("whole", new Dictionary<string, TestTensor> { ["a"] = new([3], [1, 2, 3]), ["b"] = new([2], [1, 2]) });
        var whole = File.ReadAllBytes(writer.FilePath("whole"));

        for (var length = 0; length < whole.Length; length++)
        {
            File.WriteAllBytes(writer.FilePath(Name), whole[..length]);
            ErrorsOf().ShouldNotBeEmpty();
        }
    }

    [Fact]
    public void Open_MutatedHeader_IsValidOrRefusedNeverACrash()
    {
        writer.WriteTensors("whole", new Dictionary<string, TestTensor> { ["a.weight"] = new([3, 2], [1, 2, 3, 4, 5, 6]), ["b"] = new([2], [1, 2], "BF16") });
        var whole = File.ReadAllBytes(writer.FilePath("whole"));
        var interesting = "{}[]:,\"-0123456789.eE\\u FIBUO_"u8.ToArray();
        var mutation = Gen.Select(Gen.Int[0, whole.Length - 1], Gen.OneOf(Gen.Byte, Gen.Int[0, interesting.Length - 1].Select(i => interesting[i])), Gen.Int[0, 2]);

        mutation.Array[1, 6].Sample(
            mutations =>
            {
                var bytes = whole.ToList();
                foreach (var (at, value, kind) in mutations)
                {
                    var index = Math.Min(at, bytes.Count - 1);
                    if (kind == 0)
                        bytes[index] = value;
                    else if (kind == 1)
                        bytes.Insert(index, value);
                    else if (bytes.Count > 1)
                        bytes.RemoveAt(index);
                }

                var name = $"{Guid.NewGuid()}.safetensors";
                File.WriteAllBytes(writer.FilePath(name), [.. bytes]);
                var errors = new LoadErrors();
                using (var file = SafetensorsFile.Open(writer.FilePath(name), errors))
                {
                    (file is null).ShouldBe(errors.Any);
                    // Whatever was accepted can be read from end to end.
                    foreach (var tensor in file?.Tensors.Values ?? [])
                        file!.Read(tensor, 0, new byte[tensor.ByteCount]);
                }

                File.Delete(writer.FilePath(name));
            },
            iter: 2000);
    }

    public void Dispose() => writer.Dispose();

    private SafetensorsFile? Open()
    {
        var errors = new LoadErrors();
        var file = SafetensorsFile.Open(writer.FilePath(Name), errors);
        errors.ToList().ShouldBeEmpty();
        return file;
    }

    private IReadOnlyList<string> ErrorsOf()
    {
        var errors = new LoadErrors();
        SafetensorsFile.Open(writer.FilePath(Name), errors).ShouldBeNull();
        errors.ToList().ShouldAllBe(e => e.StartsWith(Name, StringComparison.Ordinal) || e.StartsWith("and ", StringComparison.Ordinal));
        return errors.ToList();
    }
}
