using LocalLlm.Quantization;

namespace LocalLlm.Kernels.Cpu;

/// <summary>Reads scales and minima of a page as floats; see docs/kv-layout.md.</summary>
internal static unsafe class PageScales
{
    /// <summary>Decodes a run of scales and the run of minima that belongs to it.</summary>
    /// <param name="format">How they are stored.</param>
    /// <param name="scales">The first scale, <paramref name="count"/> of them.</param>
    /// <param name="minima">The first minimum.</param>
    /// <param name="count">A multiple of 16.</param>
    /// <param name="scaleValues">Receives the scales.</param>
    /// <param name="minimumValues">Receives the minima.</param>
    public static void Decode<TLanes>(KvScaleFormat format, byte* scales, byte* minima, int count, float* scaleValues, float* minimumValues)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        if (format == KvScaleFormat.Half)
        {
            for (var i = 0; i < count; i += TLanes.Count)
            {
                TLanes.Store(TLanes.LoadHalf((ushort*)scales + i), scaleValues + i);
                TLanes.Store(TLanes.LoadHalf((ushort*)minima + i), minimumValues + i);
            }

            return;
        }

        var unit = TLanes.Broadcast(1f / 256);
        for (var i = 0; i < count; i += TLanes.Count)
        {
            var scale = TLanes.LoadScaleBytes(scales + i, ScaleCodec.ExponentBias);
            var z = TLanes.LoadSignedBytes((sbyte*)minima + i);
            TLanes.Store(scale, scaleValues + i);
            TLanes.Store(z * TLanes.Abs(z) * (scale * unit), minimumValues + i);
        }
    }
}
