using System.Text.Json;
using System.Text.Json.Nodes;

namespace LocalLlm.Tests.Sampling.Constraints.Schema;

/// <summary>The parameters of real functions, from a leaderboard whose types are Python's: translated to JSON Schema's as its users do.</summary>
internal static class FunctionSchemas
{
    public static IEnumerable<string> Read()
    {
        foreach (var file in Directory.EnumerateFiles(SharedData.Require("functions"), "BFCL*.json").Order(StringComparer.Ordinal))
        {
            foreach (var line in File.ReadLines(file).Where(l => l.Trim() != ""))
            {
                foreach (var function in JsonElement.Parse(line).GetProperty("function").EnumerateArray())
                    yield return Translate(JsonNode.Parse(function.GetProperty("parameters").GetRawText()), isSchema: true)!.ToJsonString();
            }
        }
    }

    private static JsonNode? Translate(JsonNode? node, bool isSchema)
    {
        if (node is JsonArray array)
            return new JsonArray([.. array.Select(i => Translate(i, isSchema))]);
        if (node is not JsonObject members)
            return node?.DeepClone();
        var result = new JsonObject();
        foreach (var (name, value) in members)
        {
            if (isSchema && name == "type" && value is JsonValue)
            {
                var type = value.GetValue<string>();
                if (type != "any")
                    result["type"] = type switch { "dict" => "object", "float" => "number", "tuple" => "array", _ => type };
            }
            else if (!isSchema || name != "optional")
            {
                // Members of "properties" are names, not keywords.
                result[name] = Translate(value, !isSchema || name != "properties");
            }
        }

        return result;
    }
}
