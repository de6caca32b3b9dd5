using LocalLlm;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace SK.Connectors.LogQuant.Engines;

/// <summary>Makes the engine that the options describe.</summary>
internal delegate Task<ILlmEngine> EngineLoader(
    LlmEngineOptions options, ILoggerFactory? loggerFactory, CancellationToken cancellationToken);

/// <summary>The ways to make an engine.</summary>
internal static class EngineLoaders
{
    /// <summary>Loads a model folder.</summary>
    /// <param name="progress">Told of every step of the load.</param>
    public static EngineLoader Reporting(IProgress<LoadProgress>? progress) => async (options, loggerFactory, cancellationToken) =>
    {
        var logger = loggerFactory?.CreateLogger(typeof(EngineLoaders)) ?? NullLogger.Instance;
        Log.LoadingModel(logger, options.ModelPath);
        return await LlmEngine.LoadAsync(options, progress, loggerFactory, cancellationToken).ConfigureAwait(false);
    };
}
