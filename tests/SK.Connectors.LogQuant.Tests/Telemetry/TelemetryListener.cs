using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace SK.Connectors.LogQuant.Tests.Telemetry;

/// <summary>Collects what one container's meter and the activity source tell.</summary>
internal sealed class TelemetryListener : IDisposable
{
    private readonly MeterListener _meters = new();
    private readonly ActivityListener _activities;

    /// <param name="factory">Whose meters; other tests run beside this one.</param>
    /// <param name="isOurs">Which spans.</param>
    public TelemetryListener(IMeterFactory? factory, Func<Activity, bool> isOurs)
    {
        _meters.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name != LogQuantTelemetry.MeterName || !ReferenceEquals(instrument.Meter.Scope, factory))
                return;
            Instruments.Add(instrument);
            listener.EnableMeasurementEvents(instrument);
        };
        _meters.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Measurements.Add((instrument.Name, value, Text(tags))));
        _meters.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Measurements.Add((instrument.Name, value, Text(tags))));
        _meters.Start();
        _activities = new ActivityListener
        {
            ShouldListenTo = source => source.Name == LogQuantTelemetry.ActivitySourceName,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = activity =>
            {
                if (isOurs(activity))
                    Spans.Add(activity);
            },
        };
        ActivitySource.AddActivityListener(_activities);
    }

    public ConcurrentBag<Instrument> Instruments { get; } = [];

    public ConcurrentBag<(string Name, double Value, string Tags)> Measurements { get; } = [];

    public ConcurrentBag<Activity> Spans { get; } = [];

    /// <summary>Asks the observable instruments.</summary>
    public void Observe() => _meters.RecordObservableInstruments();

    public void Dispose()
    {
        _meters.Dispose();
        _activities.Dispose();
    }

    private static string Text(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        var texts = new List<string>();
        foreach (var (name, value) in tags)
            texts.Add($"{name}={value}");
        return string.Join(" ", texts.Order(StringComparer.Ordinal));
    }
}
