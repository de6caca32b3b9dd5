using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace LocalLlm.Tests.Sampling.Constraints.Schema;

/// <summary>
/// Writes random JSON near a schema, from the schema itself: mostly valid or nearly so. Which it is, a validator says.
/// </summary>
internal sealed class SchemaInstances(JsonElement root, Random random)
{
    private static readonly string[] Texts =
    [
        "", "a", "ab", "abc", "aab", "bc", "abab", "xyz", "AB-123", "ok", "bb", "é😀", "2024-02-29", "2023-02-29", "a\"\\/\n",
    ];

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    private readonly List<JsonElement> constants = [.. Constants(root)];
    private readonly List<string> names = [.. Names(root).Append("extra").Append("az").Append("abz").Append("c")];

    /// <summary>A text near the schema.</summary>
    public string Next()
    {
        var node = Near(root, 0);
        return JsonSerializer.Serialize(node, random.Next(2) == 0 ? Indented : JsonSerializerOptions.Default);
    }

    private JsonNode? Near(JsonElement schema, int depth)
    {
        if (schema.ValueKind != JsonValueKind.Object || random.Next(12) == 0)
            return Anything(depth);
        if (constants.Count > 0 && random.Next(4) == 0 && (schema.TryGetProperty("enum", out _) || schema.TryGetProperty("const", out _)))
            return ToNode(constants[random.Next(constants.Count)]);
        if (schema.TryGetProperty("const", out var value))
            return ToNode(value);
        if (schema.TryGetProperty("enum", out var members))
            return ToNode(members[random.Next(members.GetArrayLength())]);
        var parts = new List<JsonElement>();
        foreach (var name in (string[])["anyOf", "oneOf", "allOf"])
        {
            if (schema.TryGetProperty(name, out var branches))
                parts.AddRange(branches.EnumerateArray());
        }

        if (schema.TryGetProperty("$ref", out var reference))
            parts.Add(Resolve(reference.GetString()!));
        if (parts.Count > 0 && (random.Next(4) > 0 || !schema.TryGetProperty("type", out _)))
            return Near(parts[random.Next(parts.Count)], depth);
        return OfType(schema, TypeOf(schema), depth);
    }

    private string TypeOf(JsonElement schema)
    {
        if (schema.TryGetProperty("type", out var type))
            return type.ValueKind == JsonValueKind.String ? type.GetString()! : type[random.Next(type.GetArrayLength())].GetString()!;
        return schema.TryGetProperty("properties", out _) || schema.TryGetProperty("required", out _) ? "object"
            : schema.TryGetProperty("minimum", out _) || schema.TryGetProperty("maximum", out _) ? "number"
            : "string";
    }

    private JsonNode? OfType(JsonElement schema, string type, int depth)
    {
        switch (type)
        {
            case "null":
                return null;
            case "boolean":
                return random.Next(2) == 0;
            case "integer" or "number":
                return Number(schema, type == "integer");
            case "string":
                return Texts[random.Next(Texts.Length)];
            case "array":
                var array = new JsonArray();
                for (var count = depth > 4 ? 0 : random.Next(4); count > 0; count--)
                {
                    var isFirst = schema.TryGetProperty("prefixItems", out var prefix) && array.Count < prefix.GetArrayLength();
                    array.Add(isFirst ? Near(prefix[array.Count], depth + 1)
                        : schema.TryGetProperty("items", out var items) ? Near(items, depth + 1)
                        : Anything(depth + 1));
                }

                return array;
            default:
                return Object(schema, depth);
        }
    }

    private JsonObject Object(JsonElement schema, int depth)
    {
        var required = schema.TryGetProperty("required", out var list) ? list.EnumerateArray().Select(r => r.GetString()!).ToList() : [];
        var properties = schema.TryGetProperty("properties", out var named) ? named.EnumerateObject().ToDictionary(p => p.Name, p => p.Value) : [];
        var value = new JsonObject();
        var others = random.Next(3) == 0 ? [names[random.Next(names.Count)]] : (string[])[];
        foreach (var name in required.Union(properties.Keys).Union(others).OrderBy(_ => random.Next()))
        {
            if (random.Next(20) < (required.Contains(name) ? 19 : depth > 4 ? 0 : 10))
                value[name] = properties.TryGetValue(name, out var inner) ? Near(inner, depth + 1) : OtherProperty(schema, name, depth + 1);
        }

        return value;
    }

    private JsonNode? OtherProperty(JsonElement schema, string name, int depth)
    {
        var patterns = schema.TryGetProperty("patternProperties", out var list) ? list.EnumerateObject().ToList() : [];
        return patterns.Count > 0 && random.Next(2) == 0 ? Near(patterns[random.Next(patterns.Count)].Value, depth)
            : schema.TryGetProperty("additionalProperties", out var other) ? Near(other, depth)
            : Anything(depth);
    }

    private JsonNode Number(JsonElement schema, bool isInteger)
    {
        decimal[] bounds = [.. ((string[])["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"])
            .Where(k => schema.TryGetProperty(k, out var bound) && bound.ValueKind == JsonValueKind.Number)
            .Select(k => schema.GetProperty(k).GetDecimal())];
        var near = bounds.Length > 0 ? bounds[random.Next(bounds.Length)] : random.Next(-20, 20);
        var value = near + random.Next(-3, 4) * (isInteger ? 1m : ((decimal[])[1m, 0.5m, 0.25m, 0.01m, 0.003m])[random.Next(5)]);
        value *= random.Next(10) == 0 ? 3 : 1;
        return JsonNode.Parse((value == Math.Floor(value) ? Math.Floor(value) : value).ToString("0.##########", CultureInfo.InvariantCulture))!;
    }

    private JsonNode? Anything(int depth) => random.Next(depth > 4 ? 5 : 7) switch
    {
        0 => null,
        1 => random.Next(2) == 0,
        2 => random.Next(-5, 30),
        3 => 1.5,
        4 => Texts[random.Next(Texts.Length)],
        5 => new JsonArray(Anything(depth + 1)),
        _ => new JsonObject { [names[random.Next(names.Count)]] = Anything(depth + 1) },
    };

    private JsonElement Resolve(string reference)
    {
        if (!reference.StartsWith("#/", StringComparison.Ordinal))
            return reference == "#" ? root : root.GetProperty("$defs").EnumerateObject().First().Value;
        return reference[2..].Split('/').Aggregate(root, (at, step) => at.GetProperty(step));
    }

    private static JsonNode? ToNode(JsonElement value) => JsonNode.Parse(value.GetRawText());

    private static IEnumerable<JsonElement> Constants(JsonElement schema) => schema.ValueKind switch
    {
        JsonValueKind.Object => schema.EnumerateObject().SelectMany(p => p.Name == "const" ? [p.Value]
            : p.Name == "enum" && p.Value.ValueKind == JsonValueKind.Array ? p.Value.EnumerateArray() : Constants(p.Value)),
        JsonValueKind.Array => schema.EnumerateArray().SelectMany(Constants),
        _ => [],
    };

    private static IEnumerable<string> Names(JsonElement schema) => schema.ValueKind switch
    {
        JsonValueKind.Object => schema.EnumerateObject().SelectMany(p => p.Name is "properties" && p.Value.ValueKind == JsonValueKind.Object
            ? p.Value.EnumerateObject().Select(q => q.Name).Concat(Names(p.Value)) : Names(p.Value)),
        JsonValueKind.Array => schema.EnumerateArray().SelectMany(Names),
        _ => [],
    };
}
