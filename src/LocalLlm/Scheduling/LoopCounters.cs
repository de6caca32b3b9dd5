namespace LocalLlm.Scheduling;

/// <summary>The figures of the engine loop that other threads may read: the engine thread writes them after each turn of the loop.</summary>
/// <param name="time">The clock of the token rate.</param>
internal sealed class LoopCounters(TimeProvider time)
{
    private static readonly TimeSpan RateTime = TimeSpan.FromSeconds(1);

    private int retainedCaches;
    private long kvBytes;
    private long reservedKvBytes;
    private long retainedKvBytes;
    private long generatedTokens;
    private int pausedRequests;
    private long promptTokens;
    private long cachedPromptTokens;
    private long preemptions;
    private long steps;
    private long planningTicks;
    private long attentionTicks;
    private long modelTicks;
    private long committingTicks;
    private long samplingTicks;
    private long rateStart;
    private long rateStartTokens;
    private double rate;

    /// <summary>Times that a sequence was preempted.</summary>
    public long Preemptions => Volatile.Read(ref preemptions);

    /// <summary>Counts one sampled token; by the engine thread.</summary>
    public void CountToken() => Volatile.Write(ref generatedTokens, generatedTokens + 1);

    /// <summary>How many wait for their readers; by the engine thread.</summary>
    public void SetPaused(int requests) => Volatile.Write(ref pausedRequests, requests);

    /// <summary>Counts a prompt that was started, and what of it a cache held; by the engine thread.</summary>
    public void CountPrompt(int tokens, int cachedTokens)
    {
        Volatile.Write(ref promptTokens, promptTokens + tokens);
        Volatile.Write(ref cachedPromptTokens, cachedPromptTokens + cachedTokens);
    }

    /// <summary>Counts a sequence that made way; by the engine thread.</summary>
    public void CountPreemption() => Volatile.Write(ref preemptions, preemptions + 1);

    /// <summary>Counts a step and its times, and works the token rate out once a second; by the engine thread.</summary>
    public void CountStep(TimeSpan planning, TimeSpan attention, TimeSpan model, TimeSpan committing, TimeSpan sampling)
    {
        Volatile.Write(ref planningTicks, planningTicks + planning.Ticks);
        Volatile.Write(ref attentionTicks, attentionTicks + attention.Ticks);
        Volatile.Write(ref modelTicks, modelTicks + model.Ticks);
        Volatile.Write(ref committingTicks, committingTicks + committing.Ticks);
        Volatile.Write(ref samplingTicks, samplingTicks + sampling.Ticks);
        Volatile.Write(ref steps, steps + 1);

        var elapsed = time.GetElapsedTime(rateStart);
        if (elapsed < RateTime)
            return;
        Volatile.Write(ref rate, (generatedTokens - rateStartTokens) / elapsed.TotalSeconds);
        BeginRate();
    }

    /// <summary>Tells that there is nothing to do, so that no tokens come; by the engine thread.</summary>
    public void Rest() => Volatile.Write(ref rate, 0);

    /// <summary>Tells that there is something to do again, and begins a second of the token rate; by the engine thread.</summary>
    public void BeginRate() => (rateStart, rateStartTokens) = (time.GetTimestamp(), generatedTokens);

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
        TokensPerSecond = Volatile.Read(ref rate),
        PromptTokens = Volatile.Read(ref promptTokens),
        CachedPromptTokens = Volatile.Read(ref cachedPromptTokens),
        Preemptions = Preemptions,
        Steps = Volatile.Read(ref steps),
        StepTimes = new StepTimes
        {
            Planning = new TimeSpan(Volatile.Read(ref planningTicks)),
            Attention = new TimeSpan(Volatile.Read(ref attentionTicks)),
            Model = new TimeSpan(Volatile.Read(ref modelTicks)),
            Committing = new TimeSpan(Volatile.Read(ref committingTicks)),
            Sampling = new TimeSpan(Volatile.Read(ref samplingTicks)),
        },
    };
}
