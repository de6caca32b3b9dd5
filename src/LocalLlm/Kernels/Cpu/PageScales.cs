using LocalLlm.Quantization;

namespace LocalLlm.Kernels.Cpu;

/// <summary>
/// Reads scales and minima of a page as floats; see docs/kv-layout.md. In place of a minimum it gives the group's middle, what half the highest code stands for: codes
/// counted from their middle make small sums.
/// </summary>
internal static unsafe class PageScales
{
    /// <summary>Decodes the scales and minima of a page's keys, whose channels may have codes of different bits.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="scales">The keys' section of a head's scale record.</param>
    /// <param name="scaleValues">Receives the D' scales.</param>
    /// <param name="middleValues">Receives the D' middles.</param>
    public static void DecodeKeys<TLanes>(PageLayout layout, byte* scales, float* scaleValues, float* middleValues)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        var (tiles, bytes) = (layout.Channels / PageLayout.LaneCodes, layout.ScaleElementBytes);
        for (int first = 0, end; first < tiles; first = end)
        {
            var bits = layout.KeyBitsOf(first);
            for (end = first + 1; end < tiles && layout.KeyBitsOf(end) == bits;)
                end++;
            var channel = first * PageLayout.LaneCodes;
            Decode<TLanes>(
                layout.Scales, scales + (channel * bytes), scales + ((layout.KeyMinimumIndex + channel) * bytes), (end - first) * PageLayout.LaneCodes,
                layout.KeyMaxCode(first), scaleValues + channel, middleValues + channel);
        }
    }

    /// <summary>Decodes a run of scales and the run of minima that belongs to it.</summary>
    /// <param name="format">How they are stored.</param>
    /// <param name="scales">The first scale, <paramref name="count"/> of them.</param>
    /// <param name="minima">The first minimum.</param>
    /// <param name="count">A multiple of 16.</param>
    /// <param name="maxCode">The highest code.</param>
    /// <param name="scaleValues">Receives the scales.</param>
    /// <param name="middleValues">Receives minimum + scale · <paramref name="maxCode"/> / 2.</param>
    public static void Decode<TLanes>(KvScaleFormat format, byte* scales, byte* minima, int count, int maxCode, float* scaleValues, float* middleValues)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        var half = TLanes.Broadcast(maxCode / 2f);
        if (format == KvScaleFormat.Half)
        {
            for (var i = 0; i < count; i += TLanes.Count)
            {
                var scale = TLanes.LoadFloat16((ushort*)scales + i);
                TLanes.Store(scale, scaleValues + i);
                TLanes.Store(TLanes.MultiplyAdd(scale, half, TLanes.LoadFloat16((ushort*)minima + i)), middleValues + i);
            }

            return;
        }

        var unit = TLanes.Broadcast(1f / 256);
        for (var i = 0; i < count; i += TLanes.Count)
        {
            var scale = TLanes.LoadScaleBytes(scales + i, ScaleCodec.ByteBias);
            var z = TLanes.LoadSignedBytes((sbyte*)minima + i);
            TLanes.Store(scale, scaleValues + i);
            TLanes.Store(TLanes.MultiplyAdd(z * TLanes.Abs(z), scale * unit, scale * half), middleValues + i);
        }
    }
}
