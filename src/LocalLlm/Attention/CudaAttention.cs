using System.Buffers;
using System.Runtime.InteropServices;
using LocalLlm.Batching;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Kernels.Cuda;
using LocalLlm.KvCache;
using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.Attention;

/// <summary>
/// The backend for a GPU. The segments of the slices are taken in rounds: one attention over all sequences, one merge of its parts,
/// one launch that appends the tokens.
/// Nothing asks the device for an answer before <see cref="Complete"/>.
/// </summary>
/// <param name="queue">Where the work goes, the same as of the caches; borrowed.</param>
/// <param name="mostStateBytes">
/// The most bytes of the parts' states where one sequence's are not more: the sequences that go beyond take further launches. Numbers do not depend on it.
/// </param>
internal sealed class CudaAttention(CudaQueue queue, long mostStateBytes = 256L << 20) : IAttentionBackend
{
    private readonly List<KvRun> runs = [];
    private readonly List<Segment> segments = [];
    private readonly ArrayBufferWriter<byte> table = new(); // a multiple of 8 bytes each: the structures hold addresses

    /// <inheritdoc/>
    public Tensor Attend(int layer, Tensor q, Tensor k, Tensor v, double scale, int? slidingWindow, StepBatch batch)
    {
        using var scope = NewDisposeScope();
        var output = empty(q.shape, q.dtype, q.device); // [T, Hq, D]
        var step = LayerStep.Of(layer, q, k, v, output, scale, slidingWindow);
        var rounds = batch.Slices.Max(s => s.Plan.Segments.Count);
        for (var round = 0; round < rounds; round++)
        {
            Attend(step, batch, round);
            queue.Collect();
            try
            {
                Append(layer, k, v, batch, round);
            }
            finally
            {
                queue.Faults.Owner = null;
                queue.EndCollecting(); // while k and v are there
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
        foreach (var (owner, error) in queue.Faults.Read())
        {
            if (owner is StepSlice slice && batch.Slices.Contains(slice))
                slice.Fail(error);
        }
    }

    private void Append(int layer, Tensor k, Tensor v, StepBatch batch, int round)
    {
        foreach (var slice in batch.Slices)
        {
            if (!IsInRound(slice, round))
                continue;
            using var scope = NewDisposeScope();
            var (start, count) = slice.Plan.Segments[round];
            queue.Faults.Owner = slice;
            slice.Append(layer, k.narrow(0, slice.Start + start, count), v.narrow(0, slice.Start + start, count), round);
        }
    }

    private void Attend(in LayerStep step, StepBatch batch, int round)
    {
        runs.Clear();
        segments.Clear();
        PageLayout? layout = null;
        foreach (var slice in batch.Slices)
        {
            if (!IsInRound(slice, round))
                continue;
            var first = runs.Count;
            layout = step.AddRuns(slice, round, runs) ?? layout; // the same of all that have one
            segments.Add(new Segment(step.Queries(slice, round), first, runs.Count - first));
        }

        layout ??= new PageLayout(PageLayout.BitLaneCodes, step.Q.HeadDim);
        var plan = new AttentionPlan(layout);
        foreach (var segment in segments)
        {
            var segmentRuns = CollectionsMarshal.AsSpan(runs).Slice(segment.FirstRun, segment.Runs);
            var stateBytes = AttentionPlan.StateFloatsOf(segment.Queries, segmentRuns, layout) * sizeof(float);
            if (plan.Sequences.Length > 0 && (plan.StateFloats * sizeof(float)) + stateBytes > mostStateBytes)
            {
                Launch(plan);
                plan = new AttentionPlan(layout);
            }

            plan.Add(segment.Queries, segmentRuns);
        }

        if (segments.Count > 0)
            Launch(plan);
    }

    private void Launch(AttentionPlan plan)
    {
        table.Clear();
        table.Write(MemoryMarshal.AsBytes(plan.Sequences.AsSpan()));
        var runStart = table.WrittenCount;
        table.Write(MemoryMarshal.AsBytes(plan.Runs.AsSpan()));
        var partStart = table.WrittenCount;
        table.Write(MemoryMarshal.AsBytes(plan.Parts.AsSpan()));

        var address = queue.Tables.Take(table.WrittenCount);
        queue.Launcher.Upload(address, table.WrittenSpan);
        var arguments = plan.Arguments(address, address + runStart, address + partStart, queue.States.Take(plan.StateFloats * sizeof(float)));
        foreach (var attend in plan.Attends)
            queue.Launch(attend.Kernel, attend.Grid, AttentionPlan.Threads, arguments);
        queue.Launch(plan.Merge.Kernel, plan.Merge.Grid, AttentionPlan.Threads, arguments);
    }

    private static bool IsInRound(StepSlice slice, int round) => round < slice.Plan.Segments.Count && slice.Fault is null;

    /// <summary>A slice's queries of a round, and which of the round's runs they see.</summary>
    private readonly record struct Segment(AttentionQueries Queries, int FirstRun, int Runs);
}
