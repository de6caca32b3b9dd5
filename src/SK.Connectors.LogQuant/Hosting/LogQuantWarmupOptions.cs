namespace SK.Connectors.LogQuant.Hosting;

/// <summary>How a model is loaded when the host starts.</summary>
public sealed class LogQuantWarmupOptions
{
    /// <summary>
    /// True: the host has started when the model is loaded, and a failure is the start's. False: the host starts at once, requests wait for the
    /// load, and a failure stops the host.
    /// </summary>
    public bool WaitForLoad { get; set; } = true;

    /// <summary>Whether to generate one token once the model is loaded, so that the first request finds memory and threads in place.</summary>
    public bool GenerateToken { get; set; }
}
