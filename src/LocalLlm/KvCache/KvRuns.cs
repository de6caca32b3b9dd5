using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Quantization;

namespace LocalLlm.KvCache;

/// <summary>The memory of a paged cache as the kernels take it.</summary>
internal static class KvRuns
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
}
