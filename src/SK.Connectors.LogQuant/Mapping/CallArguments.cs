using System.Text.Json;
using LocalLlm;
using Microsoft.Extensions.AI;

namespace SK.Connectors.LogQuant.Mapping;

/// <summary>A tool call's arguments, as JSON text and as a dictionary.</summary>
internal static class CallArguments
{
    /// <summary>
    /// The content for a call that the model made; arguments that are no JSON object become its <see cref="FunctionCallContent.Exception"/>.
    /// </summary>
    public static FunctionCallContent ToContent(ToolCall call)
    {
        var content = FunctionCallContent.CreateFromParsedArguments(call.ArgumentsJson, call.Id, call.Name, static json => Parse(json));
        content.RawRepresentation = call;
        return content;
    }

    /// <exception cref="JsonException">The text is no JSON object.</exception>
    private static Dictionary<string, object?>? Parse(string json) =>
        string.IsNullOrWhiteSpace(json) ? [] : JsonSerializer.Deserialize<Dictionary<string, object?>>(json, ConnectorJson.Options);

    /// <summary>
    /// The text to show the model for a call in the history: what it wrote itself, so that the tokens and with them the KV cache stay the
    /// same, unless the arguments were changed since.
    /// </summary>
    public static string ToJson(IEnumerable<KeyValuePair<string, object?>>? arguments, object? raw)
    {
        if (raw is ToolCall call && (arguments is null || IsSame(call.ArgumentsJson, arguments)))
            return call.ArgumentsJson;
        return arguments is null
            ? "{}"
            : JsonSerializer.Serialize(arguments.ToDictionary(p => p.Key, p => p.Value), ConnectorJson.Options);
    }

    private static bool IsSame(string json, IEnumerable<KeyValuePair<string, object?>> arguments)
    {
        Dictionary<string, object?>? written;
        try
        {
            written = Parse(json);
        }
        catch (JsonException)
        {
            return false;
        }

        var count = 0;
        foreach (var (name, value) in arguments)
        {
            count++;
            if (written is null || !written.TryGetValue(name, out var before) || !IsSame(before, value))
                return false;
        }
        return count == (written?.Count ?? 0);
    }

    /// <summary>Semantic Kernel keeps arguments as strings by default, so a value and its text count as the same.</summary>
    private static bool IsSame(object? before, object? now) => (before, now) switch
    {
        (null, null) => true,
        (JsonElement a, JsonElement b) => JsonElement.DeepEquals(a, b),
        ({ } a, string b) => a.ToString() == b,
        _ => false,
    };
}
