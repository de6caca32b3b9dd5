using System.Text.Json;

namespace LocalLlm.Sampling.Constraints.Schema;

/// <summary>A keyword's value, read as what it must be; what it is instead becomes a problem with its place.</summary>
internal sealed class KeywordReader(string pointer, JsonElement value, List<string> problems)
{
    public string Pointer => pointer;

    public JsonElement Value => value;

    public List<string> Problems => problems;

    /// <summary>What a value is, for errors.</summary>
    public static string Describe(JsonElement value)
    {
        var text = value.GetRawText();
        return text.Length <= 40 ? text : $"{text[..40]}…";
    }

    public void Report(string problem) => problems.Add($"{pointer}: {problem}");

    public string? ReadString() => value.ValueKind == JsonValueKind.String ? value.GetString() : Wrong<string>("a string");

    public bool ReadBoolean() => value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean() : Wrong<bool>("true or false");

    /// <summary>A count of things, written as any JSON number of an integer's value.</summary>
    public int? ReadCount() =>
        value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && number is >= 0 and <= int.MaxValue
            && number == Math.Floor(number)
            ? (int)number
            : Wrong<int?>("a number from 0 to 2147483647 without a fraction");

    public IReadOnlyList<JsonElement>? ReadArray() =>
        value.ValueKind == JsonValueKind.Array && value.GetArrayLength() > 0
            ? [.. value.EnumerateArray()]
            : Wrong<IReadOnlyList<JsonElement>>("an array of one item or more");

    public IReadOnlyList<string> ReadStrings() =>
        value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(i => i.ValueKind == JsonValueKind.String)
            ? [.. value.EnumerateArray().Select(i => i.GetString()!)]
            : Wrong<IReadOnlyList<string>>("an array of strings") ?? [];

    public IReadOnlyList<(string Name, JsonElement Value)> ReadMembers() =>
        value.ValueKind == JsonValueKind.Object
            ? [.. value.EnumerateObject().Select(p => (p.Name, p.Value))]
            : Wrong<IReadOnlyList<(string, JsonElement)>>("an object") ?? [];

    public JsonTypes ReadTypes()
    {
        if (value.ValueKind == JsonValueKind.String)
            return ReadType(value);
        return ReadArray() is { } items ? items.Aggregate(JsonTypes.None, (types, item) => types | ReadType(item)) : JsonTypes.All;
    }

    // Function schemas made from Python, of which there are many, name its types.
    private JsonTypes ReadType(JsonElement name)
    {
        switch (name.ValueKind == JsonValueKind.String ? name.GetString() : "")
        {
            case "null":
                return JsonTypes.Null;
            case "boolean" or "bool":
                return JsonTypes.Boolean;
            case "integer" or "int":
                return JsonTypes.Integer;
            case "number" or "float":
                return JsonTypes.Number;
            case "string" or "str":
                return JsonTypes.String;
            case "object" or "dict":
                return JsonTypes.Object;
            case "array" or "list" or "tuple":
                return JsonTypes.Array;
            case "any":
                return JsonTypes.All;
            default:
                Report($"the type {Describe(name)} is unknown; it is one of null, boolean, integer, number, string, object, array");
                return JsonTypes.All;
        }
    }

    private T? Wrong<T>(string expected)
    {
        Report($"is {Describe(value)} but must be {expected}");
        return default;
    }
}
