using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace LocalLlm.Tests.Loading;

/// <summary>A tensor of a test checkpoint, its values as doubles.</summary>
internal sealed record TestTensor(long[] Shape, double[] Values, string Type = "F32");

/// <summary>Writes model folders for tests: a plain safetensors writer of its own, config.json, a tokenizer that is only there.</summary>
internal sealed class CheckpointWriter : IDisposable
{
    private readonly DirectoryInfo folder = Directory.CreateTempSubdirectory("localllm-test-");

    /// <summary>The folder.</summary>
    public string FolderPath => folder.FullName;

    /// <summary>A file of the folder.</summary>
    public string FilePath(string name) => Path.Combine(FolderPath, name);

    /// <summary>Writes a whole model.</summary>
    public void WriteModel(JsonObject config, IReadOnlyDictionary<string, TestTensor> tensors, int shards = 1)
    {
        WriteText("config.json", config.ToJsonString());
        WriteText("tokenizer.json", "{}");
        if (shards == 1)
        {
            WriteTensors("model.safetensors", tensors);
            return;
        }

        var weightMap = new JsonObject();
        foreach (var (group, index) in tensors.Select((t, i) => (t, i % shards)).GroupBy(x => x.Item2, x => x.t).Select((g, i) => (g, i)))
        {
            var name = $"model-{index + 1:00000}-of-{shards:00000}.safetensors";
            WriteTensors(name, group.ToDictionary());
            foreach (var (tensor, _) in group)
                weightMap[tensor] = name;
        }

        WriteText("model.safetensors.index.json", new JsonObject { ["metadata"] = new JsonObject { ["total_size"] = 0 }, ["weight_map"] = weightMap }.ToJsonString());
    }

    /// <summary>Writes one safetensors file.</summary>
    public void WriteTensors(string name, IReadOnlyDictionary<string, TestTensor> tensors)
    {
        var header = new JsonObject { ["__metadata__"] = new JsonObject { ["format"] = "pt" } };
        using var data = new MemoryStream();
        foreach (var (key, tensor) in tensors)
        {
            var begin = data.Length;
            foreach (var value in tensor.Values)
                data.Write(Encode(value, tensor.Type));
            header[key] = Entry(tensor.Type, tensor.Shape, begin, data.Length);
        }

        WriteRaw(name, header.ToJsonString(), data.ToArray());
    }

    /// <summary>A header's entry.</summary>
    public static JsonObject Entry(string type, long[] shape, long begin, long end) => new()
    {
        ["dtype"] = type,
        ["shape"] = JsonSerializer.SerializeToNode(shape),
        ["data_offsets"] = new JsonArray(begin, end),
    };

    /// <summary>Writes a safetensors file from a header as it is, and data.</summary>
    public void WriteRaw(string name, string header, byte[] data) => WriteRaw(name, Encoding.UTF8.GetBytes(header), data);

    /// <summary>Writes a safetensors file from a header as it is, and data.</summary>
    public void WriteRaw(string name, byte[] header, byte[] data, ulong? headerLength = null)
    {
        var prefix = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(prefix, headerLength ?? (ulong)header.Length);
        File.WriteAllBytes(FilePath(name), [.. prefix, .. header, .. data]);
    }

    /// <summary>Writes a text file.</summary>
    public void WriteText(string name, string text) => File.WriteAllText(FilePath(name), text);

    /// <summary>The nearest value that a stored type holds.</summary>
    public static double Round(double value, string type) => type switch
    {
        "F32" => (float)value,
        "F16" => (double)(Half)value,
        "BF16" => BitConverter.UInt32BitsToSingle((uint)BFloat16Bits(value) << 16),
        _ => throw new ArgumentOutOfRangeException(nameof(type)),
    };

    public void Dispose() => folder.Delete(recursive: true);

    private static byte[] Encode(double value, string type) => type switch
    {
        "F32" => BitConverter.GetBytes((float)value),
        "F16" => BitConverter.GetBytes((Half)value),
        "BF16" => BitConverter.GetBytes(BFloat16Bits(value)),
        _ => throw new ArgumentOutOfRangeException(nameof(type)),
    };

    // Round to nearest; an exact tie goes up, which random values do not meet.
    private static ushort BFloat16Bits(double value) => (ushort)((BitConverter.SingleToUInt32Bits((float)value) + 0x8000) >> 16);
}
