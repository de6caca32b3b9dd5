using System.Buffers.Binary;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>Reads what a <see cref="CacheWriter"/> wrote. Whatever does not fit is an <see cref="InvalidDataException"/>.</summary>
internal sealed class CacheReader(Stream stream)
{
    /// <summary>Reads a number.</summary>
    /// <param name="name">What it is, for the message.</param>
    /// <param name="min">The least that makes sense.</param>
    /// <param name="max">The most that makes sense.</param>
    /// <exception cref="InvalidDataException">The data end before it, or it is out of range.</exception>
    public int ReadNumber(string name, int min, int max)
    {
        Span<byte> bytes = stackalloc byte[sizeof(int)];
        Fill(bytes);
        var number = BinaryPrimitives.ReadInt32LittleEndian(bytes);
        return number >= min && number <= max
            ? number
            : throw new InvalidDataException($"A saved cache gives {number} as its {name}; {min} to {max} is possible.");
    }

    /// <summary>Reads a tensor's elements into a tensor that is there, a view perhaps.</summary>
    /// <exception cref="InvalidDataException">The data end before it is full.</exception>
    public void Read(Tensor tensor)
    {
        if (tensor.NumberOfElements == 0)
            return;
        using var host = empty(tensor.shape, tensor.dtype, CPU);
        Fill(host.bytes);
        tensor.copy_(host);
    }

    /// <summary>Throws unless everything was read.</summary>
    public void RequireEnd()
    {
        if (stream.ReadByte() >= 0)
            throw new InvalidDataException("A saved cache holds more data than a cache of its length.");
    }

    private void Fill(Span<byte> bytes)
    {
        try
        {
            stream.ReadExactly(bytes);
        }
        catch (EndOfStreamException e)
        {
            throw new InvalidDataException("A saved cache ends before its data do.", e);
        }
    }
}
