using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Quantization;

namespace LocalLlm.KvCache;

/// <summary>The memory of a paged cache as the kernels take it.</summary>
internal static class KvRuns
{
    /// <summary>The first pages of a block.</summary>
    /// <param name="layout">The layer's layout.</param>
    /// <param name="block">The block.</param>
    /// <param name="layer">The layer.</param>
    /// <param name="pages">How many.</param>
    /// <param name="withPositions">Whether a sliding window makes the kernels ask where a token stands: without, all of them are seen.</param>
    public static KvRun OfPages(PageLayout layout, PageBlock block, int layer, int pages, bool withPositions) => new()
    {
        TileTokens = layout.Tokens,
        Tokens = pages * layout.Tokens,
        Keys = Packed(layout, block.CodeAddresses[layer], block.ScaleAddresses[layer]),
        Values = Packed(
            layout, block.CodeAddresses[layer] + layout.ValueOffset, block.ScaleAddresses[layer] + (layout.ValueScaleIndex * layout.ScaleElementBytes)),
        Positions = withPositions ? block.PositionAddress : 0,
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
}
