using System.Globalization;
using System.Text.Json;

namespace LocalLlm.Loading;

/// <summary>Typed reading of the fields of a JSON object; what is wrong goes to a list instead of ending the reading. A null field counts as absent.</summary>
internal sealed class JsonFields(JsonElement json, string label, LoadErrors errors)
{
    private static readonly JsonDocumentOptions Options = new() { AllowDuplicateProperties = false };

    /// <summary>Where the object is, for messages: "config.json" or "config.json: rope_scaling".</summary>
    public string Label => label;

    /// <summary>True if a field's value is an object itself.</summary>
    public bool HasObjects => json.EnumerateObject().Any(p => p.Value.ValueKind == JsonValueKind.Object);

    /// <summary>Parses a file that must hold a JSON object; null and an error if it does not.</summary>
    public static JsonFields? Read(string path, LoadErrors errors)
    {
        var name = Path.GetFileName(path);
        try
        {
            using var stream = File.OpenRead(path);
            using var document = JsonDocument.Parse(stream, Options);
            if (document.RootElement.ValueKind == JsonValueKind.Object)
                return new JsonFields(document.RootElement.Clone(), name, errors);
            errors.Add($"{name} holds a JSON {Describe(document.RootElement)}; it must be an object.");
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException or InvalidOperationException)
        {
            errors.Add($"{name} cannot be read: {e.Message}");
        }

        return null;
    }

    /// <summary>Adds an error about a field.</summary>
    public void Fail(string name, string what) => errors.Add($"{label}: {name} {what}");

    /// <summary>True if the field is there and not null.</summary>
    public bool Has(string name) => TryGet(name, out _);

    /// <summary>True if the field is there with the value null.</summary>
    public bool IsNull(string name) => json.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Null;

    /// <summary>An integer in a range; null and an error if it is absent or wrong.</summary>
    public int? RequiredInt(string name, int min, int max)
    {
        if (Has(name))
            return Int(name, min, max);
        Fail(name, $"is missing; it must be an integer of {min} to {max}.");
        return null;
    }

    /// <summary>An integer in a range, if the field is there.</summary>
    public int? Int(string name, int min, int max)
    {
        if (!TryGet(name, out var value))
            return null;
        if (TryInt(value, out var number) && number >= min && number <= max)
            return (int)number;
        Fail(name, $"is {Describe(value)}; it must be an integer of {min} to {max}.");
        return null;
    }

    /// <summary>A finite number for which <paramref name="isValid"/> holds, if the field is there.</summary>
    public double? Number(string name, Func<double, bool> isValid, string requirement)
    {
        if (!TryGet(name, out var value))
            return null;
        if (value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && double.IsFinite(number) && isValid(number))
            return number;
        Fail(name, $"is {Describe(value)}; it must be {requirement}.");
        return null;
    }

    /// <summary>A number greater than zero, if the field is there.</summary>
    public double? PositiveNumber(string name) => Number(name, x => x > 0, "a number greater than 0");

    /// <summary>True or false, if the field is there.</summary>
    public bool? Bool(string name)
    {
        if (!TryGet(name, out var value))
            return null;
        if (value.ValueKind is JsonValueKind.True or JsonValueKind.False)
            return value.GetBoolean();
        Fail(name, $"is {Describe(value)}; it must be true or false.");
        return null;
    }

    /// <summary>A text, if the field is there.</summary>
    public string? Text(string name)
    {
        if (!TryGet(name, out var value))
            return null;
        if (TryText(value, out var text))
            return text;
        Fail(name, $"is {Describe(value)}; it must be a string.");
        return null;
    }

    /// <summary>One integer or a list of them, if the field is there.</summary>
    public IReadOnlyList<int>? Ints(string name, int min, int max)
    {
        if (!TryGet(name, out var value))
            return null;
        var items = value.ValueKind == JsonValueKind.Array ? value.EnumerateArray().ToArray() : [value];
        if (items.All(item => TryInt(item, out var number) && number >= min && number <= max))
            return [.. items.Select(item => (int)item.GetDouble())];
        Fail(name, $"is {Describe(value)}; it must be an integer of {min} to {max}, or a list of them.");
        return null;
    }

    /// <summary>A list of numbers greater than zero, if the field is there.</summary>
    public IReadOnlyList<double>? PositiveNumbers(string name)
    {
        if (!TryGet(name, out var value))
            return null;
        if (value.ValueKind == JsonValueKind.Array
            && value.EnumerateArray().All(x => x.ValueKind == JsonValueKind.Number && x.GetDouble() is > 0 and < double.PositiveInfinity))
            return [.. value.EnumerateArray().Select(x => x.GetDouble())];
        Fail(name, $"is {Describe(value)}; it must be a list of numbers greater than 0.");
        return null;
    }

    /// <summary>A list of texts, if the field is there.</summary>
    public IReadOnlyList<string>? Texts(string name)
    {
        if (!TryGet(name, out var value))
            return null;
        if (value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(x => TryText(x, out _)))
            return [.. value.EnumerateArray().Select(x => x.GetString()!)];
        Fail(name, $"is {Describe(value)}; it must be a list of strings.");
        return null;
    }

    /// <summary>An object whose values are texts, if the field is there.</summary>
    public IReadOnlyDictionary<string, string>? TextMap(string name)
    {
        if (!TryGet(name, out var value))
            return null;
        try
        {
            if (value.ValueKind == JsonValueKind.Object && value.EnumerateObject().All(p => TryText(p.Value, out _)))
                return value.EnumerateObject().ToDictionary(p => p.Name, p => p.Value.GetString()!);
        }
        catch (InvalidOperationException)
        {
            // A name with an unpaired surrogate; told below.
        }

        Fail(name, $"is {Describe(value)}; it must be an object of strings.");
        return null;
    }

    /// <summary>An object, if the field is there.</summary>
    public JsonFields? Object(string name)
    {
        if (!TryGet(name, out var value))
            return null;
        if (value.ValueKind == JsonValueKind.Object)
            return new JsonFields(value, $"{label}: {name}", errors);
        Fail(name, $"is {Describe(value)}; it must be an object.");
        return null;
    }

    private bool TryGet(string name, out JsonElement value) => json.TryGetProperty(name, out value) && value.ValueKind != JsonValueKind.Null;

    // Python writes a float where an integer is meant now and then: 4096.0 is 4096.
    private static bool TryInt(JsonElement value, out long number)
    {
        number = 0;
        if (value.ValueKind != JsonValueKind.Number)
            return false;
        if (value.TryGetInt64(out number))
            return true;
        if (!value.TryGetDouble(out var real) || real != Math.Floor(real) || Math.Abs(real) > int.MaxValue)
            return false;
        number = (long)real;
        return true;
    }

    private static bool TryText(JsonElement value, out string? text)
    {
        text = null;
        if (value.ValueKind != JsonValueKind.String)
            return false;
        try
        {
            text = value.GetString();
            return true;
        }
        catch (InvalidOperationException)
        {
            // An unpaired surrogate.
            return false;
        }
    }

    private static string Describe(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => "object",
        JsonValueKind.Array => string.Create(CultureInfo.InvariantCulture, $"array of {value.GetArrayLength()}"),
        JsonValueKind.String => TryText(value, out var text) ? LoadErrors.Quote(text!) : "a string that is not valid Unicode",
        _ => LoadErrors.Quote(value.GetRawText()).Trim('\''),
    };
}
