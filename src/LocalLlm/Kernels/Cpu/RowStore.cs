using System.Numerics;

namespace LocalLlm.Kernels.Cpu;

/// <summary>Where a number that is NaN or infinite was found.</summary>
/// <param name="Token">Token, from 0.</param>
/// <param name="Head">KV head.</param>
/// <param name="Channel">Channel.</param>
/// <param name="Value">The number.</param>
internal readonly record struct NotFinite(int Token, int Head, int Channel, float Value);

/// <summary>Keys or values of some tokens in memory: each head's D numbers lie together.</summary>
/// <param name="Start">The first token's first head.</param>
/// <param name="TokenBytes">Bytes from one token to the next.</param>
/// <param name="HeadBytes">Bytes from one KV head to the next.</param>
/// <param name="Heads">Hkv.</param>
/// <param name="HeadDim">D.</param>
/// <param name="Type">The numbers' type.</param>
internal readonly record struct TokenRows(nint Start, nint TokenBytes, nint HeadBytes, int Heads, int HeadDim, NumberType Type)
{
    /// <summary>Bytes of a number.</summary>
    public int ElementBytes => Type == NumberType.Float32 ? sizeof(float) : sizeof(ushort);

    /// <summary>Bytes of one head's numbers of one token.</summary>
    public int RowBytes => HeadDim * ElementBytes;

    /// <summary>The same from another token on.</summary>
    public TokenRows From(int token) => this with { Start = Start + (token * TokenBytes) };

    /// <summary>The memory of a head of a token.</summary>
    public nint At(int token, int head) => Start + (token * TokenBytes) + (head * HeadBytes);

    /// <summary>One head's rows from <paramref name="token"/> on, each <paramref name="step"/>th.</summary>
    public unsafe NumberRows Of(int head, int token, int step) => new((void*)At(token, head), Type, step * TokenBytes / ElementBytes);
}

/// <summary>Writes and moves full-precision rows of one layer's keys or values.</summary>
internal static unsafe class RowStore
{
    /// <summary>The first number that is NaN or infinite, in the order of tokens, heads and channels; null if there is none.</summary>
    public static NotFinite? FindNotFinite(in TokenRows rows, int tokens)
    {
        for (var token = 0; token < tokens; token++)
        {
            for (var head = 0; head < rows.Heads; head++)
            {
                var row = (byte*)rows.At(token, head);
                if (IsFinite(rows.Type, row, rows.HeadDim))
                    continue;
                for (var channel = 0; ; channel++, row += rows.ElementBytes)
                {
                    if (!IsFinite(rows.Type, row, 1))
                        return new NotFinite(token, head, channel, Read(rows.Type, row));
                }
            }
        }

        return null;
    }

    /// <summary>Copies tokens to rows of the same type and shape.</summary>
    public static void Write(in TokenRows source, in TokenRows target, int tokens)
    {
        for (var head = 0; head < source.Heads; head++)
        {
            for (var token = 0; token < tokens; token++)
                Buffer.MemoryCopy((void*)source.At(token, head), (void*)target.At(token, head), source.RowBytes, source.RowBytes);
        }
    }

    /// <summary>Closes the gaps that the removed rows leave among the first <paramref name="count"/>; the others keep their order.</summary>
    /// <param name="rows">The rows of a layer, a head's following each other directly.</param>
    /// <param name="first">The first removed row.</param>
    /// <param name="step">Distance from one removed row to the next, at least 1.</param>
    /// <param name="removed">How many are removed.</param>
    /// <param name="count">How many rows there are.</param>
    public static void Remove(in TokenRows rows, int first, int step, int removed, int count)
    {
        for (var head = 0; head < rows.Heads; head++)
        {
            var target = first;
            for (var i = 0; i < removed; i++)
            {
                // What lies between this removed row and the next, or behind the last.
                var start = first + (i * step) + 1;
                var end = i + 1 < removed ? first + ((i + 1) * step) : count;
                var bytes = (long)(end - start) * rows.RowBytes;
                if (bytes > 0)
                    Buffer.MemoryCopy((void*)rows.At(start, head), (void*)rows.At(target, head), bytes, bytes); // overlapping is allowed
                target += end - start;
            }
        }
    }

    // A number is NaN or infinite where all bits of its exponent are set.
    private static bool IsFinite(NumberType type, byte* row, int count) => type switch
    {
        NumberType.Float32 => IsFinite(new ReadOnlySpan<uint>(row, count), 0x7F800000u),
        NumberType.Float16 => IsFinite(new ReadOnlySpan<ushort>(row, count), (ushort)0x7C00),
        _ => IsFinite(new ReadOnlySpan<ushort>(row, count), (ushort)0x7F80),
    };

    private static bool IsFinite<T>(ReadOnlySpan<T> bits, T exponent) where T : unmanaged, IBinaryInteger<T>
    {
        var mask = new Vector<T>(exponent);
        var i = 0;
        for (; i <= bits.Length - Vector<T>.Count; i += Vector<T>.Count)
        {
            if (Vector.EqualsAny(new Vector<T>(bits[i..]) & mask, mask))
                return false;
        }

        for (; i < bits.Length; i++)
        {
            if ((bits[i] & exponent) == exponent)
                return false;
        }

        return true;
    }

    private static float Read(NumberType type, byte* number) => type switch
    {
        NumberType.Float32 => Float32Numbers.Read(number),
        NumberType.Float16 => Float16Numbers.Read(number),
        _ => BFloat16Numbers.Read(number),
    };
}
