using System.Text.Json;
using System.Text.Json.Nodes;

namespace LocalLlm.Sampling.Constraints.Answers;

/// <summary>The schema by which a tool's arguments are enforced.</summary>
internal static class ToolParameters
{
    /// <summary>Keywords by which an object speaks of properties beside those under "properties".</summary>
    private static readonly string[] OfOthers =
    [
        "additionalProperties", "unevaluatedProperties", "patternProperties", "allOf", "anyOf", "oneOf", "$ref", "$dynamicRef", "if",
        "dependentSchemas", "not",
    ];

    /// <summary>
    /// The tool's schema, whose objects hold only the properties that they name, unless they speak of others: a model's invention of more is of no
    /// use to the tool.
    /// </summary>
    /// <param name="parameters">The schema that the tool is shown with.</param>
    /// <param name="subject">What it is, for errors.</param>
    /// <exception cref="ConstraintException">It is no schema of type object.</exception>
    public static JsonElement Enforced(JsonElement parameters, string subject)
    {
        var schema = parameters.ValueKind switch
        {
            JsonValueKind.Undefined => [],
            JsonValueKind.Object => JsonObject.Create(parameters)!,
            _ => throw new ConstraintException(subject, [$"they are a JSON {parameters.ValueKind}, not a schema of type object"]),
        };
        schema.TryAdd("type", "object");
        Close(schema);
        return JsonSerializer.SerializeToElement(schema);
    }

    // Definitions are left as they are: a schema that extends one adds properties to it.
    private static void Close(JsonNode? node)
    {
        if (node is not JsonObject schema)
            return;
        Close(schema["items"]);
        if (schema["properties"] is not JsonObject properties)
            return;
        foreach (var (_, property) in properties)
            Close(property);
        if (!OfOthers.Any(schema.ContainsKey))
            schema["additionalProperties"] = false;
    }
}
