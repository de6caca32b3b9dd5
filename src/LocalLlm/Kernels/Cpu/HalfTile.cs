using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace LocalLlm.Kernels.Cpu;

/// <summary>
/// Eight lanes of a <see cref="LaneTile"/>, for processors without 512-bit vectors: what is done for every number, in 256 bits (the runtime makes each
/// vector of two where there are only 128). Same operations in the same order, hence the same bits.
/// </summary>
internal readonly unsafe struct HalfTile
{
    /// <summary>Lanes of a half.</summary>
    public const int Lanes = 8;

    private readonly float* rows;
    private readonly int count;

    /// <summary>Takes the lanes that begin at <paramref name="rows"/> of <paramref name="count"/> rows of a whole tile.</summary>
    public HalfTile(float* rows, int count)
    {
        this.rows = rows;
        this.count = count;
    }

    /// <summary>Each group's least and greatest number, and all ones where all are finite.</summary>
    public (Vector256<float> Low, Vector256<float> High, Vector256<int> IsFinite) Range()
    {
        var (low, high) = (Vector256.Load(rows), Vector256.Load(rows));
        var largest = Vector256<int>.Zero;
        for (var i = 0; i < count; i++)
        {
            var x = Vector256.Load(rows + i * LaneTile.Lanes);
            (low, high) = (Vector256.MinNative(low, x), Vector256.MaxNative(high, x));
            largest = Vector256.Max(largest, x.AsInt32() & Vector256.Create(0x7FFFFFFF));
        }

        return (low, high, Vector256.LessThan(largest, Vector256.Create(0x7F800000)));
    }

    /// <summary>The sums of the clip search.</summary>
    public (Vector256<float> Error, Vector256<float> Code, Vector256<float> CodeCode, Vector256<float> X, Vector256<float> CodeX) SumsOf(
        Vector256<float> minimum, Vector256<float> scale, Vector256<float> divisor, int maxCode)
    {
        Vector256<float> error = default, codes = default, codeCode = default, xs = default, codeX = default;
        var highest = Vector256.Create((float)maxCode);
        for (var i = 0; i < count; i++)
        {
            var row = rows + i * LaneTile.Lanes;
            var number = Vector256.Load(row);
            var code = Code(row, minimum, divisor, highest) - Vector256.Create(LaneTile.RoundingBias);
            var x = number - minimum;
            var difference = number - (code * scale + minimum);
            error += difference * difference;
            codes += code;
            codeCode += code * code;
            xs += x;
            codeX += code * x;
        }

        return (error, codes, codeCode, xs, codeX);
    }

    /// <summary><see cref="LaneTile.Pack"/> of a whole tile, eight rows at a time.</summary>
    public static void Pack(float* rows, int count, in LaneScales scales, int bits, uint* low, uint* high)
    {
        var (minimum, divisor) = (scales.Minimum, scales.Divisor);
        var (lowerMinimum, upperMinimum) = (minimum.GetLower(), minimum.GetUpper());
        var (lowerDivisor, upperDivisor) = (divisor.GetLower(), divisor.GetUpper());
        var maxCode = Vector256.Create((float)((1 << bits) - 1));
        for (var row = 0; row < (count + LaneTile.Lanes - 1) / LaneTile.Lanes * LaneTile.Lanes; row += 8)
        {
            // Two rows of 16 codes as bytes in each vector; rows beyond the count have none.
            Vector256<byte> codes0 = default, codes1 = default, codes2 = default, codes3 = default;
            if (row < count)
            {
                var first = rows + row * LaneTile.Lanes;
                codes0 = Codes(first);
                codes1 = Codes(first + 2 * LaneTile.Lanes);
                codes2 = Codes(first + 4 * LaneTile.Lanes);
                codes3 = Codes(first + 6 * LaneTile.Lanes);
            }

            PackPairs(codes0, codes1, codes2, codes3).Store(low + row);
            if (bits == 4)
            {
                PackPairs(codes0 >>> 2, codes1 >>> 2, codes2 >>> 2, codes3 >>> 2).Store(high + row);
            }
            else if (bits == 3)
            {
                StoreBits(codes0, high + row);
                StoreBits(codes1, high + row + 2);
                StoreBits(codes2, high + row + 4);
                StoreBits(codes3, high + row + 6);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        Vector256<byte> Codes(float* first)
        {
            var a = Code(first, lowerMinimum, lowerDivisor, maxCode).AsUInt32();
            var b = Code(first + Lanes, upperMinimum, upperDivisor, maxCode).AsUInt32();
            var c = Code(first + 2 * Lanes, lowerMinimum, lowerDivisor, maxCode).AsUInt32();
            var d = Code(first + 3 * Lanes, upperMinimum, upperDivisor, maxCode).AsUInt32();
            return Vector256.Narrow(Vector256.Narrow(a, b), Vector256.Narrow(c, d));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Code(float* row, Vector256<float> minimum, Vector256<float> divisor, Vector256<float> maxCode)
    {
        var quotient = (Vector256.Load(row) - minimum) / divisor;
        return Vector256.MinNative(Vector256.MaxNative(quotient, Vector256<float>.Zero), maxCode) + Vector256.Create(LaneTile.RoundingBias);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> PackPairs(Vector256<byte> rows0, Vector256<byte> rows1, Vector256<byte> rows2, Vector256<byte> rows3) =>
        Vector256.Narrow(
            Vector256.Narrow(PackFour(rows0), PackFour(rows1)), Vector256.Narrow(PackFour(rows2), PackFour(rows3))).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> PackFour(Vector256<byte> bytes)
    {
        var four = bytes.AsUInt32() & Vector256.Create(0x03030303u);
        var pairs = four | four >>> 6;
        return (pairs | pairs >>> 12) & Vector256.Create(0xFFu);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreBits(Vector256<byte> codes, uint* lanes)
    {
        var bits = Vector256.ExtractMostSignificantBits(codes << 5);
        *(ushort*)lanes = (ushort)bits;
        *(ushort*)(lanes + 1) = (ushort)(bits >> 16);
    }
}
