using System.Buffers.Binary;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>Writes a cache's content: numbers and tensors, one behind the other, little-endian.</summary>
internal sealed class CacheWriter(Stream stream)
{
    /// <summary>Writes a number.</summary>
    public void Write(int number)
    {
        Span<byte> bytes = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32LittleEndian(bytes, number);
        stream.Write(bytes);
    }

    /// <summary>Writes a tensor's elements in the order of its dimensions; its shape and type are the reader's to know.</summary>
    public void Write(Tensor tensor)
    {
        if (tensor.NumberOfElements == 0)
            return;
        using var host = tensor.cpu().contiguous();
        stream.Write(host.bytes);
    }
}
