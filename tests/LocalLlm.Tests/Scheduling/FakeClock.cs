namespace LocalLlm.Tests.Scheduling;

/// <summary>A clock that tests move.</summary>
internal sealed class FakeClock : TimeProvider
{
    private long ticks = 1;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <summary>What it fails with, if it shall fail.</summary>
    public Exception? Failure { get; set; }

    public override long GetTimestamp() => Failure is null ? Volatile.Read(ref ticks) : throw Failure;

    public void Advance(TimeSpan time) => Interlocked.Add(ref ticks, time.Ticks);
}
