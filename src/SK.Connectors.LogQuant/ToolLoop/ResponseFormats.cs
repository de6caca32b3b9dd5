using System.Text.Json;
using Microsoft.Extensions.AI;

namespace SK.Connectors.LogQuant.ToolLoop;

/// <summary>The forms that a response format may take in Semantic Kernel's settings.</summary>
internal static class ResponseFormats
{
    public const string Text = "text";
    public const string JsonObject = "json_object";

    public static ChatResponseFormat? Parse(object? format) => format switch
    {
        null or JsonElement { ValueKind: JsonValueKind.Null or JsonValueKind.Undefined } => null,
        ChatResponseFormat parsed => parsed,
        string name => Named(name),
        JsonElement { ValueKind: JsonValueKind.String } name => Named(name.GetString()!),
        JsonElement { ValueKind: JsonValueKind.Object } schema => ChatResponseFormat.ForJsonSchema(schema),
        Type type => ChatResponseFormat.ForJsonSchema(AIJsonUtilities.CreateJsonSchema(type), type.Name),
        _ => throw Unknown(format),
    };

    private static ChatResponseFormat Named(string name) => name switch
    {
        Text => ChatResponseFormat.Text,
        JsonObject => ChatResponseFormat.Json,
        _ => throw Unknown(name),
    };

    private static ArgumentException Unknown(object format) => new(
        $"response_format is '{format}' ({format.GetType().Name}); use \"{Text}\", \"{JsonObject}\", a JSON schema as {nameof(JsonElement)}, "
        + $"a {nameof(Type)} or a {nameof(ChatResponseFormat)}.");
}
