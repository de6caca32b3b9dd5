namespace LocalLlm.Scheduling;

/// <summary>The figures of the engine loop that other threads may read: the engine thread writes them after each turn of the loop.</summary>
internal sealed class LoopCounters
{
    private int retainedCaches;
    private long kvBytes;
    private long reservedKvBytes;
    private long retainedKvBytes;
    private long generatedTokens;
    private int pausedRequests;

    /// <summary>Counts one sampled token; by the engine thread.</summary>
    public void CountToken() => Volatile.Write(ref generatedTokens, generatedTokens + 1);

    /// <summary>How many wait for their readers; by the engine thread.</summary>
    public void SetPaused(int requests) => Volatile.Write(ref pausedRequests, requests);

    /// <summary>What the caches hold; by the engine thread.</summary>
    public void SetCaches(long bytes, long reservedBytes, long retainedBytes, int retained)
    {
        Volatile.Write(ref kvBytes, bytes);
        Volatile.Write(ref reservedKvBytes, reservedBytes);
        Volatile.Write(ref retainedKvBytes, retainedBytes);
        Volatile.Write(ref retainedCaches, retained);
    }

    /// <summary>A snapshot, from any thread; what the counters do not know is left at its default.</summary>
    public EngineStatistics Read() => new()
    {
        KvBytes = Volatile.Read(ref kvBytes),
        ReservedKvBytes = Volatile.Read(ref reservedKvBytes),
        RetainedKvBytes = Volatile.Read(ref retainedKvBytes),
        RetainedCaches = Volatile.Read(ref retainedCaches),
        PausedRequests = Volatile.Read(ref pausedRequests),
        GeneratedTokens = Volatile.Read(ref generatedTokens),
    };
}
