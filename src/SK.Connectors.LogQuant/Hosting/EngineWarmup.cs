using System.Diagnostics;
using LocalLlm;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using SK.Connectors.LogQuant.Engines;

namespace SK.Connectors.LogQuant.Hosting;

/// <summary>Loads an engine when the host starts.</summary>
/// <param name="getEngine">Finds the engine; may throw, which is a failure of the warm-up.</param>
/// <param name="options">How to.</param>
/// <param name="lifetime">Of the host, which a failure in the background stops.</param>
/// <param name="logger">For progress.</param>
internal sealed class EngineWarmup(
    Func<ILlmEngine> getEngine, LogQuantWarmupOptions options, IHostApplicationLifetime lifetime, ILogger<EngineWarmup> logger)
    : IHostedService, IDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private Task _background = Task.CompletedTask;

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        var engine = getEngine();
        if (options.WaitForLoad)
            await WarmUpAsync(engine, cancellationToken).ConfigureAwait(false);
        else
            _background = Task.Run(() => WarmUpOrStopAsync(engine), CancellationToken.None);
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _background.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    public void Dispose() => _stop.Dispose();

    private async Task WarmUpOrStopAsync(ILlmEngine engine)
    {
        try
        {
            await WarmUpAsync(engine, _stop.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // The host stopped before the model was loaded; disposing of the engine ends the load.
        }
        catch (Exception e)
        {
            HostingLog.WarmupFailed(logger, e, engine.GetModelId());
            lifetime.StopApplication();
        }
    }

    private async Task WarmUpAsync(ILlmEngine engine, CancellationToken cancellationToken)
    {
        var start = Stopwatch.GetTimestamp();
        await engine.GetModelAsync(cancellationToken).ConfigureAwait(false);
        if (options.GenerateToken)
        {
            // A raw prompt, since not every model has a chat template.
            var request = new GenerationRequest { Prompt = "Hello", MaxTokens = 1, Sampling = SamplingOptions.Greedy };
            await foreach (var _ in engine.GenerateAsync(request, cancellationToken).ConfigureAwait(false))
            {
            }
        }
        HostingLog.WarmedUp(logger, engine.GetModelId(), Stopwatch.GetElapsedTime(start).TotalSeconds);
    }
}
