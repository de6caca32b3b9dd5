using System.Text.Json;
using Microsoft.Extensions.AI;

namespace SK.Connectors.LogQuant.Mapping;

/// <summary>A function's result as the text that the model reads.</summary>
internal static class ResultText
{
    public static string Of(FunctionResultContent content) => content is { Result: null, Exception: not null }
        ? "Error: the function failed."
        : Of(content.Result);

    /// <summary>What a model is told of a function that failed.</summary>
    public static string Error(Exception failure) => $"Error: the function failed: {failure.Message}";

    public static string Of(object? result) => result switch
    {
        null => "",
        string text => text,
        JsonElement { ValueKind: JsonValueKind.String } text => text.GetString()!,
        // Callers that invoke functions themselves give back what was thrown; JSON cannot be made of it.
        Exception failure => Error(failure),
        TextContent text => text.Text,
        AIContent other => throw new NotSupportedException(
            $"A function returned a {other.GetType().Name}; a text model can read text and JSON only."),
        IEnumerable<AIContent> parts => string.Concat(parts.Select(Of)),
        _ => JsonSerializer.Serialize(result, ConnectorJson.Options),
    };
}
