using System.Runtime.InteropServices;
using LocalLlm.Batching;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Attention;

/// <summary>
/// The backend for the CPU: fused kernels over raw memory, all arithmetic in float32. The segments of the slices are taken in rounds, each round one parallel region over all
/// sequences, then its tokens are appended.
/// </summary>
internal sealed class CpuAttention : IAttentionBackend, IDisposable
{
    private readonly AttentionWork work;
    private readonly List<KvRun> runs = [];

    /// <summary>Creates the backend.</summary>
    /// <param name="team">The threads; borrowed.</param>
    /// <param name="kernel">The kernel; null takes the fastest of this processor.</param>
    public CpuAttention(WorkerTeam team, AttentionKernel? kernel = null) => work = new AttentionWork(team, kernel);

    /// <inheritdoc/>
    public Tensor Attend(int layer, Tensor q, Tensor k, Tensor v, double scale, int? slidingWindow, StepBatch batch)
    {
        using var scope = NewDisposeScope();
        work.Clear();
        var output = empty(q.shape, q.dtype, q.device); // [T, Hq, D]
        var rows = (Q: NumberTypes.TokenRows(q), K: NumberTypes.TokenRows(k), V: NumberTypes.TokenRows(v));
        var step = new LayerStep(layer, rows.Q, rows.K, rows.V, TensorMemory.Address(output), (float)scale, slidingWindow ?? int.MaxValue);
        var rounds = batch.Slices.Max(s => s.Plan.Segments.Count);
        for (var round = 0; round < rounds; round++)
        {
            foreach (var slice in batch.Slices)
            {
                if (round < slice.Plan.Segments.Count && slice.Fault is null)
                    Add(step, slice, round);
            }

            work.Run();
            foreach (var slice in batch.Slices)
            {
                if (round >= slice.Plan.Segments.Count || slice.Fault is not null)
                    continue;
                using var sliceScope = NewDisposeScope();
                var (start, count) = slice.Plan.Segments[round];
                slice.Append(layer, k.narrow(0, slice.Start + start, count), v.narrow(0, slice.Start + start, count), round);
            }
        }

        // What nobody computed shall at least be numbers.
        foreach (var slice in batch.Slices)
        {
            if (slice.Fault is not null)
                output.narrow(0, slice.Start, slice.Count).zero_();
        }

        return output.MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public void Dispose() => work.Dispose();

    private void Add(in LayerStep step, StepSlice slice, int segment)
    {
        var (start, count) = slice.Plan.Segments[segment];
        var (row, position) = (slice.Start + start, slice.Plan.Position + start);
        runs.Clear();
        // The fresh tokens come first, so that each query sees itself before anything else.
        runs.Add(new KvRun
        {
            TileTokens = AttentionKernel.RowTileTokens,
            Tokens = count,
            IsFresh = true,
            FirstPosition = position,
            Keys = NumberTypes.Source(step.K, row),
            Values = NumberTypes.Source(step.V, row),
        });
        var isWindowed = position + count > step.SlidingWindow;
        var layout = slice.Cache.AddRuns(step.Layer, isWindowed, runs);
        var queries = new AttentionQueries
        {
            Count = count,
            KvHeads = step.K.Heads,
            Group = step.Q.Heads / step.K.Heads,
            HeadDim = step.Q.HeadDim,
            Scale = step.Scale,
            Position = position,
            SlidingWindow = step.SlidingWindow,
            Type = step.Q.Type,
            Queries = step.Q.At(row, 0),
            QueryTokenBytes = step.Q.TokenBytes,
            QueryHeadBytes = step.Q.HeadBytes,
            Outputs = step.Outputs + (row * (nint)step.Q.Heads * step.Q.HeadDim * step.Q.ElementBytes),
        };
        work.Add(queries, layout, CollectionsMarshal.AsSpan(runs));
    }

    /// <summary>What all slices of one layer share.</summary>
    private readonly record struct LayerStep(int Layer, TokenRows Q, TokenRows K, TokenRows V, nint Outputs, float Scale, int SlidingWindow);
}
