using System.Text.Json;
using System.Text.Unicode;
using static LocalLlm.Loading.LoadErrors;

namespace LocalLlm.Loading;

/// <summary>
/// Checks the header of a safetensors file: a JSON object that gives each tensor's element type, shape and place in the bytes after it. Every
/// byte must belong to exactly one tensor, as the format demands, so that nothing overlaps and nothing lies outside.
/// </summary>
internal static class SafetensorsHeader
{
    /// <summary>The longest header that is accepted: the format's own limit.</summary>
    public const long MaxHeaderBytes = 100_000_000;

    private const int MaxRank = 16;

    /// <summary>Parses a header.</summary>
    /// <param name="json">The header's bytes, UTF-8.</param>
    /// <param name="dataBytes">The number of bytes that follow the header.</param>
    /// <param name="file">The file's name, for messages.</param>
    /// <param name="errors">Gets everything that is wrong.</param>
    /// <returns>The tensors by name; those that are wrong are left out.</returns>
    public static Dictionary<string, StoredTensor> Parse(ReadOnlyMemory<byte> json, long dataBytes, string file, LoadErrors errors)
    {
        var tensors = new Dictionary<string, StoredTensor>();
        if (!Utf8.IsValid(json.Span))
        {
            errors.Add($"{file}: the header is not valid UTF-8.");
            return tensors;
        }

        try
        {
            using var document = JsonDocument.Parse(json);
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                errors.Add($"{file}: the header is a JSON {document.RootElement.ValueKind}; it must be an object.");
            else
                ReadTensors(document.RootElement, dataBytes, file, tensors, errors);
        }
        catch (JsonException e)
        {
            errors.Add($"{file}: the header is not valid JSON: {e.Message}");
        }

        return tensors;
    }

    private static void ReadTensors(JsonElement root, long dataBytes, string file, Dictionary<string, StoredTensor> tensors, LoadErrors errors)
    {
        var names = new HashSet<string>();
        var isWhole = true;
        foreach (var property in root.EnumerateObject())
        {
            if (NameOf(property) is not { } name)
            {
                errors.Add($"{file}: a tensor's name is not valid Unicode.");
                isWhole = false;
            }
            else if (!names.Add(name))
            {
                errors.Add($"{file}: {Quote(name)} is there twice.");
                isWhole = false;
            }
            else if (name == "__metadata__")
            {
                CheckMetadata(property.Value, file, errors);
            }
            else if (ReadTensor(name, property.Value, dataBytes, out var problem) is { } tensor)
            {
                tensors.Add(name, tensor);
            }
            else
            {
                errors.Add($"{file}: tensor {Quote(name)} {problem}");
                isWhole = false;
            }
        }

        CheckLayout(tensors.Values, dataBytes, file, isWhole, errors);
    }

    private static string? NameOf(JsonProperty property)
    {
        try
        {
            return property.Name;
        }
        catch (InvalidOperationException)
        {
            // An escaped half of a surrogate pair.
            return null;
        }
    }

    private static void CheckMetadata(JsonElement value, string file, LoadErrors errors)
    {
        if (value.ValueKind != JsonValueKind.Object || value.EnumerateObject().Any(p => p.Value.ValueKind != JsonValueKind.String))
            errors.Add($"{file}: __metadata__ must be an object of strings.");
    }

    private static StoredTensor? ReadTensor(string name, JsonElement value, long dataBytes, out string problem)
    {
        problem = "";
        if (value.ValueKind != JsonValueKind.Object)
        {
            problem = $"is a JSON {value.ValueKind}; it must be an object with dtype, shape and data_offsets.";
            return null;
        }

        string? type = null;
        long[]? shape = null;
        long[]? offsets = null;
        foreach (var field in value.EnumerateObject())
        {
            var isFirst = NameOf(field) switch
            {
                "dtype" => TrySet(ref type, TextOf(field.Value)),
                "shape" => TrySet(ref shape, IntegersOf(field.Value)),
                "data_offsets" => TrySet(ref offsets, IntegersOf(field.Value)),
                _ => false,
            };
            if (!isFirst)
            {
                problem = "has a field that is unknown, twice there, or not of its type; it must have a string dtype, and shape and data_offsets "
                    + "as lists of integers of at least 0.";
                return null;
            }
        }

        if (type is null || shape is null || offsets is not [var begin, var end])
        {
            problem = "must have dtype, shape and two data_offsets.";
            return null;
        }

        if (BitsOf(type) is not { } bits)
        {
            problem = $"has the unknown dtype {Quote(type)}.";
            return null;
        }

        if (shape.Length > MaxRank)
        {
            problem = $"has {shape.Length} dimensions; at most {MaxRank} are supported.";
            return null;
        }

        if (begin > end || end > dataBytes)
        {
            problem = $"has data_offsets [{begin}, {end}]; they must rise and stay within the file's {dataBytes} bytes of data.";
            return null;
        }

        if (ByteCount(shape, bits) != end - begin)
        {
            problem = $"of dtype {type} and shape [{string.Join(", ", shape)}] needs {ByteCount(shape, bits)?.ToString(Invariant) ?? "more than 2^63"} bytes; "
                + $"its data_offsets [{begin}, {end}] hold {end - begin}.";
            return null;
        }

        return new StoredTensor(name, type, shape, begin, end - begin);
    }

    private static readonly IFormatProvider Invariant = System.Globalization.CultureInfo.InvariantCulture;

    private static bool TrySet<T>(ref T? field, T? value) where T : class
    {
        if (field is not null || value is null)
            return false;
        field = value;
        return true;
    }

    private static string? TextOf(JsonElement value)
    {
        try
        {
            return value.ValueKind == JsonValueKind.String ? value.GetString() : null;
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }

    private static long[]? IntegersOf(JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Array)
            return null;
        var integers = new long[value.GetArrayLength()];
        var index = 0;
        foreach (var item in value.EnumerateArray())
        {
            if (item.ValueKind != JsonValueKind.Number || !item.TryGetInt64(out integers[index]) || integers[index] < 0)
                return null;
            index++;
        }

        return integers;
    }

    // Types of less than a byte are left out: no model here has them.
    private static int? BitsOf(string type) => type switch
    {
        "BOOL" or "U8" or "I8" or "F8_E4M3" or "F8_E5M2" or "F8_E8M0" => 8,
        "U16" or "I16" or "F16" or "BF16" => 16,
        "U32" or "I32" or "F32" => 32,
        "U64" or "I64" or "F64" or "C64" => 64,
        _ => null,
    };

    /// <summary>Bytes of a tensor; null if they are more than a 64-bit integer holds.</summary>
    private static long? ByteCount(long[] shape, int bits)
    {
        if (shape.Contains(0))
            return 0;
        var count = (Int128)(bits / 8);
        foreach (var dimension in shape)
        {
            count *= dimension;
            if (count > long.MaxValue)
                return null;
        }

        return (long)count;
    }

    private static void CheckLayout(IEnumerable<StoredTensor> tensors, long dataBytes, string file, bool isWhole, LoadErrors errors)
    {
        var end = 0L;
        StoredTensor? before = null;
        foreach (var tensor in tensors.OrderBy(t => t.Offset).ThenBy(t => t.ByteCount))
        {
            if (tensor.Offset < end)
                errors.Add($"{file}: tensors {Quote(before!.Name)} and {Quote(tensor.Name)} overlap at byte {tensor.Offset}.");
            // A tensor that was left out may lie in a hole, so holes count only where all tensors could be read.
            else if (tensor.Offset > end && isWhole)
                errors.Add($"{file}: bytes {end} to {tensor.Offset} before tensor {Quote(tensor.Name)} belong to no tensor.");
            end = Math.Max(end, tensor.Offset + tensor.ByteCount);
            before = tensor;
        }

        if (end < dataBytes && isWhole)
            errors.Add($"{file}: the last {dataBytes - end} bytes belong to no tensor.");
    }
}
