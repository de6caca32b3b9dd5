using System.Runtime.InteropServices;
using LocalLlm.Quantization;

namespace LocalLlm.Kernels.Cpu;

/// <summary>A worker's own memory for attention: queries as floats and what a tile needs. Grows, is kept, aligned to cache lines.</summary>
internal sealed unsafe class AttentionScratch : IDisposable
{
    private float* memory;
    private nuint floats;

    /// <summary>float [rows][<see cref="QueryStride"/>]: the queries, scaled.</summary>
    public float* Queries { get; private set; }

    /// <summary>float [4][<see cref="CoefficientStride"/>].</summary>
    public float* Coefficients { get; private set; }

    /// <summary>float [4][<see cref="AttentionKernel.MaxTileTokens"/>]: scores, then probabilities.</summary>
    public float* Scores { get; private set; }

    /// <summary>float [channels]: the key scales of a page, and their groups' middles behind them.</summary>
    public float* KeyScales { get; private set; }

    /// <summary>float [groups][tokens]: the value scales of a page, and their groups' middles behind them.</summary>
    public float* ValueScales { get; private set; }

    /// <summary>float [<see cref="AttentionKernel.MaxTileTokens"/>][channels]: a tile of key rows.</summary>
    public float* Keys { get; private set; }

    /// <summary>The same for values.</summary>
    public float* Values { get; private set; }

    /// <summary>D.</summary>
    public int HeadDim { get; private set; }

    /// <summary>Floats of a query: channels padded to whole lanes of one-bit codes.</summary>
    public int QueryStride { get; private set; }

    /// <summary>Floats from one query's coefficients to the next's.</summary>
    public int CoefficientStride { get; private set; }

    /// <summary>Makes room for <paramref name="rows"/> query rows of <paramref name="headDim"/> channels.</summary>
    public void Reserve(int rows, int headDim)
    {
        const int tokens = AttentionKernel.MaxTileTokens;
        HeadDim = headDim;
        var channels = AttentionKernel.Channels(headDim);
        QueryStride = (headDim + CodePlanes.OneBitCodes - 1) / CodePlanes.OneBitCodes * CodePlanes.OneBitCodes;
        CoefficientStride = Math.Max(QueryStride, tokens);
        var groups = (headDim + Quantization.PageLayout.GroupChannels - 1) / Quantization.PageLayout.GroupChannels;
        var needed = (nuint)(((rows + 4) * QueryStride) + (4 * CoefficientStride) + (4 * tokens) + (2 * channels) + (2 * groups * tokens) + (2 * tokens * channels));
        if (needed > floats)
        {
            Dispose();
            memory = (float*)NativeMemory.AlignedAlloc(needed * sizeof(float), 64);
            floats = needed;
        }

        Coefficients = memory;
        Scores = Coefficients + (4 * CoefficientStride);
        KeyScales = Scores + (4 * tokens);
        ValueScales = KeyScales + (2 * channels);
        Keys = ValueScales + (2 * groups * tokens);
        Values = Keys + (tokens * channels);
        Queries = Values + (tokens * channels);
    }

    /// <summary>
    /// Moves the coefficients of the key channels with bits in the high plane to the front, in their order, with zeros behind them up to a whole lane; nothing to
    /// do where all channels have.
    /// </summary>
    /// <param name="layout">The page's layout.</param>
    /// <param name="queries">How many queries' coefficients.</param>
    public void GatherHigh(PageLayout layout, int queries)
    {
        var high = layout.KeyHighChannels;
        for (var q = 0; q < queries && high < layout.Channels; q++)
        {
            var coefficients = Coefficients + (q * CoefficientStride);
            for (var (tile, next) = (0, 0); next < high; tile++)
            {
                if (!layout.IsKeyHigh(tile))
                    continue;
                new Span<float>(coefficients + (tile * PageLayout.LaneCodes), PageLayout.LaneCodes).CopyTo(new Span<float>(coefficients + next, PageLayout.LaneCodes));
                next += PageLayout.LaneCodes;
            }

            if (high % CodePlanes.OneBitCodes != 0)
                new Span<float>(coefficients + high, PageLayout.LaneCodes).Clear();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        NativeMemory.AlignedFree(memory);
        memory = null;
        floats = 0;
    }
}
