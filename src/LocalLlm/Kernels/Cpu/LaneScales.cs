using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using LocalLlm.Quantization;

namespace LocalLlm.Kernels.Cpu;

/// <summary>The scales and minima of 16 groups, one a lane: <see cref="ScaleCodec"/> in vectors, with the same bits.</summary>
/// <param name="Scale">s.</param>
/// <param name="Minimum">m.</param>
/// <param name="ScaleBits">s as it is stored, in the lower bits.</param>
/// <param name="MinimumBits">m as it is stored, in the lower bits.</param>
/// <param name="Fits">All ones where the stored form holds both.</param>
internal readonly record struct LaneScales(
    Vector512<float> Scale, Vector512<float> Minimum, Vector512<int> ScaleBits, Vector512<int> MinimumBits, Vector512<int> Fits)
{
    /// <summary>What a difference from the minimum is divided by to make a code: the scale, or infinity where that is 0.</summary>
    public Vector512<float> Divisor
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector512.ConditionalSelect(
            Vector512.Equals(Scale, Vector512<float>.Zero), Vector512.Create(float.PositiveInfinity), Scale);
    }

    /// <summary><see cref="ScaleCodec.TryEncodeRange"/> of each lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static LaneScales OfRange(KvScaleFormat format, Vector512<float> low, Vector512<float> high, int maxCode)
    {
        var scaleOfRange = 1f / maxCode;
        return format == KvScaleFormat.Byte
            ? OfBytes((high - low) * scaleOfRange, low)
            : OfHalves((high - HalfLanes.ToSingle(HalfBits(low))) * scaleOfRange, low);
    }

    /// <summary><see cref="ScaleCodec.TryEncode"/> of each lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static LaneScales Of(KvScaleFormat format, Vector512<float> scale, Vector512<float> minimum) =>
        format == KvScaleFormat.Byte ? OfBytes(scale, minimum) : OfHalves(scale, minimum);

    /// <summary>Where <paramref name="mask"/> is all ones those of <paramref name="other"/>, else these.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public LaneScales Replaced(Vector512<int> mask, in LaneScales other) => new(
        Vector512.ConditionalSelect(mask.AsSingle(), other.Scale, Scale),
        Vector512.ConditionalSelect(mask.AsSingle(), other.Minimum, Minimum),
        Vector512.ConditionalSelect(mask, other.ScaleBits, ScaleBits),
        Vector512.ConditionalSelect(mask, other.MinimumBits, MinimumBits),
        Vector512.ConditionalSelect(mask, other.Fits, Fits));

    private static LaneScales OfBytes(Vector512<float> scale, Vector512<float> minimum)
    {
        var size = Vector512.Abs(minimum);
        var least = Vector512.Max(scale, size * ScaleCodec.LeastScaleOfMinimum);
        var rounded = least.AsInt32() + Vector512.Create(1 << ScaleCodec.ByteShift - 1);
        var index = Vector512.Max((rounded >> ScaleCodec.ByteShift) - Vector512.Create(ScaleCodec.ByteBias), Vector512<int>.Zero);
        var step = ((index + Vector512.Create(ScaleCodec.ByteBias)) << ScaleCodec.ByteShift).AsSingle();
        var root = Vector512.ConvertToInt32(
            Vector512.Min(Vector512.Round(Vector512.Sqrt(size / step) * 16), Vector512.Create(127f)));
        var isNegative = Vector512.LessThan(minimum, Vector512<float>.Zero).AsInt32();
        var multiple = (root ^ isNegative) - isNegative;
        var square = root * root;
        var minimums = Vector512.ConvertToSingle((square ^ isNegative) - isNegative) * (step * (1f / 256));
        return new LaneScales(step, minimums, index, multiple, Vector512.LessThanOrEqual(index, Vector512.Create(255)));
    }

    private static LaneScales OfHalves(Vector512<float> scale, Vector512<float> minimum)
    {
        var (scaleBits, minimumBits) = (HalfLanes.FromSingle(Vector512.Max(scale, Vector512<float>.Zero)), HalfBits(minimum));
        var infinity = Vector512.Create(HalfLanes.Infinity);
        var fits = Vector512.LessThan(scaleBits, infinity) & Vector512.LessThan(minimumBits & Vector512.Create(0x7FFF), infinity);
        return new LaneScales(HalfLanes.ToSingle(scaleBits), HalfLanes.ToSingle(minimumBits), scaleBits, minimumBits, fits);
    }

    // −0 becomes +0.
    private static Vector512<int> HalfBits(Vector512<float> minimum)
    {
        var bits = HalfLanes.FromSingle(minimum);
        return bits & ~Vector512.Equals(bits, Vector512.Create(0x8000));
    }
}
