namespace LocalLlm.Quantization;

/// <summary>What a group's codes are read back with, and as what it is stored.</summary>
/// <param name="Scale">s: the step between two codes.</param>
/// <param name="Minimum">m: what code 0 stands for.</param>
/// <param name="ScaleBits">s as it is stored: a byte, or the bits of an fp16 number.</param>
/// <param name="MinimumBits">m as it is stored.</param>
internal readonly record struct GroupScale(float Scale, float Minimum, ushort ScaleBits, ushort MinimumBits);

/// <summary>
/// The stored forms of a group's scale and minimum, docs/kv-layout.md. Everything is computed in float32, ties to even where nothing else is said.
/// </summary>
internal static class ScaleCodec
{
    /// <summary>Bits by which a scale byte is shifted into a float's exponent and mantissa: three mantissa bits remain.</summary>
    public const int ByteShift = 20;

    /// <summary>The float bits of scale byte 0, that is 2⁻¹⁷, shifted back: subtracted from a float's upper bits they give its byte.</summary>
    public const int ByteBias = (127 - 17) << 3;

    /// <summary>The largest scale of the 8-bit format, byte 255.</summary>
    public const float LargestByteScale = 30720;

    /// <summary>
    /// The least scale of the 8-bit format per unit of the minimum's size. The minimum is stored as a multiple of the scale that ends at 63, and
    /// rounding takes up to a seventeenth off the scale.
    /// </summary>
    public const float LeastScaleOfMinimum = 1f / 59;

    /// <summary>The scale and minimum of numbers from <paramref name="low"/> to <paramref name="high"/>.</summary>
    /// <param name="format">The stored form.</param>
    /// <param name="low">The least number, finite.</param>
    /// <param name="high">The greatest number, finite.</param>
    /// <param name="maxCode">The highest code, which stands for <paramref name="high"/>.</param>
    /// <param name="result">Receives both.</param>
    /// <returns>False if the stored form cannot hold them.</returns>
    public static bool TryEncodeRange(KvScaleFormat format, float low, float high, int maxCode, out GroupScale result)
    {
        // A multiplication by the reciprocal: GPUs do not divide by a constant exactly.
        var scaleOfRange = 1f / maxCode;
        if (format == KvScaleFormat.Byte)
            return TryEncode(format, (high - low) * scaleOfRange, low, out result);
        return TryEncode(format, (high - WideHalf(low)) * scaleOfRange, low, out result);
    }

    /// <summary>The scale and minimum next to given ones.</summary>
    /// <param name="format">The stored form.</param>
    /// <param name="scale">The wanted step; one below 0 counts as 0.</param>
    /// <param name="minimum">The wanted minimum.</param>
    /// <param name="result">Receives both.</param>
    /// <returns>False if the stored form cannot hold them.</returns>
    public static bool TryEncode(KvScaleFormat format, float scale, float minimum, out GroupScale result)
    {
        scale = MathF.Max(0, scale);
        if (format == KvScaleFormat.Byte)
        {
            var size = MathF.Abs(minimum);
            var least = MathF.Max(scale, size * LeastScaleOfMinimum);
            var index = Math.Max(0, ((BitConverter.SingleToInt32Bits(least) + (1 << ByteShift - 1)) >> ByteShift) - ByteBias);
            var step = DecodeByteScale(index);
            var root = (int)MathF.Min(127, MathF.Round(16 * MathF.Sqrt(size / step)));
            var multiple = minimum < 0 ? -root : root;
            result = new GroupScale(step, DecodeByteMinimum(multiple, step), (ushort)index, (byte)multiple);
            return index <= byte.MaxValue;
        }

        var (halfScale, halfMinimum) = ((Half)scale, (Half)WideHalf(minimum));
        result = new GroupScale(
            (float)halfScale, (float)halfMinimum, BitConverter.HalfToUInt16Bits(halfScale), BitConverter.HalfToUInt16Bits(halfMinimum));
        return Half.IsFinite(halfScale) && Half.IsFinite(halfMinimum);
    }

    /// <summary>The scale and minimum of stored bits.</summary>
    public static (float Scale, float Minimum) Decode(KvScaleFormat format, ushort scaleBits, ushort minimumBits)
    {
        if (format == KvScaleFormat.Half)
            return ((float)BitConverter.UInt16BitsToHalf(scaleBits), (float)BitConverter.UInt16BitsToHalf(minimumBits));
        var scale = DecodeByteScale(scaleBits);
        return (scale, DecodeByteMinimum((sbyte)minimumBits, scale));
    }

    /// <summary>The scale of a scale byte: five bits of exponent (bias 17) and three of mantissa, 2⁻¹⁷ to 30720.</summary>
    public static float DecodeByteScale(int index) => BitConverter.Int32BitsToSingle((index + ByteBias) << ByteShift);

    /// <summary>
    /// The minimum of a minimum byte: z·|z|/256 scales, exact in float32. Steps are an eighth of the scale at one scale and a whole one at 63.
    /// </summary>
    public static float DecodeByteMinimum(int multiple, float scale) => multiple * Math.Abs(multiple) * (scale * (1f / 256));

    // −0 becomes +0: which of the two a minimum finds depends on the order.
    private static float WideHalf(float x) => (float)(Half)x + 0f;
}
