using LocalLlm.Quantization;

namespace LocalLlm.Kernels.Cpu;

/// <summary>Moves packed values from one page's section to another's; values are quantised token by token, so their codes move unchanged.</summary>
internal static unsafe class ValueSections
{
    /// <summary>
    /// Deals out the values of 2P tokens, those of <paramref name="sparse"/> and then those of <paramref name="fresh"/>: the first and each second one after it go to
    /// <paramref name="sparse"/>, the others to <paramref name="page"/>. One KV head.
    /// </summary>
    /// <param name="layout">The layout.</param>
    /// <param name="sparse">The codes and scales of P tokens; changed.</param>
    /// <param name="fresh">The codes and scales of P tokens.</param>
    /// <param name="page">Receives the codes and scales of P tokens.</param>
    public static void Deal(PageLayout layout, ValueSection sparse, ValueSection fresh, ValueSection page)
    {
        DealPlane(2, layout.Tokens / PageLayout.LaneCodes, layout.Channels, (uint*)sparse.Codes, (uint*)fresh.Codes, (uint*)page.Codes);
        var high = layout.ValueHighOffset - layout.ValueOffset;
        if (layout.ValueBits > 2)
        {
            DealPlane(
                layout.ValueBits - 2, PageLayout.HighLanes(layout.ValueBits, layout.Tokens), layout.Channels,
                (uint*)(sparse.Codes + high), (uint*)(fresh.Codes + high), (uint*)(page.Codes + high));
        }

        // Scales, then minima: [G][P] each.
        for (var row = 0; row < 2 * layout.Groups; row++)
        {
            var first = row * layout.Tokens;
            if (layout.Scales == KvScaleFormat.Byte)
                DealScales((byte*)sparse.Scales + first, (byte*)fresh.Scales + first, (byte*)page.Scales + first, layout.Tokens);
            else
                DealScales((ushort*)sparse.Scales + first, (ushort*)fresh.Scales + first, (ushort*)page.Scales + first, layout.Tokens);
        }
    }

    // A row of lanes holds the codes of 16 or 32 tokens; two of the 2·rows rows give one row of either result. Row r is written after rows 2r and 2r + 1 were read.
    private static void DealPlane(int bits, int rows, int channels, uint* sparse, uint* fresh, uint* page)
    {
        for (var row = 0; row < rows; row++)
        {
            var (first, second) = ((nint)Row(2 * row), (nint)Row((2 * row) + 1));
            for (var c = 0; c < channels; c++)
            {
                var (a, b) = (((uint*)first)[c], ((uint*)second)[c]);
                page[(row * channels) + c] = Evens(a >> bits, bits) | (Evens(b >> bits, bits) << 16);
                sparse[(row * channels) + c] = Evens(a, bits) | (Evens(b, bits) << 16);
            }
        }

        uint* Row(int index) => index < rows ? sparse + (index * channels) : fresh + ((index - rows) * channels);
    }

    // Fields 0, 2, 4, … of a lane, moved together into its lower half.
    private static uint Evens(uint lane, int bits)
    {
        if (bits == 1)
        {
            lane &= 0x55555555;
            lane = (lane | (lane >> 1)) & 0x33333333;
        }

        lane &= 0x33333333;
        lane = (lane | (lane >> 2)) & 0x0F0F0F0F;
        lane = (lane | (lane >> 4)) & 0x00FF00FF;
        return (lane | (lane >> 8)) & 0x0000FFFF;
    }

    private static void DealScales<T>(T* sparse, T* fresh, T* page, int tokens) where T : unmanaged
    {
        for (var i = 0; i < tokens; i++)
        {
            page[i] = At((2 * i) + 1);
            sparse[i] = At(2 * i);
        }

        T At(int index) => index < tokens ? sparse[index] : fresh[index - tokens];
    }
}

/// <summary>The values' sections of a page's two records, of one KV head.</summary>
/// <param name="Codes">The first code.</param>
/// <param name="Scales">The first scale.</param>
internal readonly record struct ValueSection(nint Codes, nint Scales);
