using System.Numerics;

namespace LocalLlm.Kernels.Cpu;

/// <summary>Where a number that is NaN or infinite was found.</summary>
/// <param name="Token">Row of the source, from 0.</param>
/// <param name="Head">KV head.</param>
/// <param name="Channel">Channel.</param>
internal readonly record struct NotFinite(int Token, int Head, int Channel);

/// <summary>Writes and moves full-precision rows of keys or values, [heads][capacity][D] of one layer.</summary>
internal static unsafe class RowStore
{
    /// <summary>Copies tokens into rows, looking at every number.</summary>
    /// <param name="type">The type of both.</param>
    /// <param name="source">The first token's first head; each head's D numbers lie together.</param>
    /// <param name="sourceTokenBytes">Bytes from one token to the next.</param>
    /// <param name="sourceHeadBytes">Bytes from one head to the next.</param>
    /// <param name="target">The first row of the first head.</param>
    /// <param name="targetHeadBytes">Bytes from one head's rows to the next's; a row follows the other directly.</param>
    /// <param name="tokens">How many.</param>
    /// <param name="heads">Hkv.</param>
    /// <param name="headDim">D.</param>
    /// <returns>The first number that is NaN or infinite; null if there is none. Rows before it are written.</returns>
    public static NotFinite? Write(
        NumberType type, byte* source, nint sourceTokenBytes, nint sourceHeadBytes, byte* target, nint targetHeadBytes, int tokens, int heads, int headDim)
    {
        var rowBytes = headDim * (type == NumberType.Float32 ? sizeof(float) : sizeof(ushort));
        for (var token = 0; token < tokens; token++)
        {
            for (var head = 0; head < heads; head++)
            {
                var row = source + (token * sourceTokenBytes) + (head * sourceHeadBytes);
                if (!IsFinite(type, row, headDim))
                    return new NotFinite(token, head, FirstNotFinite(type, row, headDim));
                Buffer.MemoryCopy(row, target + (head * targetHeadBytes) + ((nint)token * rowBytes), rowBytes, rowBytes);
            }
        }

        return null;
    }

    /// <summary>Moves rows to the front: row i becomes what row <paramref name="kept"/>[i] was. Ascending, so that nothing is overwritten before it is read.</summary>
    /// <param name="rows">The first row of the first head.</param>
    /// <param name="headBytes">Bytes from one head's rows to the next's.</param>
    /// <param name="rowBytes">Bytes of a row.</param>
    /// <param name="heads">Hkv.</param>
    /// <param name="kept">Rows that stay, ascending.</param>
    public static void Keep(byte* rows, nint headBytes, int rowBytes, int heads, ReadOnlySpan<int> kept)
    {
        for (var head = 0; head < heads; head++, rows += headBytes)
        {
            for (var i = 0; i < kept.Length; i++)
            {
                if (kept[i] != i)
                    Buffer.MemoryCopy(rows + ((nint)kept[i] * rowBytes), rows + ((nint)i * rowBytes), rowBytes, rowBytes);
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

    private static int FirstNotFinite(NumberType type, byte* row, int count)
    {
        var size = type == NumberType.Float32 ? sizeof(float) : sizeof(ushort);
        for (var i = 0; i < count; i++)
        {
            if (!IsFinite(type, row + (i * size), 1))
                return i;
        }

        return count;
    }
}
