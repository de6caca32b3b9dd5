using System.Runtime.InteropServices;
using LocalLlm.Batching;
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
        var step = LayerStep.Of(layer, q, k, v, output, scale, slidingWindow);
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
    public void Complete(StepBatch batch)
    {
        // Appends tell at once.
    }

    /// <inheritdoc/>
    public void Dispose() => work.Dispose();

    private void Add(in LayerStep step, StepSlice slice, int segment)
    {
        runs.Clear();
        var layout = step.AddRuns(slice, segment, runs);
        work.Add(step.Queries(slice, segment), layout, CollectionsMarshal.AsSpan(runs));
    }
}
