using Agents.Options;
using LocalLlm;
using Microsoft.SemanticKernel;
using SK.Connectors.LogQuant;

namespace Agents.Conversation;

/// <summary>The model that the command line asks for, and how it answers.</summary>
internal static class LocalModel
{
    /// <summary>Sets the engine's options.</summary>
    public static void Configure(LlmEngineOptions engine, SampleOptions options)
    {
        engine.ModelPath = options.ModelPath ?? SampleOptions.ShippedModelPath;
        engine.ModelId = options.ModelPath is null ? "LogQuant demo model" : null;
        engine.Device = options.Device;
        engine.KvCache.Kind = options.Kv;
        engine.KvCache.SpillDirectory = options.SpillDirectory;
    }

    /// <summary>Loads the model without a container: for scenes whose agents share one engine.</summary>
    /// <exception cref="LocalLlmException">The model cannot be loaded.</exception>
    public static async Task<ILlmEngine> LoadAsync(SampleOptions options, CancellationToken cancellationToken)
    {
        var engine = new LlmEngineOptions();
        Configure(engine, options);
        return await LlmEngine.LoadAsync(engine, cancellationToken: cancellationToken);
    }

    /// <summary>How prompts are answered.</summary>
    /// <param name="options">The command line.</param>
    /// <param name="isRepeatable">True for scenes that are judged, so must run the same way twice; others take the model's own defaults.</param>
    public static LogQuantPromptExecutionSettings Settings(SampleOptions options, bool isRepeatable = true) => new()
    {
        FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(),
        Temperature = isRepeatable ? 0 : null,
        Seed = options.Seed,
        MaxTokens = options.AnswerTokens,
    };
}
