using Microsoft.Extensions.Logging;

namespace SK.Connectors.LogQuant.Hosting;

/// <summary>Log messages of loading, warming up and shutting down.</summary>
internal static partial class HostingLog
{
    [LoggerMessage(21, LogLevel.Information, "Loading '{ModelId}': {Percent} % of {Megabytes} MB ({Stage}).")]
    public static partial void LoadProgress(ILogger logger, string modelId, int percent, long megabytes, string stage);

    [LoggerMessage(22, LogLevel.Information, "'{ModelId}' is loaded and ready after {Seconds:F1} s.")]
    public static partial void WarmedUp(ILogger logger, string modelId, double seconds);

    [LoggerMessage(23, LogLevel.Critical, "'{ModelId}' could not be loaded; the application stops.")]
    public static partial void WarmupFailed(ILogger logger, Exception exception, string modelId);

    [LoggerMessage(24, LogLevel.Information, "{Requests} requests of '{ModelId}' are running and get {GracePeriod} to end; new ones are refused.")]
    public static partial void Draining(ILogger logger, int requests, string modelId, TimeSpan gracePeriod);

    [LoggerMessage(25, LogLevel.Warning, "{Requests} requests of '{ModelId}' have not ended in time and are ended now.")]
    public static partial void Aborting(ILogger logger, int requests, string modelId);

    [LoggerMessage(26, LogLevel.Warning, "{Requests} requests of '{ModelId}' were ended, but nobody reads their answers to the end.")]
    public static partial void NotRead(ILogger logger, int requests, string modelId);
}
