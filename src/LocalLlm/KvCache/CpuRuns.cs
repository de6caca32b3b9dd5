using System.Runtime.InteropServices;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache.Policies;
using LocalLlm.Quantization;

namespace LocalLlm.KvCache;

/// <summary>The memory of a paged cache on the CPU as the kernels take it.</summary>
internal static class CpuRuns
{
    /// <summary>The first pages of a block.</summary>
    public static KvRun OfPages(PageLayout layout, PageBlock block, int layer, int pages) => new()
    {
        TileTokens = layout.Tokens,
        Tokens = pages * layout.Tokens,
        Keys = Packed(layout, block.CodeAddresses[layer], block.ScaleAddresses[layer]),
        Values = Packed(
            layout, block.CodeAddresses[layer] + layout.ValueOffset, block.ScaleAddresses[layer] + (layout.ValueScaleIndex * layout.ScaleElementBytes)),
        Positions = block.PositionAddress,
    };

    /// <summary>One page's worth of packed values.</summary>
    public static KvSource OfPackedValues(PageLayout layout, PackedValues packed, int layer) => new()
    {
        IsPacked = true,
        Data = TensorMemory.Address(packed.Codes[layer]),
        HeadBytes = layout.ValueCodeBytes,
        Scales = TensorMemory.Address(packed.Scales[layer]),
        ScaleHeadBytes = layout.ValueScaleCount * layout.ScaleElementBytes,
    };

    private static KvSource Packed(PageLayout layout, nint codes, nint scales) => new()
    {
        IsPacked = true,
        Data = codes,
        HeadBytes = PageBlock.Pages * layout.CodeBytes,
        StepBytes = layout.CodeBytes,
        Scales = scales,
        ScaleHeadBytes = PageBlock.Pages * layout.ScaleBytes,
        ScaleStepBytes = layout.ScaleBytes,
    };

    /// <summary>The positions of a cache's rows in memory that does not move. They change with a compaction only: a row that is added follows the one before.</summary>
    public sealed class RowPositionMemory
    {
        private int[] positions = [];
        private int evicted = -1;

        /// <summary>int32 [ReservedRows]: the position of each row of a cache of <paramref name="length"/> tokens, and of those that can follow before a compaction.</summary>
        public nint Of(ResidencyPolicy policy, int length)
        {
            if (positions.Length < policy.ReservedRows)
                (positions, evicted) = (GC.AllocateUninitializedArray<int>(policy.ReservedRows, pinned: true), -1);
            if (evicted != policy.EvictedAt(length))
            {
                evicted = policy.EvictedAt(length);
                var rows = policy.RowPositionsAt(length) with { Count = policy.ReservedRows };
                rows.ToArray().CopyTo(positions, 0);
            }

            return Marshal.UnsafeAddrOfPinnedArrayElement(positions, 0);
        }
    }
}
