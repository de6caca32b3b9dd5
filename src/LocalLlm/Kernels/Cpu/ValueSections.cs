using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using LocalLlm.Quantization;

namespace LocalLlm.Kernels.Cpu;

/// <summary>
/// Moves tokens between values' sections without reading them back: a value's codes, scale and minimum do not depend on the other tokens of its page.
/// </summary>
internal static unsafe class ValueSections
{
    private const int Lanes = 8;

    /// <summary>
    /// Of the 2P tokens of two sections, <paramref name="kept"/>'s and then <paramref name="fresh"/>'s, each second one from the second on goes to
    /// <paramref name="evicted"/>, the others to <paramref name="kept"/>. A section begins where <see cref="PageQuantizer.TryQuantizeValues"/> writes it.
    /// </summary>
    /// <param name="layout">The layout of all three.</param>
    /// <param name="kept">Codes of the first P tokens; then of those that stay.</param>
    /// <param name="keptScales">Their scales and minima.</param>
    /// <param name="fresh">Codes of the next P tokens.</param>
    /// <param name="freshScales">Their scales and minima.</param>
    /// <param name="evicted">Receives the codes of those that leave; no part of the others.</param>
    /// <param name="evictedScales">Receives their scales and minima.</param>
    public static void Split(
        PageLayout layout, byte* kept, byte* keptScales, byte* fresh, byte* freshScales, byte* evicted, byte* evictedScales)
    {
        SplitPlane(2, layout.Tokens / PageLayout.LaneCodes, 0);
        if (layout.ValueBits > 2)
            SplitPlane(layout.ValueBits - 2, PageLayout.HighLanes(layout.ValueBits, layout.Tokens), layout.ValueHighOffset - layout.ValueOffset);

        for (var section = 0; section < 2 * layout.Groups; section++)
        {
            var first = section * layout.Tokens;
            if (layout.Scales == KvScaleFormat.Byte)
                SplitElements(keptScales + first, freshScales + first, evictedScales + first, layout.Tokens);
            else
                SplitElements((ushort*)keptScales + first, (ushort*)freshScales + first, (ushort*)evictedScales + first, layout.Tokens);
        }

        // Rows of lanes: a row of each target comes from two neighbouring ones of the sources. Row i is read at step i/2 and written at step i.
        void SplitPlane(int width, int rows, int offset)
        {
            for (var row = 0; row < rows; row++)
            {
                var first = Row(2 * row, rows, offset);
                var second = Row(2 * row + 1, rows, offset);
                var keptRow = (uint*)(kept + offset) + row * layout.Channels;
                var evictedRow = (uint*)(evicted + offset) + row * layout.Channels;
                for (var lane = 0; lane < layout.Channels; lane += Lanes)
                {
                    var (a, b) = (Vector256.Load(first + lane), Vector256.Load(second + lane));
                    (EachSecond(a, width) | EachSecond(b, width) << 16).Store(keptRow + lane);
                    (EachSecond(a >>> width, width) | EachSecond(b >>> width, width) << 16).Store(evictedRow + lane);
                }
            }
        }

        uint* Row(int row, int rows, int offset) => row < rows
            ? (uint*)(kept + offset) + row * layout.Channels
            : (uint*)(fresh + offset) + (row - rows) * layout.Channels;
    }

    // Codes 0, 2, 4, … of each lane side by side in its lower half.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> EachSecond(Vector256<uint> lanes, int width)
    {
        if (width == 1)
        {
            lanes &= Vector256.Create(0x55555555u);
            lanes |= lanes >>> 1;
        }

        lanes &= Vector256.Create(0x33333333u);
        lanes = (lanes | lanes >>> 2) & Vector256.Create(0x0F0F0F0Fu);
        lanes = (lanes | lanes >>> 4) & Vector256.Create(0x00FF00FFu);
        return (lanes | lanes >>> 8) & Vector256.Create(0x0000FFFFu);
    }

    private static void SplitElements<T>(T* kept, T* fresh, T* evicted, int tokens) where T : unmanaged
    {
        for (var token = 0; token < tokens; token++)
        {
            var pair = token < tokens / 2 ? kept + 2 * token : fresh + 2 * (token - tokens / 2);
            var (stays, leaves) = (pair[0], pair[1]); // before either is overwritten
            (kept[token], evicted[token]) = (stays, leaves);
        }
    }
}
