using System.Text.Json;

namespace LocalLlm.Evaluation.Generation;

/// <summary>Reads files with one JSON object a line.</summary>
internal static class JsonLines
{
    /// <summary>Reads a file; empty lines are passed over.</summary>
    /// <param name="path">The file.</param>
    /// <param name="option">The option that named it, for messages.</param>
    /// <param name="read">Reads a line's object; throws a <see cref="JsonException"/> that says what is wrong with it.</param>
    /// <exception cref="ArgumentException">The file is missing or empty, or a line is wrong; the message has its number.</exception>
    public static List<T> Read<T>(string path, string option, Func<JsonElement, T> read)
    {
        if (!File.Exists(path))
            throw new ArgumentException($"--{option}: there is no file '{path}'.");
        List<T> values = [];
        var number = 0;
        foreach (var line in File.ReadLines(path))
        {
            number++;
            if (string.IsNullOrWhiteSpace(line))
                continue;
            try
            {
                using var document = JsonDocument.Parse(line);
                if (document.RootElement.ValueKind != JsonValueKind.Object)
                    throw new JsonException($"an object was expected, got {document.RootElement.ValueKind}");
                values.Add(read(document.RootElement));
            }
            catch (JsonException e)
            {
                // The parser counts the lines of what it was given, which is one line.
                var what = e.Message.Split(" LineNumber:")[0].TrimEnd('.');
                throw new ArgumentException($"--{option}: line {number} of '{path}' is wrong: {what}.", e);
            }
        }

        return values.Count > 0
            ? values
            : throw new ArgumentException($"--{option}: '{path}' has no lines; one JSON object a line is needed.");
    }

    /// <summary>A property that must be a text.</summary>
    /// <exception cref="JsonException">It is missing or no text.</exception>
    public static string Text(JsonElement line, string name) =>
        !line.TryGetProperty(name, out var value) ? throw new JsonException($"\"{name}\" is missing")
        : value.ValueKind == JsonValueKind.String ? value.GetString()!
        : throw new JsonException($"\"{name}\" must be a text, got {value.ValueKind}");

    /// <summary>A property that must be a list of texts; null where the property is missing or null.</summary>
    /// <exception cref="JsonException">It is something else.</exception>
    public static string[]? Texts(JsonElement line, string name)
    {
        if (!line.TryGetProperty(name, out var value) || value.ValueKind == JsonValueKind.Null)
            return null;
        return value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(v => v.ValueKind == JsonValueKind.String)
            ? [.. value.EnumerateArray().Select(v => v.GetString()!)]
            : throw new JsonException($"\"{name}\" must be a list of texts");
    }
}
