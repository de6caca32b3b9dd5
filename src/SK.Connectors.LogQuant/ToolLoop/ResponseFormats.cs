using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Microsoft.Extensions.AI;
using SK.Connectors.LogQuant.Mapping;

namespace SK.Connectors.LogQuant.ToolLoop;

/// <summary>The forms that a response format may take in Semantic Kernel's settings.</summary>
internal static class ResponseFormats
{
    public const string Text = "text";
    public const string JsonObject = "json_object";

    private const string Json = "json"; // Ollama's name of it
    private const string JsonSchema = "json_schema";

    /// <summary>As strict as a type is: all its properties are written, and no others.</summary>
    private static readonly AIJsonSchemaCreateOptions OfTypes = new()
    {
        TransformSchemaNode = static (context, schema) =>
        {
            TypedSchemas.Narrow(schema, context.TypeInfo.Type);
            return schema;
        },
        TransformOptions = new AIJsonSchemaTransformOptions { DisallowAdditionalProperties = true, RequireAllProperties = true },
    };

    private static readonly JsonSerializerOptions ByName = new(JsonSerializerOptions.Default) { Converters = { new JsonStringEnumConverter() } };

    public static ChatResponseFormat? Parse(object? format) => format switch
    {
        null or JsonElement { ValueKind: JsonValueKind.Null or JsonValueKind.Undefined } => null,
        ChatResponseFormat parsed => parsed,
        string text when text.AsSpan().TrimStart().StartsWith('{') => OfJson(ParseJson(text)),
        string name => Named(name),
        JsonElement { ValueKind: JsonValueKind.String } name => Parse(name.GetString()!),
        JsonElement { ValueKind: JsonValueKind.Object or JsonValueKind.True or JsonValueKind.False } json => OfJson(json),
        JsonDocument document => Parse(document.RootElement),
        JsonNode node => Parse(JsonSerializer.SerializeToElement(node)),
        Type type => ChatResponseFormat.ForJsonSchema(SchemaOf(type), type.Name),
        _ => throw Unknown(format),
    };

    /// <summary>
    /// The schema of a type as a response format, with names as the serializer's defaults spell them: that is how Semantic Kernel's users read the
    /// answer. Enumerations are written by name, as other connectors do.
    /// </summary>
    public static JsonElement SchemaOf(Type type) => AIJsonUtilities.CreateJsonSchema(type, serializerOptions: ByName, inferenceOptions: OfTypes);

    private static ChatResponseFormat Named(string name) => name switch
    {
        Text => ChatResponseFormat.Text,
        JsonObject or Json => ChatResponseFormat.Json,
        JsonSchema => throw new ArgumentException($"response_format is \"{JsonSchema}\", but no schema is with it; give the schema itself, or "
            + "{\"type\": \"json_schema\", \"json_schema\": {\"name\": ..., \"schema\": ...}}."),
        _ => throw Unknown(name),
    };

    /// <summary>OpenAI's object, whose types are none that a JSON schema can have, or a schema.</summary>
    private static ChatResponseFormat OfJson(JsonElement json)
    {
        var type = json.ValueKind == JsonValueKind.Object && json.TryGetProperty("type", out var value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()
            : null;
        return type switch
        {
            Text or JsonObject => Named(type),
            JsonSchema => OfOpenAI(json),
            _ => ChatResponseFormat.ForJsonSchema(json),
        };
    }

    private static ChatResponseFormatJson OfOpenAI(JsonElement json)
    {
        // The Responses API has the name and the schema beside the type.
        var inner = json.TryGetProperty(JsonSchema, out var nested) ? nested : json;
        if (inner.ValueKind != JsonValueKind.Object || !inner.TryGetProperty("schema", out var schema))
            throw new ArgumentException($"response_format is of type \"{JsonSchema}\", but has no \"{JsonSchema}.schema\": {json.GetRawText()}");
        return ChatResponseFormat.ForJsonSchema(schema, TextOf(inner, "name"), TextOf(inner, "description"));
    }

    private static string? TextOf(JsonElement json, string name) =>
        json.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static JsonElement ParseJson(string json)
    {
        try
        {
            return JsonElement.Parse(json);
        }
        catch (JsonException e)
        {
            throw new ArgumentException($"response_format is a text that begins like JSON, but is none: {e.Message}", e);
        }
    }

    private static ArgumentException Unknown(object format) => new(
        $"response_format is '{format}' ({format.GetType().Name}); use \"{Text}\", \"{JsonObject}\", a JSON schema as {nameof(JsonElement)}, "
        + $"{nameof(JsonDocument)}, {nameof(JsonNode)} or text, OpenAI's object of type \"{JsonSchema}\", a {nameof(Type)} or a "
        + $"{nameof(ChatResponseFormat)}.");
}
