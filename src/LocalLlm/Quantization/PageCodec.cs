using System.Buffers.Binary;

namespace LocalLlm.Quantization;

/// <summary>
/// The codec of one KV head's part of a page, one number at a time: the specification in code. Every other implementation gives the same bytes
/// and, dequantised, the same floats, bit for bit.
/// </summary>
/// <remarks>
/// A group of numbers x (keys: one channel over all tokens; values: one token over a group of channels) becomes a scale s and a minimum m in their
/// stored form (<see cref="ScaleCodec"/>) and code = clamp(round((x − m) / s), 0, 2ᵇ − 1), all in float32, ties to even; s = 0 makes every code 0.
/// It is read back as code·s + m. The product is exact in float32, so a fused multiply-add changes nothing.
/// </remarks>
internal static class PageCodec
{
    /// <summary>Quantises one KV head of one page.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="keys">[P][D].</param>
    /// <param name="values">[P][D].</param>
    /// <param name="codes">Receives <see cref="PageLayout.CodeBytes"/> bytes.</param>
    /// <param name="scales">Receives <see cref="PageLayout.ScaleBytes"/> bytes: little-endian fp16 numbers, or bytes.</param>
    /// <param name="layer">The layer, for messages.</param>
    /// <param name="clipSearch">Seek each group's best scale and minimum (<see cref="ClipSearch"/>) instead of those of its range.</param>
    /// <exception cref="LocalLlmException">
    /// A number is NaN, infinite or beyond the scales' range; <paramref name="codes"/> and <paramref name="scales"/> hold no page then.
    /// </exception>
    public static void Quantize(
        PageLayout layout, ReadOnlySpan<float> keys, ReadOnlySpan<float> values, Span<byte> codes, Span<byte> scales, int layer,
        bool clipSearch = false)
    {
        var (tokens, headDim) = (layout.Tokens, layout.HeadDim);
        RequireLengths(layout, keys.Length, values.Length, codes.Length, scales.Length);
        codes.Clear();
        scales.Clear(); // of padded channels nothing else is written

        for (var channel = 0; channel < headDim; channel++)
        {
            var group = new NumberGroup(keys[channel..], headDim, tokens, layout.KeyMaxCode(channel / PageLayout.LaneCodes));
            if (!TryFit(group, layout.Scales, clipSearch, out var scale))
                throw new PageFault(true, -1, channel, group.Low, group.High).ToException(layout, layer);
            WriteScale(layout, scales, PageLayout.KeyScaleIndex + channel, scale.ScaleBits);
            WriteScale(layout, scales, layout.KeyMinimumIndex + channel, scale.MinimumBits);
            for (var token = 0; token < tokens; token++)
                SetKeyCode(layout, codes, token, channel, group.Code(token, scale));
        }

        for (var token = 0; token < tokens; token++)
        {
            for (var index = 0; index < layout.Groups; index++)
            {
                var first = PageLayout.GroupStart(index);
                var group = new NumberGroup(values[(token * headDim + first)..], 1, layout.GroupSize(index), layout.ValueMaxCode);
                if (!TryFit(group, layout.Scales, clipSearch, out var scale))
                    throw new PageFault(false, token, first, group.Low, group.High).ToException(layout, layer);
                WriteScale(layout, scales, layout.ValueScaleIndex + index * tokens + token, scale.ScaleBits);
                WriteScale(layout, scales, layout.ValueMinimumIndex + index * tokens + token, scale.MinimumBits);
                for (var channel = 0; channel < group.Count; channel++)
                    SetValueCode(layout, codes, token, first + channel, group.Code(channel, scale));
            }
        }
    }

    /// <summary>Reads one KV head of one page back.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="codes"><see cref="PageLayout.CodeBytes"/> bytes.</param>
    /// <param name="scales"><see cref="PageLayout.ScaleBytes"/> bytes.</param>
    /// <param name="keys">Receives [P][D].</param>
    /// <param name="values">Receives [P][D].</param>
    public static void Dequantize(
        PageLayout layout, ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, Span<float> keys, Span<float> values)
    {
        var (tokens, headDim) = (layout.Tokens, layout.HeadDim);
        RequireLengths(layout, keys.Length, values.Length, codes.Length, scales.Length);

        for (var token = 0; token < tokens; token++)
        {
            for (var channel = 0; channel < headDim; channel++)
            {
                var (scale, minimum) = ReadScales(layout, scales, PageLayout.KeyScaleIndex + channel, layout.KeyMinimumIndex + channel);
                keys[token * headDim + channel] = KeyCode(layout, codes, token, channel) * scale + minimum;
                var group = channel / PageLayout.GroupChannels * tokens + token;
                (scale, minimum) = ReadScales(layout, scales, layout.ValueScaleIndex + group, layout.ValueMinimumIndex + group);
                values[token * headDim + channel] = ValueCode(layout, codes, token, channel) * scale + minimum;
            }
        }
    }

    /// <summary>The code of a key.</summary>
    public static int KeyCode(PageLayout layout, ReadOnlySpan<byte> codes, int token, int channel)
    {
        var (low, high) = KeyPlanes(layout, token, channel);
        return low.Get(codes) | high.Get(codes) << 2;
    }

    /// <summary>The code of a value.</summary>
    public static int ValueCode(PageLayout layout, ReadOnlySpan<byte> codes, int token, int channel)
    {
        var (low, high) = ValuePlanes(layout, token, channel);
        return low.Get(codes) | high.Get(codes) << 2;
    }

    private static bool TryFit(NumberGroup group, KvScaleFormat format, bool clipSearch, out GroupScale scale)
    {
        scale = default;
        return group.IsFinite && (clipSearch ? ClipSearch.TryFit(group, format, out scale)
            : ScaleCodec.TryEncodeRange(format, group.Low, group.High, group.MaxCode, out scale));
    }

    private static void SetKeyCode(PageLayout layout, Span<byte> codes, int token, int channel, int code)
    {
        var (low, high) = KeyPlanes(layout, token, channel);
        low.Set(codes, code & 3);
        high.Set(codes, code >> 2);
    }

    private static void SetValueCode(PageLayout layout, Span<byte> codes, int token, int channel, int code)
    {
        var (low, high) = ValuePlanes(layout, token, channel);
        low.Set(codes, code & 3);
        high.Set(codes, code >> 2);
    }

    // Keys: neighbouring codes of a lane are channels, neighbouring lanes tokens.
    private static (PlaneBits Low, PlaneBits High) KeyPlanes(PageLayout layout, int token, int channel)
    {
        var tile = channel / PageLayout.LaneCodes;
        var highChannel = layout.KeyHighIndex(tile) * PageLayout.LaneCodes + channel % PageLayout.LaneCodes;
        return (Plane(PageLayout.KeyOffset, 2, channel, layout.Tokens, token),
            Plane(layout.KeyHighOffset, layout.KeyBitsOf(tile) - 2, highChannel, layout.Tokens, token));
    }

    // Values: neighbouring codes are tokens, neighbouring lanes channels.
    private static (PlaneBits Low, PlaneBits High) ValuePlanes(PageLayout layout, int token, int channel) =>
        (Plane(layout.ValueOffset, 2, token, layout.Channels, channel), Plane(layout.ValueHighOffset, layout.ValueBits - 2, token, layout.Channels, channel));

    private static PlaneBits Plane(int offset, int width, int code, int laneCount, int lane)
    {
        if (width == 0)
            return default;
        var perLane = 32 / width;
        return new PlaneBits(offset + (code / perLane * laneCount + lane) * sizeof(uint), code % perLane * width, width);
    }

    private static void WriteScale(PageLayout layout, Span<byte> scales, int index, ushort bits)
    {
        if (layout.Scales == KvScaleFormat.Byte)
            scales[index] = (byte)bits;
        else
            BinaryPrimitives.WriteUInt16LittleEndian(scales[(2 * index)..], bits);
    }

    private static (float Scale, float Minimum) ReadScales(PageLayout layout, ReadOnlySpan<byte> scales, int scaleIndex, int minimumIndex) =>
        layout.Scales == KvScaleFormat.Byte
            ? ScaleCodec.Decode(KvScaleFormat.Byte, scales[scaleIndex], scales[minimumIndex])
            : ScaleCodec.Decode(
                KvScaleFormat.Half,
                BinaryPrimitives.ReadUInt16LittleEndian(scales[(2 * scaleIndex)..]),
                BinaryPrimitives.ReadUInt16LittleEndian(scales[(2 * minimumIndex)..]));

    private static void RequireLengths(PageLayout layout, int keys, int values, int codes, int scales)
    {
        Require(keys, layout.Tokens * layout.HeadDim, nameof(keys));
        Require(values, layout.Tokens * layout.HeadDim, nameof(values));
        Require(codes, layout.CodeBytes, nameof(codes));
        Require(scales, layout.ScaleBytes, nameof(scales));

        static void Require(int length, int needed, string name)
        {
            if (length != needed)
                throw new ArgumentException($"{name} has {length} elements; the page layout needs {needed}.", name);
        }
    }

    // `Width` bits from bit `Shift` of the lane at byte `Lane`; nothing if Width is 0.
    private readonly record struct PlaneBits(int Lane, int Shift, int Width)
    {
        public int Get(ReadOnlySpan<byte> codes) =>
            Width == 0 ? 0 : (int)(BinaryPrimitives.ReadUInt32LittleEndian(codes[Lane..]) >> Shift) & ((1 << Width) - 1);

        public void Set(Span<byte> codes, int code)
        {
            if (Width == 0)
                return;
            var lane = codes[Lane..];
            BinaryPrimitives.WriteUInt32LittleEndian(lane, BinaryPrimitives.ReadUInt32LittleEndian(lane) | (uint)code << Shift);
        }
    }
}
