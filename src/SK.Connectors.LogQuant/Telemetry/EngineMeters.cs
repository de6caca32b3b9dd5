using System.Diagnostics.Metrics;
using LocalLlm;
using SK.Connectors.LogQuant.Hosting;

namespace SK.Connectors.LogQuant.Telemetry;

/// <summary>The instruments of a container's engines; docs/telemetry.md lists them.</summary>
internal sealed class EngineMeters
{
    private const string Seconds = "s";
    private const string Tokens = "{token}";
    private const string Requests = "{request}";
    private const string Bytes = "By";
    private const string Caches = "{cache}";

    private readonly EngineRegistry _registry;

    /// <param name="meter">Owned by whoever made it.</param>
    /// <param name="registry">The engines that are observed.</param>
    public EngineMeters(Meter meter, EngineRegistry registry)
    {
        _registry = registry;
        RequestDuration = meter.CreateHistogram<double>(
            "gen_ai.server.request.duration", Seconds, "From a request's arrival to its end, however it ended.");
        TimeToFirstToken = meter.CreateHistogram<double>(
            "gen_ai.server.time_to_first_token", Seconds, "From a request's arrival at the engine to its first token.");
        TimePerOutputToken = meter.CreateHistogram<double>(
            "gen_ai.server.time_per_output_token", Seconds, "The mean time of a request's tokens after its first.");
        QueueDuration = meter.CreateHistogram<double>(
            "logquant.queue.duration", Seconds, "How long a request waited for a place among the running ones.");
        LoadDuration = meter.CreateHistogram<double>("logquant.model.load.duration", Seconds, "How long the load of a model took.");
        PromptTokens = meter.CreateCounter<long>("logquant.tokens.prompt", Tokens, "Tokens of prompts, the cached ones included.");
        CachedTokens = meter.CreateCounter<long>("logquant.tokens.cached", Tokens, "Tokens of prompts that a retained cache already held.");
        CompletionTokens = meter.CreateCounter<long>("logquant.tokens.completion", Tokens, "Tokens sampled for complete answers.");

        Observe("logquant.requests.running", Requests, "Requests that are decoded now.", s => s.RunningRequests);
        Observe("logquant.requests.waiting", Requests, "Requests that wait for a place.", s => s.WaitingRequests);
        Observe("logquant.requests.paused", Requests, "Requests that pause until their reader takes what was generated.", s => s.PausedRequests);
        Count("logquant.preemptions", "{preemption}", "Times that a request's cache made way for others.", s => s.Preemptions);
        Observe("logquant.kv.bytes", Bytes, "Bytes that the KV caches of running requests hold.", s => s.KvBytes);
        Observe("logquant.kv.reserved", Bytes, "Bytes that the prompts under way have still to take.", s => s.ReservedKvBytes);
        Observe("logquant.kv.retained", Bytes, "Bytes that the caches of retained conversations hold.", s => s.RetainedKvBytes);

        Observe("logquant.kv.used", Bytes, "Bytes that all KV caches hold, shared ones once.", s => s.KvUsedBytes);
        Observe("logquant.kv.free", Bytes, "Bytes that KV caches can still take.", s => s.KvFreeBytes);
        Observe("logquant.kv.shared", Bytes, "Bytes that more than one KV cache uses.", s => s.SharedKvBytes);
        Observe("logquant.kv.spilled", Bytes, "Bytes of KV caches in the spill directory.", s => s.SpilledKvBytes);
        Observe("logquant.caches.retained", Caches, "Caches that are retained for a follow-up turn.", s => s.RetainedCaches);
        Observe("logquant.caches.spilled", Caches, "Caches in the spill directory, one file each.", s => s.SpilledCaches);
        Count("logquant.caches.spills", Caches, "Caches that left memory for the spill directory.", s => s.CacheSpills);
        Count("logquant.caches.restores", Caches, "Caches that came back from the spill directory.", s => s.CacheRestores);
        Count("logquant.tokens.generated", Tokens, "Tokens sampled, whatever became of the answer.", s => s.GeneratedTokens);
        Gauge("logquant.tokens.rate", "{token}/s", "Tokens sampled per second, in the last second of work.", s => s.TokensPerSecond);
        Gauge("logquant.tokens.cached_ratio", "1", "Share of all prompts' tokens that a cache held.", s => s.CachedTokenRatio);
        Count("logquant.steps", "{step}", "Steps that were run.", s => s.Steps);
        meter.CreateObservableCounter("logquant.step.time", StepTimes, Seconds, "Time of all steps, by part.");

        void Observe(string name, string unit, string description, Func<EngineStatistics, long?> value) =>
            meter.CreateObservableUpDownCounter(name, () => Measurements(value), unit, description);

        void Count(string name, string unit, string description, Func<EngineStatistics, long?> value) =>
            meter.CreateObservableCounter(name, () => Measurements(value), unit, description);

        void Gauge(string name, string unit, string description, Func<EngineStatistics, double?> value) =>
            meter.CreateObservableGauge(name, () => Measurements(value), unit, description);
    }

    public Histogram<double> RequestDuration { get; }

    public Histogram<double> TimeToFirstToken { get; }

    public Histogram<double> TimePerOutputToken { get; }

    public Histogram<double> QueueDuration { get; }

    public Histogram<double> LoadDuration { get; }

    public Counter<long> PromptTokens { get; }

    public Counter<long> CachedTokens { get; }

    public Counter<long> CompletionTokens { get; }

    private IEnumerable<Measurement<T>> Measurements<T>(Func<EngineStatistics, T?> value)
        where T : struct
    {
        foreach (var engine in _registry.Engines)
        {
            if (engine.GetStatistics() is { } statistics && value(statistics) is { } number)
                yield return new(number, new(TagNames.Provider, EngineTelemetry.SystemName), new(TagNames.Model, engine.ModelId));
        }
    }

    private IEnumerable<Measurement<double>> StepTimes() =>
    [
        .. StepTime("plan", t => t.Planning), .. StepTime("attention", t => t.Attention), .. StepTime("model", t => t.Model),
        .. StepTime("commit", t => t.Committing), .. StepTime("sample", t => t.Sampling),
    ];

    private IEnumerable<Measurement<double>> StepTime(string part, Func<StepTimes, TimeSpan> time) =>
        Measurements<double>(s => time(s.StepTimes).TotalSeconds)
            .Select(m => new Measurement<double>(m.Value, [.. m.Tags, new(TagNames.StepPart, part)]));
}
