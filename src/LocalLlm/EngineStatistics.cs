namespace LocalLlm;

/// <summary>What an engine is doing at one moment. Figures of one snapshot may be a step apart from each other.</summary>
public sealed record EngineStatistics
{
    /// <summary>Requests that are decoded now.</summary>
    public int RunningRequests { get; init; }

    /// <summary>Requests that wait for a place or for memory.</summary>
    public int WaitingRequests { get; init; }

    /// <summary>Requests that pause until their reader takes what was generated; each runs or waits as well. They make way for others.</summary>
    public int PausedRequests { get; init; }

    /// <summary>The most requests that run side by side.</summary>
    public int MaxSequences { get; init; }

    /// <summary>Bytes that the KV caches of running requests hold; pages shared with retained conversations count here as well.</summary>
    public long KvBytes { get; init; }

    /// <summary>Bytes that the prompts under way have still to take; nobody else starts on them.</summary>
    public long ReservedKvBytes { get; init; }

    /// <summary>Bytes that all caches hold, running and retained; shared pages count once. Never more than <see cref="KvLimitBytes"/>.</summary>
    public long KvUsedBytes { get; init; }

    /// <summary>Times since the engine was loaded that a request's cache made way for others and was computed again.</summary>
    public long Preemptions { get; init; }

    /// <summary>Caches since the engine was loaded that left memory for the spill directory.</summary>
    public long SpilledCaches { get; init; }

    /// <summary>Caches since the engine was loaded that came back from the spill directory.</summary>
    public long RestoredCaches { get; init; }

    /// <summary>Bytes that the caches of retained conversations hold; pages shared between them count once.</summary>
    public long RetainedKvBytes { get; init; }

    /// <summary>Caches that are retained for a follow-up turn: of a conversation, the end of its last prompt and the end of its last turn.</summary>
    public int RetainedCaches { get; init; }

    /// <summary>The most bytes of all caches.</summary>
    public long? KvLimitBytes { get; init; }

    /// <summary>Tokens sampled since the engine was loaded.</summary>
    public long GeneratedTokens { get; init; }

    /// <summary>True if the engine has failed or was disposed of, and takes no more requests.</summary>
    public bool IsStopped { get; init; }

    /// <summary>Why the engine takes no more requests; null while it does, and after it was disposed of.</summary>
    public string? Fault { get; init; }
}
