using LocalLlm.Sessions;

namespace LocalLlm.Scheduling;

/// <content>Who starts, when, and in whose place.</content>
internal sealed partial class EngineLoop
{
    /// <summary>Files that are read at a time: what was read is memory outside of the caches' limit until it is used.</summary>
    private const int MostReaders = 4;

    private readonly List<Sequence> readers = []; // those that wait for a file

    /// <summary>Ends what was cancelled or has waited too long, and starts waiting sequences while there is room.</summary>
    private void Admit()
    {
        queue.Collect();
        foreach (var sequence in running.Where(s => s.IsCancelled).ToList())
            End(sequence, new OperationCanceledException());
        foreach (var sequence in queue.RemoveAll(s => s.IsCancelled))
            End(sequence, new OperationCanceledException());
        if (options.MaxQueueTime is { } limit)
        {
            foreach (var sequence in queue.RemoveAll(s => !s.HasStarted && queue.Waited(s) >= limit))
                End(sequence, Overdue(limit));
        }

        StartWaiting();
    }

    /// <summary>
    /// Starts waiting sequences in their order while there is room. Those whose file is being read are passed over, a few at a time, and keep a place free
    /// for when it has been.
    /// </summary>
    private void StartWaiting()
    {
        readers.Clear();
        if (IsJobOverdue)
            return;
        while (queue.Next(readers) is { } next)
        {
            if (StartReading(next))
            {
                readers.Add(next);
                if (readers.Count == MostReaders)
                    return;
            }
            else if ((readers.Count > 0 && running.Count + readers.Count >= options.MaxSequences) || !TryStart(next))
            {
                return;
            }
        }
    }

    /// <returns>True while the cache that a waiting sequence can continue is being read; one whose file cannot even be looked for starts without it.</returns>
    private bool StartReading(Sequence sequence)
    {
        try
        {
            return memory.IsReading(sequence, Wake);
        }
        catch (Exception e)
        {
            LogReadFailed(logger, e);
            return false;
        }
    }

    private EngineBusyException Overdue(TimeSpan limit) => new(
        $"The request has waited for {limit} (MaxQueueTime) and was not started: {running.Count} requests run and {queue.Count} wait. Try again later, raise MaxQueueTime, "
        + "or give the engine more MaxSequences or KvCache.MemoryBytes.", running.Count, queue.Count);

    /// <summary>Starts the first waiting sequence, where need be in the place of running ones of lower priority.</summary>
    /// <returns>False if it has to go on waiting.</returns>
    private bool TryStart(Sequence next)
    {
        var isFirst = !next.HasStarted;
        try
        {
            if (!TryMakeWay(next))
                return false;
            queue.Remove(next);
            if (isFirst)
                counters.CountPrompt(next.Request.PromptIds.Length, next.CachedPromptTokens);
            running.Add(next);
            Volatile.Write(ref runningCount, running.Count);
            if (next.Request.MaxTokens == 0 && next.PendingTokens == 0)
                Finish(next, FinishReason.Length);
        }
        catch (Exception e)
        {
            LogStartFailed(logger, e);
            queue.Remove(next);
            End(next, Failure(e));
        }

        return true;
    }

    private bool TryMakeWay(Sequence next)
    {
        if (running.Count < options.MaxSequences && memory.TryStart(next, running))
            return true;

        // As few as possible of those that pause or have a lower priority, and none if that would not do.
        var rest = running.ToList();
        var victims = new List<Sequence>();
        do
        {
            if (rest.Count == 0)
                return JobHoldsMemory ? false : throw NeverFits(next);
            var victim = PreemptionPolicy.VictimFor(next.Request.Priority, Requests(rest));
            if (victim < 0)
                return false;
            victims.Add(rest[victim]);
            rest.RemoveAt(victim);
        }
        while (rest.Count >= options.MaxSequences || !memory.FitsWithout(next, victims, running));

        victims.ForEach(Preempt);
        return memory.TryStart(next, running);
    }

    private LocalLlmException NeverFits(Sequence next) => new(
        $"The KV cache of this request needs {options.CacheBytes(next.Tokens.Count + 1):N0} bytes for {next.Tokens.Count:N0} tokens and one more; "
        + $"KvCache.MemoryBytes is {options.Pool.LimitBytes:N0}. Shorten the prompt or raise it.");
}
