using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using LocalLlm.Quantization;

namespace LocalLlm.Kernels.Cpu;

/// <summary>
/// Sixteen groups of numbers, one a lane: rows of 16 float32 in memory, row i holding number i of each group. For keys a lane is a channel and a
/// row a token; for values a lane is a token and a row a channel. A row's 16 codes make one 32-bit lane of a page either way.
/// </summary>
internal readonly unsafe struct LaneTile
{
    /// <summary>Groups of a tile.</summary>
    public const int Lanes = 16;

    // Added to 0 … 15 it leaves the number, rounded with ties to even, in the lowest bits.
    public const float RoundingBias = 1 << 23;

    private readonly float* rows;
    private readonly int count;

    /// <summary>Takes <paramref name="count"/> rows, a multiple of 8; the memory behind them reaches to a whole multiple of 16.</summary>
    public LaneTile(float* rows, int count)
    {
        this.rows = rows;
        this.count = count;
    }

    /// <summary>Each group's least and greatest number, and all ones where all are finite; where not, the other two are undefined.</summary>
    public void Range(out Vector512<float> low, out Vector512<float> high, out Vector512<int> isFinite)
    {
        if (!Vector512.IsHardwareAccelerated)
        {
            var (lower, upper) = (new HalfTile(rows, count).Range(), new HalfTile(rows + HalfTile.Lanes, count).Range());
            low = Vector512.Create(lower.Low, upper.Low);
            high = Vector512.Create(lower.High, upper.High);
            isFinite = Vector512.Create(lower.IsFinite, upper.IsFinite);
            return;
        }

        (low, high) = (Vector512.Load(rows), Vector512.Load(rows));
        var largest = Vector512<int>.Zero; // bits without the sign ascend with size, then come infinity and NaN
        for (var i = 0; i < count; i++)
        {
            var x = Vector512.Load(rows + i * Lanes);
            (low, high) = (Vector512.MinNative(low, x), Vector512.MaxNative(high, x));
            largest = Vector512.Max(largest, x.AsInt32() & Vector512.Create(0x7FFFFFFF));
        }

        isFinite = Vector512.LessThan(largest, Vector512.Create(0x7F800000));
    }

    /// <summary><see cref="ClipSearch"/> of each group, with the same bits.</summary>
    /// <param name="format">The stored form.</param>
    /// <param name="low">Each group's least number.</param>
    /// <param name="high">Each group's greatest number.</param>
    /// <param name="maxCode">The highest code.</param>
    /// <param name="best">The scales of the range; replaced by those found.</param>
    public void Search(KvScaleFormat format, Vector512<float> low, Vector512<float> high, int maxCode, ref LaneScales best)
    {
        var least = Vector512.Create(float.PositiveInfinity);
        var width = high - low;
        foreach (var shrink in ClipSearch.Shrinks)
        {
            var cut = width * ((1 - shrink) * 0.5f);
            var candidate = LaneScales.OfRange(format, low + cut, high - cut, maxCode);
            var sums = SumsOf(candidate, maxCode);
            Consider(candidate, sums.Error, candidate.Fits, ref least, ref best);

            var variance = sums.CodeCode * (float)count - sums.Code * sums.Code;
            var slope = (sums.CodeX * (float)count - sums.Code * sums.X) / variance;
            var minimum = candidate.Minimum + (sums.X - slope * sums.Code) / (float)count;
            var isLine = Vector512.GreaterThan(variance, Vector512<float>.Zero) & Vector512.GreaterThan(slope, Vector512<float>.Zero);
            var refitted = LaneScales.Of(format, slope, minimum);
            Consider(refitted, SumsOf(refitted, maxCode).Error, candidate.Fits & isLine.AsInt32() & refitted.Fits, ref least, ref best);
        }
    }

    /// <summary>Writes the rows' codes, a 32-bit lane a row; rows from the count to the next multiple of 16 get code 0.</summary>
    /// <param name="scales">The groups' scales.</param>
    /// <param name="bits">Bits of a code.</param>
    /// <param name="low">The low plane's lane of row 0.</param>
    /// <param name="high">4 bits: the high plane's lane of row 0. 3 bits: the half of it that these 16 groups are. 2 bits: not used.</param>
    public void Pack(in LaneScales scales, int bits, uint* low, uint* high)
    {
        if (!Vector512.IsHardwareAccelerated)
        {
            HalfTile.Pack(rows, count, scales, bits, low, high);
            return;
        }

        var (minimum, divisor) = (scales.Minimum, scales.Divisor);
        var maxCode = Vector512.Create((float)((1 << bits) - 1));
        for (var row = 0; row < count; row += Lanes)
        {
            var first = rows + row * Lanes;
            var isWhole = count - row >= Lanes;
            // Four rows of 16 codes as bytes each.
            var codes0 = Codes(first, minimum, divisor, maxCode);
            var codes1 = Codes(first + 4 * Lanes, minimum, divisor, maxCode);
            var codes2 = isWhole ? Codes(first + 8 * Lanes, minimum, divisor, maxCode) : default;
            var codes3 = isWhole ? Codes(first + 12 * Lanes, minimum, divisor, maxCode) : default;
            PackPairs(codes0, codes1, codes2, codes3).Store(low + row);
            if (bits == 4)
            {
                PackPairs(codes0 >>> 2, codes1 >>> 2, codes2 >>> 2, codes3 >>> 2).Store(high + row);
            }
            else if (bits == 3)
            {
                StoreBits(codes0, high + row);
                StoreBits(codes1, high + row + 4);
                StoreBits(codes2, high + row + 8);
                StoreBits(codes3, high + row + 12);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<byte> Codes(float* first, Vector512<float> minimum, Vector512<float> divisor, Vector512<float> maxCode)
    {
        var (a, b) = (Code(first, minimum, divisor, maxCode), Code(first + Lanes, minimum, divisor, maxCode));
        var (c, d) = (Code(first + 2 * Lanes, minimum, divisor, maxCode), Code(first + 3 * Lanes, minimum, divisor, maxCode));
        return Vector512.Narrow(Vector512.Narrow(a.AsUInt32(), b.AsUInt32()), Vector512.Narrow(c.AsUInt32(), d.AsUInt32()));
    }

    // The codes in the lowest bits of floats.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Code(float* row, Vector512<float> minimum, Vector512<float> divisor, Vector512<float> maxCode)
    {
        var quotient = (Vector512.Load(row) - minimum) / divisor;
        return Vector512.MinNative(Vector512.MaxNative(quotient, Vector512<float>.Zero), maxCode) + Vector512.Create(RoundingBias);
    }

    // 16 rows of 16 bytes, four to a vector: the lower two bits of each become two bits of the row's 32.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> PackPairs(Vector512<byte> rows0, Vector512<byte> rows1, Vector512<byte> rows2, Vector512<byte> rows3) =>
        Vector512.Narrow(
            Vector512.Narrow(PackFour(rows0), PackFour(rows1)), Vector512.Narrow(PackFour(rows2), PackFour(rows3))).AsUInt32();

    // Each 32-bit lane of four bytes → its lowest byte holds the lower two bits of them.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> PackFour(Vector512<byte> bytes)
    {
        var four = bytes.AsUInt32() & Vector512.Create(0x03030303u);
        var pairs = four | four >>> 6;
        return (pairs | pairs >>> 12) & Vector512.Create(0xFFu);
    }

    // Bit 2 of each of four rows' 16 codes, as half a lane a row.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreBits(Vector512<byte> codes, uint* lanes)
    {
        var bits = Vector512.ExtractMostSignificantBits(codes << 5);
        *(ushort*)lanes = (ushort)bits;
        *(ushort*)(lanes + 1) = (ushort)(bits >> 16);
        *(ushort*)(lanes + 2) = (ushort)(bits >> 32);
        *(ushort*)(lanes + 3) = (ushort)(bits >> 48);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Consider(
        in LaneScales candidate, Vector512<float> error, Vector512<int> mask, ref Vector512<float> least, ref LaneScales best)
    {
        mask &= Vector512.LessThan(error, least).AsInt32();
        least = Vector512.ConditionalSelect(mask.AsSingle(), error, least);
        best = best.Replaced(mask, candidate);
    }

    // The sums of ClipSearch, in its order and without fused operations.
    private Sums SumsOf(in LaneScales scales, int maxCode)
    {
        if (!Vector512.IsHardwareAccelerated)
        {
            var divisors = scales.Divisor;
            var lower = new HalfTile(rows, count)
                .SumsOf(scales.Minimum.GetLower(), scales.Scale.GetLower(), divisors.GetLower(), maxCode);
            var upper = new HalfTile(rows + HalfTile.Lanes, count)
                .SumsOf(scales.Minimum.GetUpper(), scales.Scale.GetUpper(), divisors.GetUpper(), maxCode);
            return new Sums(
                Vector512.Create(lower.Error, upper.Error),
                Vector512.Create(lower.Code, upper.Code),
                Vector512.Create(lower.CodeCode, upper.CodeCode),
                Vector512.Create(lower.X, upper.X),
                Vector512.Create(lower.CodeX, upper.CodeX));
        }

        var (minimum, scale, divisor, highest) = (scales.Minimum, scales.Scale, scales.Divisor, Vector512.Create((float)maxCode));
        Vector512<float> error = default, codes = default, codeCode = default, xs = default, codeX = default;
        for (var i = 0; i < count; i++)
        {
            var row = rows + i * Lanes;
            var number = Vector512.Load(row);
            var code = Code(row, minimum, divisor, highest) - Vector512.Create(RoundingBias);
            var x = number - minimum;
            var difference = number - (code * scale + minimum);
            error += difference * difference;
            codes += code;
            codeCode += code * code;
            xs += x;
            codeX += code * x;
        }

        return new Sums(error, codes, codeCode, xs, codeX);
    }

    private readonly record struct Sums(
        Vector512<float> Error, Vector512<float> Code, Vector512<float> CodeCode, Vector512<float> X, Vector512<float> CodeX);
}
