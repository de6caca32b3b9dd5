using System.Globalization;
using LocalLlm;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using SK.Connectors.LogQuant.Engines;

namespace SK.Connectors.LogQuant.Hosting;

/// <summary>Tells whether an engine is loading, ready, saturated or faulted. It never loads a model and never waits.</summary>
internal sealed class EngineHealthCheck(ILlmEngine engine, LogQuantHealthOptions options) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        Task.FromResult(Check(context.Registration.FailureStatus));

    private HealthCheckResult Check(HealthStatus failure)
    {
        var data = new Dictionary<string, object> { ["model"] = engine.GetModelId() };
        if (engine is LazyLlmEngine lazy)
        {
            if (lazy.Gate.IsClosed && lazy.State != EngineState.Disposed)
                return Result(failure, $"The application is shutting down; {lazy.Gate.Count} requests have still to end, new ones are refused.");
            switch (lazy.State)
            {
                case EngineState.NotLoaded:
                    return Result(options.LoadingStatus, "The model is not loaded yet; the first request loads it.");
                case EngineState.Loading when lazy.Progress?.Latest is { } progress:
                    data["loadedPercent"] = LoadProgressLog.Percent(progress);
                    return Result(options.LoadingStatus, string.Create(CultureInfo.InvariantCulture,
                        $"The model is loading ({progress.Stage}): {progress.BytesLoaded:N0} of {progress.BytesTotal:N0} bytes."));
                case EngineState.Loading:
                    return Result(options.LoadingStatus, "The model is loading.");
                case EngineState.LoadFailed:
                    return Result(failure, "The model could not be loaded; the next request tries again.", lazy.LoadError);
                case EngineState.Disposed:
                    return Result(failure, "The engine was disposed of.");
            }
        }

        if (engine.GetStatistics() is not { } statistics)
            return Result(HealthStatus.Healthy, "The engine is ready; it tells no statistics.");
        data["running"] = statistics.RunningRequests;
        data["waiting"] = statistics.WaitingRequests;
        data["kvBytes"] = statistics.KvBytes;
        data["retainedKvBytes"] = statistics.RetainedKvBytes;
        if (statistics.IsStopped)
            return Result(failure, statistics.Fault ?? "The engine has stopped and takes no more requests.");
        return statistics.WaitingRequests > options.MaxWaitingRequests
            ? Result(options.SaturatedStatus, $"The engine is saturated: {statistics.RunningRequests} requests run and "
                + $"{statistics.WaitingRequests} wait; more than {options.MaxWaitingRequests} ({nameof(LogQuantHealthOptions.MaxWaitingRequests)}).")
            : Result(HealthStatus.Healthy, "The engine is ready.");

        HealthCheckResult Result(HealthStatus status, string description, Exception? error = null) => new(status, description, error, data);
    }
}
