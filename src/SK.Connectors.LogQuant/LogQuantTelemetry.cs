namespace SK.Connectors.LogQuant;

/// <summary>
/// The names under which engines that dependency injection made tell what they do, for <c>AddMeter</c> and <c>AddSource</c> of OpenTelemetry.
/// The metrics and spans are listed in docs/telemetry.md.
/// </summary>
public static class LogQuantTelemetry
{
    /// <summary>The meter. It exists where the container has an <c>IMeterFactory</c>, as every host has.</summary>
    public const string MeterName = "LogQuant.LocalLlm";

    /// <summary>The activity source.</summary>
    public const string ActivitySourceName = "LogQuant.LocalLlm";
}
