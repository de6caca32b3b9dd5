using LocalLlm.Batching;
using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Scheduling;

/// <summary>Cuts what sequences have to compute into pieces and packs a step of them.</summary>
/// <param name="prefillChunkTokens">The most prompt tokens of a step.</param>
/// <param name="device">Where the batch's tensors live.</param>
internal sealed class StepBuilder(int prefillChunkTokens, Device device)
{
    /// <summary>The longest piece of a prompt that attends together: a prompt is cut into these and no others, whatever room a step has.</summary>
    private const int MostPieceTokens = 256;

    private int LongestPiece => Math.Min(MostPieceTokens, prefillChunkTokens);

    /// <summary>What a running sequence wants of the next step.</summary>
    public SequenceDemand Demand(Sequence sequence) => sequence.IsPrefill
        ? new SequenceDemand(sequence.PendingTokens, true, sequence.LastStep, [.. Segments(sequence, Math.Min(sequence.PendingTokens, prefillChunkTokens)).Select(s => s.Count)])
        : new SequenceDemand(sequence.PendingTokens, false);

    /// <summary>Builds the batch; the sequences whose last pending token is in it want logits, in the order of the rows.</summary>
    /// <param name="planned">The sequences and how many tokens each gets, those with generated tokens first.</param>
    /// <param name="step">The step's number.</param>
    public (StepBatch Batch, List<Sequence> Sampling) Pack(List<(Sequence Sequence, int Count)> planned, long step)
    {
        var rows = planned.Sum(p => p.Count);
        var (ids, positions) = (new long[rows], new long[rows]);
        var logitRows = new List<long>();
        var sampling = new List<Sequence>();
        var slices = new List<StepSlice>();
        var row = 0;
        foreach (var (sequence, count) in planned)
        {
            var length = sequence.Cache!.Length;
            slices.Add(new StepSlice(sequence.Cache, row, count, sequence.Cache.PlanAppend(count) with { Segments = Segments(sequence, count) }));
            sequence.LastStep = step;
            for (var i = 0; i < count; i++, row++)
                (ids[row], positions[row]) = (sequence.Tokens[length + i], length + i);
            if (sequence.SamplesAfter(count))
            {
                logitRows.Add(row - 1);
                sampling.Add(sequence);
            }
        }

        var generated = new GeneratedRows(planned.Where(p => p.Sequence.IsGenerated).Sum(p => p.Count), sampling.Count(s => s.IsGenerated));
        var batch = new StepBatch(tensor(ids, device: device), tensor(positions, device: device),
            tensor(logitRows.ToArray(), dtype: int64, device: device), slices)
        { Generated = generated };
        return (batch, sampling);
    }

    /// <summary>
    /// How a sequence's next tokens are cut, so that their numbers depend on the sequence alone and not on what a step leaves it: a prompt where its cache changes, and where
    /// a piece would be long; generated tokens one by one.
    /// </summary>
    private List<AppendSegment> Segments(Sequence sequence, int count)
    {
        // A segment more than can be taken, for the last one of a plan ends where the plan does.
        var pending = Math.Min(sequence.PendingTokens, count + LongestPiece);
        var sizes = sequence.IsGenerated
            ? Enumerable.Repeat(1, count)
            : StepPlanner.Pieces(sequence.Cache!.PlanAppend(pending).Segments.Select(s => s.Count), LongestPiece);
        var segments = new List<AppendSegment>();
        var start = 0;
        foreach (var size in sizes)
        {
            if (start + size > count)
                break;
            segments.Add(new AppendSegment(start, size));
            start += size;
        }

        return segments;
    }
}
