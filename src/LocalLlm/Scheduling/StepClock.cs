using System.Diagnostics;

namespace LocalLlm.Scheduling;

/// <summary>The time of a step's parts, one after the other.</summary>
internal struct StepClock()
{
    private long last = Stopwatch.GetTimestamp();

    /// <summary>The time since the last lap, or since it was made.</summary>
    public TimeSpan Lap()
    {
        var now = Stopwatch.GetTimestamp();
        var lap = Stopwatch.GetElapsedTime(last, now);
        last = now;
        return lap;
    }
}
