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

    /// <summary>Bytes that caches can still take, those of retained conversations not counted, which make way; null without a limit.</summary>
    public long? KvFreeBytes => KvLimitBytes - KvUsedBytes;

    /// <summary>Bytes that more than one cache uses: what conversations that begin alike, and a conversation's own retained caches, hold only once.</summary>
    public long SharedKvBytes { get; init; }

    /// <summary>Bytes of this model's caches in the spill directory, or on their way there.</summary>
    public long SpilledKvBytes { get; init; }

    /// <summary>This model's caches in the spill directory, or on their way there: one file each.</summary>
    public int SpilledCaches { get; init; }

    /// <summary>Times since the engine was loaded that a request's cache made way for others and was computed again.</summary>
    public long Preemptions { get; init; }

    /// <summary>Caches since the engine was loaded that left memory for the spill directory.</summary>
    public long CacheSpills { get; init; }

    /// <summary>Caches since the engine was loaded that came back from the spill directory.</summary>
    public long CacheRestores { get; init; }

    /// <summary>Bytes that the caches of retained conversations hold; pages shared between them count once.</summary>
    public long RetainedKvBytes { get; init; }

    /// <summary>Caches that are retained for a follow-up turn: of a conversation, the end of its last prompt and the end of its last turn.</summary>
    public int RetainedCaches { get; init; }

    /// <summary>The most bytes of all caches.</summary>
    public long? KvLimitBytes { get; init; }

    /// <summary>Tokens sampled since the engine was loaded.</summary>
    public long GeneratedTokens { get; init; }

    /// <summary>Tokens sampled per second, in the last second or longer step of work; 0 while there is nothing to do.</summary>
    public double TokensPerSecond { get; init; }

    /// <summary>Tokens of the prompts that were started since the engine was loaded, the cached ones included.</summary>
    public long PromptTokens { get; init; }

    /// <summary>Tokens of those prompts that a retained or spilled cache held, so that they were not computed.</summary>
    public long CachedPromptTokens { get; init; }

    /// <summary><see cref="CachedPromptTokens"/> of <see cref="PromptTokens"/>, 0 to 1; 0 before the first prompt.</summary>
    public double CachedTokenRatio => PromptTokens == 0 ? 0 : (double)CachedPromptTokens / PromptTokens;

    /// <summary>Steps that were run since the engine was loaded: each gives a token to all requests that decode, and a piece to some prompts.</summary>
    public long Steps { get; init; }

    /// <summary>Where the time of these steps went.</summary>
    public StepTimes StepTimes { get; init; } = new();

    /// <summary>True if the engine has failed or was disposed of, and takes no more requests.</summary>
    public bool IsStopped { get; init; }

    /// <summary>Why the engine takes no more requests; null while it does, and after it was disposed of.</summary>
    public string? Fault { get; init; }
}
