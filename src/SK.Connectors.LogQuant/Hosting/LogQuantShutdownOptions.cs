namespace SK.Connectors.LogQuant.Hosting;

/// <summary>
/// What becomes of requests when the host stops: new ones are refused at once, running ones get some time to end. Set it with
/// <c>services.Configure&lt;LogQuantShutdownOptions&gt;(...)</c>.
/// </summary>
public sealed class LogQuantShutdownOptions
{
    /// <summary>
    /// How long running requests may go on; those that have not ended then end with an error. 0 ends them at once. The host's own
    /// <c>ShutdownTimeout</c> (30 seconds by default) ends them as well, so this should be less.
    /// </summary>
    public TimeSpan GracePeriod
    {
        get;
        set => field = value >= TimeSpan.Zero
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, $"{nameof(GracePeriod)} must be 0 or more.");
    } = TimeSpan.FromSeconds(20);
}
