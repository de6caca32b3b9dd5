using System.Text.Json;
using System.Text.Json.Nodes;

namespace SK.Connectors.LogQuant.Mapping;

/// <summary>
/// Adds to the schema of a .NET type what its reader needs beyond it: the serializer's exporter says "integer" of every integer type, and
/// "time" of a <see cref="TimeOnly"/>, which cannot read the offset that this format has.
/// </summary>
internal static class TypedSchemas
{
    private const string Format = "format";
    private const string Pattern = "pattern";
    private const string Clock = @"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,7})?$";

    private static readonly Dictionary<Type, string> Numbers = new()
    {
        [typeof(sbyte)] = "int8",
        [typeof(byte)] = "uint8",
        [typeof(short)] = "int16",
        [typeof(ushort)] = "uint16",
        [typeof(int)] = "int32",
        [typeof(uint)] = "uint32",
        [typeof(ulong)] = "uint64",
        [typeof(float)] = "float",
        [typeof(decimal)] = "decimal",
    };

    private static readonly Dictionary<Type, (string Keyword, string Value)> Texts = new()
    {
        [typeof(TimeOnly)] = (Pattern, "^" + Clock),
        [typeof(TimeSpan)] = (Pattern, @"^-?((0|[1-9]\d{0,6})\.)?" + Clock),
        [typeof(byte[])] = (Format, "byte"),
    };

    /// <summary>The schema of a function's parameters, each narrowed to its type.</summary>
    public static JsonElement Narrow(JsonElement schema, IEnumerable<(string Name, Type? Type)> parameters)
    {
        if (schema.ValueKind != JsonValueKind.Object || !schema.TryGetProperty("properties", out var properties)
            || properties.ValueKind != JsonValueKind.Object)
            return schema;
        JsonObject? narrowed = null;
        foreach (var (name, type) in parameters)
        {
            if (type is null || !properties.TryGetProperty(name, out _) || !IsNarrower(type))
                continue;
            narrowed ??= JsonObject.Create(schema)!;
            Narrow(narrowed["properties"]![name], type);
        }
        return narrowed is null ? schema : JsonSerializer.SerializeToElement(narrowed, ConnectorJson.Options);
    }

    /// <summary>Narrows the schema of a value to what its type can hold, where the schema does not say more already.</summary>
    public static void Narrow(JsonNode? schema, Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (schema is not JsonObject json || json.ContainsKey("enum") || json.ContainsKey("const"))
            return;
        if (Numbers.TryGetValue(type, out var format))
        {
            var isBounded = json.ContainsKey("minimum") && json.ContainsKey("maximum");
            if ((Has(json, "integer") || Has(json, "number")) && !json.ContainsKey(Format) && !isBounded)
                json[Format] = format;
        }
        else if (Texts.TryGetValue(type, out var text))
        {
            if (!Has(json, "string"))
                return;
            json.Remove(Format);
            json[text.Keyword] = text.Value;
        }
        else if (Items(type) is { } items)
        {
            Narrow(json["items"], items);
        }
    }

    private static bool IsNarrower(Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        return Numbers.ContainsKey(type) || Texts.ContainsKey(type) || (Items(type) is { } items && IsNarrower(items));
    }

    private static Type? Items(Type type) =>
        type.IsArray ? type.GetElementType()
        : type.IsGenericType && type.GetGenericArguments() is [var item] && type.IsAssignableTo(typeof(System.Collections.IEnumerable)) ? item
        : null;

    private static bool Has(JsonObject schema, string type) => schema["type"] switch
    {
        JsonValue value => value.TryGetValue<string>(out var name) && name == type,
        JsonArray names => names.Any(n => n is JsonValue value && value.TryGetValue<string>(out var name) && name == type),
        _ => false,
    };
}
