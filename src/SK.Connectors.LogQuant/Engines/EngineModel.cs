using LocalLlm;

namespace SK.Connectors.LogQuant.Engines;

/// <summary>Facts about an engine's model without blocking on its loading.</summary>
internal static class EngineModel
{
    public static async ValueTask<LlmModelInfo> GetModelAsync(this ILlmEngine engine, CancellationToken cancellationToken) =>
        engine is LazyLlmEngine lazy
            ? (await lazy.LoadedAsync(cancellationToken).ConfigureAwait(false)).Model
            : engine.Model;

    public static string GetModelId(this ILlmEngine engine) => engine is LazyLlmEngine lazy ? lazy.ModelId : engine.Model.ModelId;

    /// <summary>Null while the model is not loaded.</summary>
    public static LlmModelInfo? TryGetModel(this ILlmEngine engine) => engine is LazyLlmEngine lazy ? lazy.LoadedModel : engine.Model;
}
