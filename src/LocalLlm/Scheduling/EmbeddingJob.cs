using System.Runtime.InteropServices;
using LocalLlm.Batching;
using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Scheduling;

/// <summary>What a step of an embedding runs through the model.</summary>
/// <returns>[L, H], the hidden states of the batch's wanted rows.</returns>
internal delegate Tensor StepHidden(StepBatch batch);

/// <summary>How embeddings run.</summary>
internal sealed record EmbeddingJobOptions
{
    /// <summary>The most tokens of a step: of several short texts, or of a piece of a long one.</summary>
    public required int StepTokens { get; init; }

    /// <summary>An empty cache in full precision, for one text; of the pool's memory.</summary>
    public required Func<IKvCache> CreateCache { get; init; }

    /// <summary>Runs a step.</summary>
    public required StepHidden Hidden { get; init; }

    /// <summary>Where the batch's tensors live.</summary>
    public required Device Device { get; init; }
}

/// <summary>
/// Hidden states of texts, pooled. Texts are packed side by side into steps; one that is longer than a step goes on in the next, over its cache, which
/// lives until the text's end.
/// </summary>
/// <param name="texts">The tokens of each text, at least one.</param>
/// <param name="isMean">True to average over a text's tokens, false to take the last one's.</param>
/// <param name="options">How to run.</param>
/// <param name="cancellationToken">Ends the job before its next step.</param>
internal sealed class EmbeddingJob(IReadOnlyList<int[]> texts, bool isMean, EmbeddingJobOptions options, CancellationToken cancellationToken) : IEngineJob
{
    private readonly TaskCompletionSource<float[][]> completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly double[]?[] sums = new double[]?[texts.Count];
    private int next; // the text that the next step begins with
    private IKvCache? partial; // the cache of that text, if some of it was done

    /// <summary>A vector for each text.</summary>
    public Task<float[][]> Result => completion.Task;

    /// <inheritdoc/>
    public bool HoldsMemory => partial is not null;

    /// <inheritdoc/>
    public JobProgress Step(Func<IKvCache, int, bool> tryReserve)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (next < texts.Count && !RunStep(tryReserve))
            return JobProgress.Waiting;
        if (next < texts.Count)
            return JobProgress.Going;
        completion.TrySetResult([.. sums.Zip(texts, (sum, ids) => Array.ConvertAll(sum!, s => (float)(isMean ? s / ids.Length : s)))]);
        return JobProgress.Done;
    }

    /// <inheritdoc/>
    public void Fail(Exception error)
    {
        partial?.Dispose();
        partial = null;
        if (error is OperationCanceledException cancelled)
            completion.TrySetCanceled(cancelled.CancellationToken);
        else
            completion.TrySetException(error);
    }

    /// <returns>False if there is no memory for the next text.</returns>
    private bool RunStep(Func<IKvCache, int, bool> tryReserve)
    {
        var pieces = new List<Piece>();
        try
        {
            Plan(pieces, tryReserve);
            if (pieces.Count == 0)
                return false;
            using var scope = NewDisposeScope();
            var batch = Pack(pieces, out var rows);
            using var states = options.Hidden(batch).to(ScalarType.Float32);
            foreach (var slice in batch.Slices)
            {
                if (slice.Fault is not null)
                    throw slice.Fault;
                slice.Cache.Commit(slice.Plan);
            }

            using var host = states.cpu().contiguous();
            Pool(MemoryMarshal.Cast<byte, float>(host.bytes), rows);
        }
        catch
        {
            foreach (var piece in pieces)
                piece.Cache.Dispose();
            partial = null;
            throw;
        }

        foreach (var piece in pieces.Where(p => p.IsLast))
            piece.Cache.Dispose();
        partial = pieces[^1] is { IsLast: false } last ? last.Cache : null;
        next = pieces[^1].Text + (partial is null ? 1 : 0);
        return true;
    }

    /// <summary>The texts, or a piece of one, that fill a step and for which there is memory.</summary>
    private void Plan(List<Piece> pieces, Func<IKvCache, int, bool> tryReserve)
    {
        var room = Math.Max(1, options.StepTokens);
        for (var text = next; text < texts.Count && room > 0; text++)
        {
            var cache = text == next && partial is not null ? partial : Create(texts[text].Length, tryReserve);
            if (cache is null)
                break;
            var count = Math.Min(room, texts[text].Length - cache.Length);
            pieces.Add(new Piece(text, cache, count, IsLast: cache.Length + count == texts[text].Length));
            room -= count;
        }
    }

    private IKvCache? Create(int length, Func<IKvCache, int, bool> tryReserve)
    {
        var cache = options.CreateCache();
        try
        {
            if (tryReserve(cache, length))
                return cache;
        }
        catch
        {
            cache.Dispose();
            throw;
        }

        cache.Dispose();
        return null;
    }

    /// <param name="pieces">What to run.</param>
    /// <param name="rowTexts">Receives the text of each wanted row.</param>
    private StepBatch Pack(List<Piece> pieces, out List<int> rowTexts)
    {
        var total = pieces.Sum(p => p.Count);
        var (ids, positions) = (new long[total], new long[total]);
        var (wanted, slices, row) = (new List<long>(), new List<StepSlice>(), 0);
        rowTexts = [];
        foreach (var (text, cache, count, isLast) in pieces)
        {
            slices.Add(new StepSlice(cache, row, count, cache.PlanAppend(count)));
            for (var i = 0; i < count; i++, row++)
            {
                (ids[row], positions[row]) = (texts[text][cache.Length + i], cache.Length + i);
                if (isMean || (isLast && i == count - 1))
                {
                    wanted.Add(row);
                    rowTexts.Add(text);
                }
            }
        }

        return new StepBatch(tensor(ids, device: options.Device), tensor(positions, device: options.Device),
            tensor(wanted.ToArray(), dtype: int64, device: options.Device), slices);
    }

    private void Pool(ReadOnlySpan<float> states, List<int> rows)
    {
        if (rows.Count == 0)
            return;
        var hidden = states.Length / rows.Count;
        for (var row = 0; row < rows.Count; row++)
        {
            var sum = sums[rows[row]] ??= new double[hidden];
            for (var i = 0; i < hidden; i++)
                sum[i] += states[(row * hidden) + i];
        }
    }

    /// <summary>A text, or some of it, in a step.</summary>
    private sealed record Piece(int Text, IKvCache Cache, int Count, bool IsLast);
}
