namespace LocalLlm.Soak;

/// <summary>What happened in all rounds of a soak, each of which must have happened.</summary>
internal sealed class Totals
{
    private long preemptions;
    private long spilled;
    private long restored;
    private int mostWaiting;
    private int mostPaused;
    private int cancelled;
    private int left;
    private int embedded;
    private int cachedAnswers;

    public void Add(EngineStatistics end)
    {
        preemptions += end.Preemptions;
        spilled += end.CacheSpills;
        restored += end.CacheRestores;
    }

    public void See(EngineStatistics now) => (mostWaiting, mostPaused) = (Math.Max(mostWaiting, now.WaitingRequests), Math.Max(mostPaused, now.PausedRequests));

    public void CountCancelled() => Interlocked.Increment(ref cancelled);

    public void CountLeft() => Interlocked.Increment(ref left);

    public void CountEmbedded() => Interlocked.Increment(ref embedded);

    public void CountCached() => Interlocked.Increment(ref cachedAnswers);

    /// <exception cref="SoakException">Something that a soak is for has not happened.</exception>
    public void RequireAll()
    {
        var missing = new (string Name, long Count)[]
        {
            ("waited", mostWaiting), ("was preempted", preemptions), ("was spilled", spilled), ("was restored", restored), ("paused for its reader", mostPaused),
            ("was cancelled", cancelled), ("lost its reader", left), ("was embedded", embedded), ("continued a cache", cachedAnswers),
        }.Where(x => x.Count == 0).Select(x => x.Name).ToList();
        if (missing.Count > 0)
            throw new SoakException($"Nothing {string.Join(", nothing ", missing)}: the soak is too easy.");
    }
}
