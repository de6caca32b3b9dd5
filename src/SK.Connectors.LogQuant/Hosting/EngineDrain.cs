using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using SK.Connectors.LogQuant.Engines;

namespace SK.Connectors.LogQuant.Hosting;

/// <summary>
/// When the host stops: refuses new requests at once, gives running ones their grace period, then ends them. The container disposes of the
/// engines afterwards, when none of them has work left.
/// </summary>
internal sealed class EngineDrain(
    EngineRegistry registry, IHostApplicationLifetime lifetime, IOptions<LogQuantShutdownOptions> options, ILogger<EngineDrain> logger)
    : IHostedLifecycleService, IDisposable
{
    /// <summary>A request that was told to end does so within a step; one whose reader does not read any more may not.</summary>
    private static readonly TimeSpan AbortTimeout = TimeSpan.FromSeconds(2);

    private CancellationTokenRegistration _stopping;

    public Task StartingAsync(CancellationToken cancellationToken)
    {
        _stopping = lifetime.ApplicationStopping.Register(registry.Close);
        return Task.CompletedTask;
    }

    public Task StoppingAsync(CancellationToken cancellationToken)
    {
        registry.Close();
        return Task.WhenAll(registry.Engines.Select(engine => DrainAsync(engine, cancellationToken)));
    }

    private async Task DrainAsync(LazyLlmEngine engine, CancellationToken cancellationToken)
    {
        var gate = engine.Gate;
        if (gate.Count is > 0 and var running)
            HostingLog.Draining(logger, running, engine.ModelId, options.Value.GracePeriod);
        if (await gate.DrainAsync(options.Value.GracePeriod, cancellationToken).ConfigureAwait(false))
            return;
        HostingLog.Aborting(logger, gate.Count, engine.ModelId);
        await gate.AbortAsync().ConfigureAwait(false);
        if (!await gate.DrainAsync(AbortTimeout, CancellationToken.None).ConfigureAwait(false))
            HostingLog.NotRead(logger, gate.Count, engine.ModelId);
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose() => _stopping.Dispose();
}
