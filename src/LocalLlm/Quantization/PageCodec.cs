using System.Buffers.Binary;

namespace LocalLlm.Quantization;

/// <summary>
/// The 2-bit codec of one KV head's part of a page, one number at a time: the specification in code. Every other implementation gives the
/// same bytes and, dequantised, the same floats, bit for bit.
/// </summary>
/// <remarks>
/// A group of numbers x (keys: one channel over all tokens; values: one token over a group of channels) becomes
/// m = fp16(min x), s = fp16(max(0, max x − m)·⅓), code = clamp(round((x − m) / s), 0, 3), all in float32, ties to even; s = 0 makes every code 0; m is never −0.
/// It is read back as code·s + m. The product is exact in float32, so a fused multiply-add changes nothing.
/// </remarks>
internal static class PageCodec
{
    /// <summary>The factor of a group's range that makes its scale. A multiplication: GPUs do not divide by a constant exactly.</summary>
    public const float ScaleOfRange = 1f / PageLayout.MaxCode;

    /// <summary>Quantises one KV head of one page.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="keys">[W][D].</param>
    /// <param name="values">[W][D].</param>
    /// <param name="codes">Receives <see cref="PageLayout.CodeBytes"/> bytes.</param>
    /// <param name="scales">Receives <see cref="PageLayout.ScaleCount"/> numbers.</param>
    /// <param name="layer">The layer, for messages.</param>
    /// <exception cref="LocalLlmException">A number is NaN, infinite or beyond fp16's range; <paramref name="codes"/> and <paramref name="scales"/> hold no page then.</exception>
    public static void Quantize(
        PageLayout layout, ReadOnlySpan<float> keys, ReadOnlySpan<float> values, Span<byte> codes, Span<Half> scales, int layer)
    {
        var (window, headDim) = (layout.Window, layout.HeadDim);
        RequireLength(keys.Length, window * headDim, nameof(keys));
        RequireLength(values.Length, window * headDim, nameof(values));
        RequireLength(codes.Length, layout.CodeBytes, nameof(codes));
        RequireLength(scales.Length, layout.ScaleCount, nameof(scales));
        codes.Clear();

        for (var channel = 0; channel < headDim; channel++)
        {
            var (scale, minimum) = Fit(keys, channel, headDim, window, layer, "key");
            scales[PageLayout.KeyScaleIndex + channel] = scale;
            scales[layout.KeyMinimumIndex + channel] = minimum;
            for (var token = 0; token < window; token++)
                SetCode(codes, KeyLane(layout, token, channel), channel % PageLayout.LaneCodes, Code(keys[token * headDim + channel], scale, minimum));
        }

        for (var token = 0; token < window; token++)
        {
            for (var group = 0; group < layout.Groups; group++)
            {
                var first = PageLayout.GroupStart(group);
                var (scale, minimum) = Fit(values, token * headDim + first, 1, layout.GroupSize(group), layer, "value");
                scales[layout.ValueScaleIndex + group * window + token] = scale;
                scales[layout.ValueMinimumIndex + group * window + token] = minimum;
                for (var channel = first; channel < first + layout.GroupSize(group); channel++)
                {
                    var code = Code(values[token * headDim + channel], scale, minimum);
                    SetCode(codes, ValueLane(layout, token, channel), token % PageLayout.LaneCodes, code);
                }
            }
        }
    }

    /// <summary>Reads one KV head of one page back.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="codes"><see cref="PageLayout.CodeBytes"/> bytes.</param>
    /// <param name="scales"><see cref="PageLayout.ScaleCount"/> numbers.</param>
    /// <param name="keys">Receives [W][D].</param>
    /// <param name="values">Receives [W][D].</param>
    public static void Dequantize(
        PageLayout layout, ReadOnlySpan<byte> codes, ReadOnlySpan<Half> scales, Span<float> keys, Span<float> values)
    {
        var (window, headDim) = (layout.Window, layout.HeadDim);
        RequireLength(keys.Length, window * headDim, nameof(keys));
        RequireLength(values.Length, window * headDim, nameof(values));
        RequireLength(codes.Length, layout.CodeBytes, nameof(codes));
        RequireLength(scales.Length, layout.ScaleCount, nameof(scales));

        for (var token = 0; token < window; token++)
        {
            for (var channel = 0; channel < headDim; channel++)
            {
                var group = channel / PageLayout.GroupChannels;
                var keyCode = GetCode(codes, KeyLane(layout, token, channel), channel % PageLayout.LaneCodes);
                keys[token * headDim + channel] =
                    keyCode * (float)scales[PageLayout.KeyScaleIndex + channel] + (float)scales[layout.KeyMinimumIndex + channel];
                var valueCode = GetCode(codes, ValueLane(layout, token, channel), token % PageLayout.LaneCodes);
                values[token * headDim + channel] =
                    valueCode * (float)scales[layout.ValueScaleIndex + group * window + token]
                    + (float)scales[layout.ValueMinimumIndex + group * window + token];
            }
        }
    }

    // Byte offset of the 32-bit lane that holds a key's code: lanes are tokens, the codes of a lane are 16 neighbouring channels.
    private static int KeyLane(PageLayout layout, int token, int channel) =>
        (channel / PageLayout.LaneCodes * layout.Window + token) * sizeof(uint);

    // Lanes are channels, the codes of a lane are 16 neighbouring tokens.
    private static int ValueLane(PageLayout layout, int token, int channel) =>
        layout.KeyCodeBytes + (token / PageLayout.LaneCodes * layout.HeadDim + channel) * sizeof(uint);

    private static (Half Scale, Half Minimum) Fit(ReadOnlySpan<float> numbers, int first, int stride, int count, int layer, string name)
    {
        var (low, high) = (float.PositiveInfinity, float.NegativeInfinity);
        for (var i = 0; i < count; i++)
        {
            var x = numbers[first + i * stride];
            if (!float.IsFinite(x))
                throw new LocalLlmException($"Layer {layer}: a {name} is {x}; no page can hold it.");
            (low, high) = (MathF.Min(low, x), MathF.Max(high, x));
        }

        var minimum = (Half)((float)(Half)low + 0f); // −0 becomes +0: which of the two a minimum finds depends on the order
        var scale = (Half)(MathF.Max(0, high - (float)minimum) * ScaleOfRange);
        if (!Half.IsFinite(minimum) || !Half.IsFinite(scale))
            throw new LocalLlmException($"Layer {layer}: {name}s range from {low} to {high}; a page's fp16 scales end at ±65504.");
        return (scale, minimum);
    }

    private static uint Code(float x, Half scale, Half minimum)
    {
        var divisor = scale == Half.Zero ? float.PositiveInfinity : (float)scale;
        return (uint)Math.Clamp(MathF.Round((x - (float)minimum) / divisor), 0, PageLayout.MaxCode);
    }

    private static void SetCode(Span<byte> codes, int lane, int index, uint code)
    {
        var bits = codes.Slice(lane, sizeof(uint));
        BinaryPrimitives.WriteUInt32LittleEndian(bits, BinaryPrimitives.ReadUInt32LittleEndian(bits) | code << 2 * index);
    }

    private static uint GetCode(ReadOnlySpan<byte> codes, int lane, int index) =>
        BinaryPrimitives.ReadUInt32LittleEndian(codes.Slice(lane, sizeof(uint))) >> 2 * index & PageLayout.MaxCode;

    private static void RequireLength(int length, int needed, string name)
    {
        if (length != needed)
            throw new ArgumentException($"{name} has {length} elements; the page layout needs {needed}.", name);
    }
}
