using System.Text.Json;
using System.Text.Json.Nodes;
using LocalLlm;
using Microsoft.Extensions.AI;

namespace SK.Connectors.LogQuant.Mapping;

/// <summary>From <see cref="AITool"/>s to the engine's tool definitions.</summary>
internal static class ToolMapper
{
    public static IReadOnlyList<ToolDefinition> Map(IList<AITool>? tools, ChatToolMode? mode)
    {
        if (mode is not (null or AutoChatToolMode or NoneChatToolMode or RequiredChatToolMode))
            throw new NotSupportedException($"The tool mode {mode.GetType().Name} is unknown; use Auto, None, RequireAny or RequireSpecific.");

        var required = mode as RequiredChatToolMode;
        var definitions = new List<ToolDefinition>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (var tool in tools ?? [])
        {
            if (tool is not AIFunctionDeclaration function)
                throw new NotSupportedException($"The tool '{tool.Name}' is a {tool.GetType().Name}; a local model can call functions only "
                    + $"({nameof(AIFunctionDeclaration)}, {nameof(AIFunction)}).");
            if (!names.Add(function.Name))
                throw new ArgumentException($"Two tools are named '{function.Name}'; names must be unique in a request.", nameof(tools));
            definitions.Add(new ToolDefinition(function.Name, function.Description, Parameters(Typed(function))));
        }

        if (required is not null && definitions.Count == 0)
            throw new ArgumentException("The tool mode requires a tool call, but the request has no tools.", nameof(tools));
        if (required?.RequiredFunctionName is { } missing && !names.Contains(missing))
            throw new ArgumentException(
                $"The tool mode requires a call of '{missing}', which is not among the {names.Count} tools of the request.", nameof(tools));
        return definitions;
    }

    /// <summary>
    /// The engine's choice for a tool mode; null for none. Whatever it is, the model is shown the same tools: the prompt, and with it the KV
    /// cache, stays the same when the mode changes from turn to turn.
    /// </summary>
    public static ToolChoice? Choice(ChatToolMode? mode) => mode switch
    {
        null => null,
        NoneChatToolMode => ToolChoice.None,
        RequiredChatToolMode { RequiredFunctionName: { } name } => ToolChoice.Function(name),
        RequiredChatToolMode => ToolChoice.Required,
        _ => ToolChoice.Auto,
    };

    private static JsonElement Typed(AIFunctionDeclaration function) => function is AIFunction { UnderlyingMethod: { } method }
        ? TypedSchemas.Narrow(function.JsonSchema, method.GetParameters().Select(p => (p.Name ?? "", (Type?)p.ParameterType)))
        : function.JsonSchema;

    /// <summary>A schema of type object; Semantic Kernel writes a function's description under "condition", which is no schema keyword.</summary>
    private static JsonElement Parameters(JsonElement schema)
    {
        if (schema.ValueKind == JsonValueKind.Object && schema.TryGetProperty("type", out _) && schema.TryGetProperty("properties", out _)
            && !schema.TryGetProperty("condition", out _))
            return schema;

        var repaired = schema.ValueKind == JsonValueKind.Object ? JsonObject.Create(schema)! : [];
        repaired.Remove("condition");
        if (!repaired.ContainsKey("type"))
            repaired["type"] = "object";
        if (!repaired.ContainsKey("properties"))
            repaired["properties"] = new JsonObject();
        return JsonSerializer.SerializeToElement(repaired);
    }
}
