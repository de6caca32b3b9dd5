using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace SK.Connectors.LogQuant.Hosting;

/// <summary>When an engine counts as healthy.</summary>
public sealed class LogQuantHealthOptions
{
    /// <summary>
    /// The status until the model is loaded: <see cref="HealthStatus.Degraded"/> by default; <see cref="HealthStatus.Unhealthy"/> keeps requests
    /// away until then.
    /// </summary>
    public HealthStatus LoadingStatus { get; set; } = HealthStatus.Degraded;

    /// <summary>With more waiting requests than this the engine is saturated: <see cref="SaturatedStatus"/>. 16 by default.</summary>
    public int MaxWaitingRequests
    {
        get;
        set => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, $"{nameof(MaxWaitingRequests)} must be 0 or more.");
    } = 16;

    /// <summary>The status while the engine is saturated: <see cref="HealthStatus.Degraded"/> by default.</summary>
    public HealthStatus SaturatedStatus { get; set; } = HealthStatus.Degraded;
}
