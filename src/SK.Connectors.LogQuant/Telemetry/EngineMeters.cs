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
        Observe("logquant.kv.bytes", Bytes, "Bytes that the KV caches of running requests hold.", s => s.KvBytes);
        Observe("logquant.kv.reserved", Bytes, "Bytes set aside for running requests at their longest.", s => s.ReservedKvBytes);
        Observe("logquant.kv.retained", Bytes, "Bytes that the caches of retained conversations hold.", s => s.RetainedKvBytes);

        void Observe(string name, string unit, string description, Func<EngineStatistics, long> value) =>
            meter.CreateObservableUpDownCounter(name, () => Measurements(value), unit, description);
    }

    public Histogram<double> RequestDuration { get; }

    public Histogram<double> TimeToFirstToken { get; }

    public Histogram<double> TimePerOutputToken { get; }

    public Histogram<double> QueueDuration { get; }

    public Histogram<double> LoadDuration { get; }

    public Counter<long> PromptTokens { get; }

    public Counter<long> CachedTokens { get; }

    public Counter<long> CompletionTokens { get; }

    private IEnumerable<Measurement<long>> Measurements(Func<EngineStatistics, long> value)
    {
        foreach (var engine in _registry.Engines)
        {
            if (engine.GetStatistics() is { } statistics)
                yield return new(value(statistics), new(TagNames.Provider, EngineTelemetry.SystemName), new(TagNames.Model, engine.ModelId));
        }
    }
}
