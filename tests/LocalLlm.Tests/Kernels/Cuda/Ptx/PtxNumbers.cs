using System.Numerics;

namespace LocalLlm.Tests.Kernels.Cuda.Ptx;

/// <summary>Arithmetic as the PTX ISA defines it, on the bits of registers.</summary>
internal static class PtxNumbers
{
    private const uint NaN = 0x7FFFFFFF;
    private const ushort ShortNaN = 0x7FFF;

    public static float Float(ulong bits) => BitConverter.UInt32BitsToSingle((uint)bits);

    /// <summary>The bits of a result: every NaN is the canonical one.</summary>
    public static ulong Bits(float x) => float.IsNaN(x) ? NaN : BitConverter.SingleToUInt32Bits(x);

    /// <summary>An integer of a width and signedness, in 64 bits.</summary>
    public static long Integer(ulong value, int bits, bool isSigned) =>
        isSigned ? (long)(value << (64 - bits)) >> (64 - bits) : (long)(value << (64 - bits) >> (64 - bits));

    /// <summary>Which of the orders of two numbers holds: 0 less, 1 equal, 2 greater, 3 unordered.</summary>
    public static int Order(float a, float b) => a < b ? 0 : a == b ? 1 : a > b ? 2 : 3;

    /// <summary>min.f32, and max.f32: of a number and NaN the number; -0 is less than +0.</summary>
    public static float MinNumber(float a, float b) => float.MinNumber(a, b);

    /// <inheritdoc cref="MinNumber"/>
    public static float MaxNumber(float a, float b) => float.MaxNumber(a, b);

    /// <summary>ex2.approx.ftz.f32, without its error: subnormal operands and results are zeros.</summary>
    public static float PowerOfTwo(float x)
    {
        var power = Math.Pow(2, float.IsSubnormal(x) ? 0 : x);
        return power < MathF.ScaleB(1, -126) ? 0 : (float)power;
    }

    /// <summary>bfe: bits from a position on; with a sign the highest of them fills the rest.</summary>
    public static ulong ExtractBits(ulong value, int position, int length, int bits, bool isSigned)
    {
        var sign = isSigned && length > 0 && (value >> Math.Min(position + length - 1, bits - 1) & 1) != 0;
        var result = 0UL;
        for (var i = 0; i < bits; i++)
        {
            if (i < length && position + i < bits ? (value >> (position + i) & 1) != 0 : sign)
                result |= 1UL << i;
        }

        return result;
    }

    /// <summary>bfi: the low bits of a value, put into another from a position on.</summary>
    public static ulong InsertBits(ulong value, ulong into, int position, int length, int bits)
    {
        for (var i = 0; i < length && position + i < bits; i++)
            into = (into & ~(1UL << (position + i))) | ((value >> i & 1) << (position + i));
        return into;
    }

    /// <summary>prmt: a nibble of the selector for each byte of the result; its highest bit spreads the byte's sign.</summary>
    public static uint Permute(uint a, uint b, uint selector)
    {
        var (bytes, result) = (((ulong)b << 32) | a, 0u);
        for (var i = 0; i < 4; i++)
        {
            var nibble = (int)(selector >> (4 * i)) & 15;
            var chosen = (byte)(bytes >> (8 * (nibble & 7)));
            if (nibble > 7)
                chosen = (byte)((sbyte)chosen >> 7);
            result |= (uint)chosen << (8 * i);
        }

        return result;
    }

    /// <summary>lop3: bit 4a + 2b + c of the table for every bit.</summary>
    public static uint Logic(uint a, uint b, uint c, uint table)
    {
        var result = 0u;
        for (var i = 0; i < 8; i++)
        {
            if ((table >> i & 1) != 0)
                result |= ((i & 4) != 0 ? a : ~a) & ((i & 2) != 0 ? b : ~b) & ((i & 1) != 0 ? c : ~c);
        }

        return result;
    }

    /// <summary>Towards zero, and to the nearest integer that there is; NaN to 0.</summary>
    public static ulong ToInteger(float x, int bits, bool isSigned)
    {
        var (least, most) = isSigned ? (-Math.ScaleB(1, bits - 1), Math.ScaleB(1, bits - 1) - 1) : (0, Math.ScaleB(1, bits) - 1);
        return float.IsNaN(x) ? 0 : (ulong)(long)Math.Clamp(Math.Truncate((double)x), least, most);
    }

    public static float Half(ulong bits) => (float)BitConverter.UInt16BitsToHalf((ushort)bits);

    public static ushort ToHalf(float x) => float.IsNaN(x) ? ShortNaN : BitConverter.HalfToUInt16Bits((Half)x);

    public static float Bfloat16(ulong bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    /// <summary>The nearest bfloat16, of two the even one: eight bits of mantissa, subnormals to 2^-133.</summary>
    public static ushort ToBfloat16(double x)
    {
        if (double.IsNaN(x))
            return ShortNaN;
        if (double.IsInfinity(x) || x == 0)
            return (ushort)(BitConverter.SingleToUInt32Bits((float)x) >> 16);
        var place = Math.Max(Math.ILogB(x), -126) - 7;
        var rounded = Math.ScaleB(Math.Round(Math.ScaleB(x, -place), MidpointRounding.ToEven), place);
        return (ushort)(BitConverter.SingleToUInt32Bits((float)rounded) >> 16);
    }

    /// <summary>fma.rn.bf16x2: each half rounded once.</summary>
    public static uint FusedMultiplyAddBfloat16Pair(uint a, uint b, uint c) =>
        FusedMultiplyAddBfloat16(a, b, c) | ((uint)FusedMultiplyAddBfloat16(a >> 16, b >> 16, c >> 16) << 16);

    /// <summary>The number of set bits.</summary>
    public static int CountBits(ulong value) => BitOperations.PopCount(value);

    // The product is exact in double. The sum is rounded to odd, after which rounding again to fewer bits is as rounding once.
    private static ushort FusedMultiplyAddBfloat16(uint a, uint b, uint c)
    {
        var (product, addend) = ((double)Bfloat16(a) * Bfloat16(b), (double)Bfloat16(c));
        var sum = product + addend;
        var part = sum - product;
        var error = (product - (sum - part)) + (addend - part);
        var bits = BitConverter.DoubleToInt64Bits(sum);
        if (double.IsFinite(sum) && error != 0 && (bits & 1) == 0)
            sum = BitConverter.Int64BitsToDouble(bits + (error > 0 == sum > 0 ? 1 : -1));
        return ToBfloat16(sum);
    }
}
