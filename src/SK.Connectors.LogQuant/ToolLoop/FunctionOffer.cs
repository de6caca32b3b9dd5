using System.Text.Json;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using SK.Connectors.LogQuant.Mapping;

namespace SK.Connectors.LogQuant.ToolLoop;

/// <summary>The functions that one round offers to the model, and what becomes of its calls.</summary>
internal sealed class FunctionOffer
{
    /// <summary>Rounds with tool calls for one request; in the round after them no tool can be called, so that it must answer.</summary>
    public const int MaxRounds = 128;

    public static readonly FunctionOffer Nothing = new();

    /// <summary>What can be called.</summary>
    private readonly Dictionary<string, KernelFunction> _functions = new(StringComparer.Ordinal);

    /// <summary>What the model is shown: what can be called, or what could be in an earlier round, so that the prompt stays the same.</summary>
    private IReadOnlyDictionary<string, KernelFunction> _shown = new Dictionary<string, KernelFunction>();

    private FunctionOffer()
    {
    }

    public FunctionChoiceBehaviorOptions Options { get; private init; } = new();

    public bool IsEmpty => _functions.Count == 0;

    /// <summary>Whether the service calls the functions itself.</summary>
    public bool AutoInvoke { get; private init; }

    private FunctionChoice Choice { get; init; } = FunctionChoice.Auto;

    public static FunctionOffer Create(
        FunctionChoiceBehavior? behavior, ChatHistory history, int round, Kernel? kernel, FunctionOffer previous, ILogger logger)
    {
        if (behavior is null)
            return Nothing;

        var configuration = behavior.GetConfiguration(new FunctionChoiceBehaviorConfigurationContext(history)
        {
            Kernel = kernel,
            RequestSequenceIndex = round,
        });
        var autoInvoke = configuration.AutoInvoke && kernel is not null;
        if (autoInvoke && round >= MaxRounds)
        {
            Log.RoundLimitReached(logger, MaxRounds);
            return new FunctionOffer { _shown = previous._shown };
        }
        if (autoInvoke && FunctionCallRunner.IsNestedTooDeep)
        {
            Log.DepthLimitReached(logger, FunctionCallRunner.MaxDepth);
            return Nothing;
        }

        var offer = new FunctionOffer { Options = configuration.Options, AutoInvoke = autoInvoke, Choice = configuration.Choice };
        foreach (var function in configuration.Functions ?? [])
            offer._functions.TryAdd(FunctionNames.Join(function.PluginName, function.Name), function);
        // After its first round, a required choice names no functions any more: the model is to answer.
        offer._shown = offer.IsEmpty ? previous._shown : offer._functions;
        return offer;
    }

    /// <summary>Adds the tools and the tool mode to a round's options.</summary>
    public void Apply(ChatOptions options)
    {
        if (_shown.Count == 0)
            return;
        options.Tools = [.. _shown.Select(f => AIFunctionFactory.CreateDeclaration(f.Key, f.Value.Description, Schema(f.Value)))];
        options.ToolMode = IsEmpty || Choice == FunctionChoice.None ? ChatToolMode.None
            : Choice == FunctionChoice.Required ? ChatToolMode.RequireAny
            : ChatToolMode.Auto;
        options.AllowMultipleToolCalls = Options.AllowParallelCalls;
    }

    private static JsonElement Schema(KernelFunction function) =>
        TypedSchemas.Narrow(function.JsonSchema, function.Metadata.Parameters.Select(p => (p.Name, p.ParameterType)));

    /// <summary>The function that a name stands for, or null if it was not offered.</summary>
    public KernelFunction? Find(string? pluginName, string functionName) => Find(FunctionNames.Join(pluginName, functionName));

    public KernelFunction? Find(string name) => _functions.GetValueOrDefault(name);
}
