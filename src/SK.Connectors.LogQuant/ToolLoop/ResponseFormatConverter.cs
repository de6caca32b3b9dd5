using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.Extensions.AI;

namespace SK.Connectors.LogQuant.ToolLoop;

/// <summary>
/// Writes a response format as JSON: a string as itself, a schema as an object, a <see cref="Type"/> as its schema. System.Text.Json
/// refuses a <see cref="Type"/> otherwise, and with it the round trip of the settings through JSON.
/// </summary>
internal sealed class ResponseFormatConverter : JsonConverter<object>
{
    // Stands on a property of type object; nothing else may be claimed.
    public override bool CanConvert(Type typeToConvert) => typeToConvert == typeof(object);

    public override object? Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.TokenType switch
    {
        JsonTokenType.Null => null,
        JsonTokenType.String => reader.GetString(),
        _ => JsonElement.ParseValue(ref reader),
    };

    public override void Write(Utf8JsonWriter writer, object value, JsonSerializerOptions options)
    {
        switch (value)
        {
            case string text:
                writer.WriteStringValue(text);
                break;
            case Type type:
                ResponseFormats.SchemaOf(type).WriteTo(writer);
                break;
            case ChatResponseFormatText:
                writer.WriteStringValue(ResponseFormats.Text);
                break;
            case ChatResponseFormatJson { Schema: null }:
                writer.WriteStringValue(ResponseFormats.JsonObject);
                break;
            case ChatResponseFormatJson { Schema: { } schema }:
                schema.WriteTo(writer);
                break;
            default:
                JsonSerializer.Serialize(writer, value, value.GetType(), options);
                break;
        }
    }
}

/// <summary>Lets settings of other connectors, which may hold a <see cref="Type"/> as response format, be written as JSON.</summary>
internal sealed class TypeAsSchemaConverter : JsonConverter<Type>
{
    public override bool CanConvert(Type typeToConvert) => typeof(Type).IsAssignableFrom(typeToConvert);

    public override Type Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        throw new NotSupportedException("A type is written as its JSON schema and cannot be read back.");

    public override void Write(Utf8JsonWriter writer, Type value, JsonSerializerOptions options) =>
        ResponseFormats.SchemaOf(value).WriteTo(writer);
}
