using System.Buffers.Binary;
using System.Text.Json;
using TorchSharp;
using static TorchSharp.torch;

namespace DemoModel.Training;

/// <summary>Writes safetensors files, and reads back those written here.</summary>
internal static class Safetensors
{
    private sealed record Entry(string dtype, long[] shape, long[] data_offsets);

    /// <summary>Writes tensors as <paramref name="type"/>: float32 or bfloat16. The file appears whole or not at all.</summary>
    public static void Write(string path, IReadOnlyDictionary<string, Tensor> tensors, ScalarType type)
    {
        using IDisposable noGrad = no_grad();
        using DisposeScope scope = NewDisposeScope();
        int width = type == ScalarType.BFloat16 ? 2 : 4;
        var header = new SortedDictionary<string, object>(StringComparer.Ordinal)
        {
            ["__metadata__"] = new Dictionary<string, string> { ["format"] = "pt" },
        };
        long offset = 0;
        foreach ((string name, Tensor tensor) in tensors)
        {
            long end = offset + tensor.numel() * width;
            header[name] = new Entry(type == ScalarType.BFloat16 ? "BF16" : "F32", tensor.shape, [offset, end]);
            offset = end;
        }

        byte[] json = JsonSerializer.SerializeToUtf8Bytes(header);
        int padding = (8 - json.Length % 8) % 8;
        string partial = path + ".partial";
        using (FileStream file = File.Create(partial))
        {
            Span<byte> length = stackalloc byte[8];
            BinaryPrimitives.WriteInt64LittleEndian(length, json.Length + padding);
            file.Write(length);
            file.Write(json);
            for (int i = 0; i < padding; i++)
                file.WriteByte((byte)' ');
            foreach (Tensor tensor in tensors.Values)
                file.Write(tensor.to(type).contiguous().bytes);
        }

        File.Move(partial, path, overwrite: true);
    }

    /// <summary>Copies a file's tensors over tensors of the same names and shapes.</summary>
    public static void ReadInto(string path, IReadOnlyDictionary<string, Tensor> tensors)
    {
        using IDisposable noGrad = no_grad();
        using DisposeScope scope = NewDisposeScope();
        byte[] bytes = File.ReadAllBytes(path);
        int headerBytes = checked((int)BinaryPrimitives.ReadInt64LittleEndian(bytes));
        using JsonDocument header = JsonDocument.Parse(bytes.AsMemory(8, headerBytes));
        foreach ((string name, Tensor target) in tensors)
        {
            if (!header.RootElement.TryGetProperty(name, out JsonElement json))
                throw new InvalidDataException($"'{path}' has no tensor '{name}'; it was written by a network of another shape.");
            Entry entry = json.Deserialize<Entry>()!;
            if (!entry.shape.SequenceEqual(target.shape))
                throw new InvalidDataException(
                    $"'{name}' of '{path}' has shape [{string.Join(", ", entry.shape)}]; the network wants [{string.Join(", ", target.shape)}].");
            ScalarType type = entry.dtype == "BF16" ? ScalarType.BFloat16 : ScalarType.Float32;
            Tensor read = empty(entry.shape, type);
            bytes.AsSpan(8 + headerBytes + (int)entry.data_offsets[0], (int)(entry.data_offsets[1] - entry.data_offsets[0])).CopyTo(read.bytes);
            target.copy_(read);
        }
    }
}
