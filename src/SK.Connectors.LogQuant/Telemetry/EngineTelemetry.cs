using System.Diagnostics;
using System.Diagnostics.Metrics;
using LocalLlm;
using SK.Connectors.LogQuant.Engines;
using SK.Connectors.LogQuant.Hosting;

namespace SK.Connectors.LogQuant.Telemetry;

/// <summary>
/// Metrics and spans of all engines of a container; none of them holds text of a conversation. Names that begin with gen_ai follow
/// OpenTelemetry's semantic conventions for generative AI.
/// </summary>
internal sealed class EngineTelemetry : IDisposable
{
    public const string SystemName = "logquant";

    private readonly ActivitySource _source = new(LogQuantTelemetry.ActivitySourceName);
    private readonly EngineMeters? _meters;

    /// <param name="registry">The engines whose state is observed.</param>
    /// <param name="meterFactory">Makes the meter and owns it; null for no metrics.</param>
    public EngineTelemetry(EngineRegistry registry, IMeterFactory? meterFactory)
    {
        if (meterFactory is not null)
            _meters = new EngineMeters(meterFactory.Create(LogQuantTelemetry.MeterName), registry);
    }

    /// <summary>Begins to measure a request.</summary>
    public MeasuredRequest Begin(GenerationRequest request) => new(this, request.Prompt is null ? "chat" : "text_completion");

    /// <summary>Measures a load.</summary>
    public async Task<ILlmEngine> LoadAsync(string modelId, Func<Task<ILlmEngine>> load)
    {
        var start = Stopwatch.GetTimestamp();
        using var span = _source.StartActivity($"load {modelId}");
        span?.SetTag(TagNames.Model, modelId);
        try
        {
            var engine = await load().ConfigureAwait(false);
            _meters?.LoadDuration.Record(Stopwatch.GetElapsedTime(start).TotalSeconds, Tags(engine.Model.ModelId));
            span?.SetTag(TagNames.Parameters, engine.Model.ParameterCount).SetTag(TagNames.Device, engine.Model.Device);
            return engine;
        }
        catch (Exception e)
        {
            _meters?.LoadDuration.Record(Stopwatch.GetElapsedTime(start).TotalSeconds, [.. Tags(modelId), Error(e)]);
            span?.SetTag(TagNames.ErrorType, e.GetType().FullName).SetStatus(ActivityStatusCode.Error);
            throw;
        }
    }

    public void Dispose() => _source.Dispose();

    private static KeyValuePair<string, object?>[] Tags(string modelId, string? operation = null) => operation is null
        ? [new(TagNames.Provider, SystemName), new(TagNames.Model, modelId)]
        : [new(TagNames.Provider, SystemName), new(TagNames.Model, modelId), new(TagNames.Operation, operation)];

    private static KeyValuePair<string, object?> Error(Exception error) => new(TagNames.ErrorType, error.GetType().FullName);

    /// <summary>One request from its arrival to its end, however it ends.</summary>
    internal sealed class MeasuredRequest(EngineTelemetry telemetry, string operation)
    {
        private readonly long _start = Stopwatch.GetTimestamp();
        private readonly DateTimeOffset _arrived = DateTimeOffset.UtcNow;
        // The span that the request belongs to; when the answer ends, another may be current.
        private readonly ActivityContext _parent = Activity.Current?.Context ?? default;
        private bool _hasEnded;

        /// <summary>The answer is complete.</summary>
        public void Complete(string modelId, GenerationCompleted completed)
        {
            if (_hasEnded)
                return;
            _hasEnded = true;
            var usage = completed.Usage;
            Trace(modelId, completed);
            if (telemetry._meters is not { } meters)
                return;
            var tags = Tags(modelId, operation);
            meters.RequestDuration.Record(Stopwatch.GetElapsedTime(_start).TotalSeconds, tags);
            meters.QueueDuration.Record(usage.QueueTime.TotalSeconds, tags);
            meters.TimeToFirstToken.Record(usage.TimeToFirstToken.TotalSeconds, tags);
            // The first token ends the prompt's work; the time of decoding holds the others.
            if (usage.CompletionTokens > 1)
                meters.TimePerOutputToken.Record(usage.DecodeTime.TotalSeconds / (usage.CompletionTokens - 1), tags);
            meters.PromptTokens.Add(usage.PromptTokens, tags);
            meters.CachedTokens.Add(usage.CachedPromptTokens, tags);
            meters.CompletionTokens.Add(usage.CompletionTokens, tags);
        }

        /// <summary>The request failed or was cancelled.</summary>
        public void Fail(string modelId, Exception error) => End(modelId, Error(error));

        /// <summary>The reader has gone; without effect if the request has ended already.</summary>
        public void Abandon(string modelId) => End(modelId, new(TagNames.ErrorType, "abandoned"));

        private void End(string modelId, KeyValuePair<string, object?> error)
        {
            if (_hasEnded)
                return;
            _hasEnded = true;
            telemetry._meters?.RequestDuration.Record(Stopwatch.GetElapsedTime(_start).TotalSeconds, [.. Tags(modelId, operation), error]);
        }

        /// <summary>The phases are known at the end only, from the engine's own clock.</summary>
        private void Trace(string modelId, GenerationCompleted completed)
        {
            if (!telemetry._source.HasListeners())
                return;
            var usage = completed.Usage;
            var end = DateTimeOffset.UtcNow;
            var firstToken = end - usage.DecodeTime;
            var arrived = firstToken - usage.TimeToFirstToken;
            var started = arrived + usage.QueueTime;
            // A wait for the model to load is before the engine's clock.
            Span("queue", arrived < _arrived ? arrived : _arrived, started)?.Dispose();
            using (var prefill = Span("prefill", started, firstToken))
            {
                prefill?.SetTag(TagNames.InputTokens, usage.PromptTokens).SetTag(TagNames.CachedTokens, usage.CachedPromptTokens);
            }

            using var decode = Span("decode", firstToken, end);
            decode?.SetTag(TagNames.OutputTokens, usage.CompletionTokens)
                .SetTag(TagNames.KvBytes, usage.KvBytes)
                .SetTag(TagNames.FinishReasons, new[] { FinishReason(completed.FinishReason) });

            Activity? Span(string name, DateTimeOffset from, DateTimeOffset to)
            {
                var span = telemetry._source.StartActivity(name, ActivityKind.Internal, _parent, Tags(modelId, operation), links: null, from);
                span?.SetEndTime(to.UtcDateTime);
                return span;
            }
        }

        private static string FinishReason(FinishReason reason) => Mapping.ResponseMapper.FinishReason(reason).Value;
    }
}
