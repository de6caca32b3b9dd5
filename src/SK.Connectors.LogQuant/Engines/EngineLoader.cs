using LocalLlm;
using Microsoft.Extensions.Logging;

namespace SK.Connectors.LogQuant.Engines;

/// <summary>Makes the engine that the options describe.</summary>
internal delegate Task<ILlmEngine> EngineLoader(LlmEngineOptions options, ILoggerFactory? loggerFactory, CancellationToken cancellationToken);

/// <summary>The ways to make an engine.</summary>
internal static class EngineLoaders
{
    /// <summary>Loads a model folder.</summary>
    public static EngineLoader Default { get; } = static (_, _, _) =>
        throw new NotSupportedException("This build of the connector cannot load a model by itself; pass an ILlmEngine.");
}
