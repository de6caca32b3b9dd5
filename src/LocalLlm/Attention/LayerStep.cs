using LocalLlm.Batching;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.Attention;

/// <summary>One layer of a step in memory, as kernels take it: what all slices share.</summary>
/// <param name="Layer">The layer.</param>
/// <param name="Q">The queries.</param>
/// <param name="K">The step's keys.</param>
/// <param name="V">The step's values.</param>
/// <param name="Outputs">Receives [T, Hq, D], contiguous.</param>
/// <param name="Scale">Factor of q·k.</param>
/// <param name="SlidingWindow">Positions that a query sees; <see cref="int.MaxValue"/> for all.</param>
internal readonly record struct LayerStep(int Layer, TokenRows Q, TokenRows K, TokenRows V, nint Outputs, float Scale, int SlidingWindow)
{
    /// <summary>The memory of a layer's tensors, which the caller keeps alive.</summary>
    public static LayerStep Of(int layer, Tensor q, Tensor k, Tensor v, Tensor output, double scale, int? slidingWindow) => new(
        layer, NumberTypes.TokenRows(q), NumberTypes.TokenRows(k), NumberTypes.TokenRows(v), TensorMemory.Address(output), (float)scale,
        slidingWindow ?? int.MaxValue);

    /// <summary>
    /// Adds the runs that a slice's segment attends to. The fresh tokens come first, so that each query sees itself before anything else.
    /// </summary>
    /// <returns>The layout of packed runs; null if there are none.</returns>
    public PageLayout? AddRuns(StepSlice slice, int segment, List<KvRun> runs)
    {
        var (start, count) = slice.Plan.Segments[segment];
        var (row, position) = (slice.Start + start, slice.Plan.Position + start);
        runs.Add(new KvRun
        {
            TileTokens = AttentionKernel.RowTileTokens,
            Tokens = count,
            IsFresh = true,
            FirstPosition = position,
            Keys = NumberTypes.Source(K, row),
            Values = NumberTypes.Source(V, row),
        });
        return slice.Cache.AddRuns(Layer, position + count > SlidingWindow, runs);
    }

    /// <summary>The queries of a slice's segment.</summary>
    public AttentionQueries Queries(StepSlice slice, int segment)
    {
        var (start, count) = slice.Plan.Segments[segment];
        var row = slice.Start + start;
        return new AttentionQueries
        {
            Count = count,
            KvHeads = K.Heads,
            Group = Q.Heads / K.Heads,
            HeadDim = Q.HeadDim,
            Scale = Scale,
            Position = slice.Plan.Position + start,
            SlidingWindow = SlidingWindow,
            Type = Q.Type,
            Queries = Q.At(row, 0),
            QueryTokenBytes = Q.TokenBytes,
            QueryHeadBytes = Q.HeadBytes,
            Outputs = Outputs + (row * (nint)Q.Heads * Q.RowBytes),
        };
    }
}
