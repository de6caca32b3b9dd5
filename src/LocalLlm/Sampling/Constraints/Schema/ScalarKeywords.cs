using System.Text.Json;
using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints.Schema;

/// <summary>Reads the keywords of strings and numbers into languages.</summary>
internal static class ScalarKeywords
{
    private static readonly Dictionary<string, (string Min, string Max)> IntegerFormats = new()
    {
        ["int8"] = ("-128", "127"),
        ["uint8"] = ("0", "255"),
        ["int16"] = ("-32768", "32767"),
        ["uint16"] = ("0", "65535"),
        ["int32"] = ("-2147483648", "2147483647"),
        ["uint32"] = ("0", "4294967295"),
        ["int64"] = ("-9223372036854775808", "9223372036854775807"),
        ["uint64"] = ("0", "18446744073709551615"),
    };

    private static readonly Dictionary<string, (string Min, string Max)> NumberFormats = new()
    {
        ["float"] = ("-3.4028234663852886e38", "3.4028234663852886e38"),
        ["decimal"] = ("-79228162514264337593543950335", "79228162514264337593543950335"),
    };

    private static IEnumerable<string> Known => [.. StringFormats.Names, .. IntegerFormats.Keys, .. NumberFormats.Keys, "double"];

    /// <summary>The keywords that are read here.</summary>
    public static IReadOnlySet<string> Names { get; } = new HashSet<string>
    {
        "minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    };

    /// <summary>Reads them all; they depend on each other.</summary>
    public static void Read(ParsedSchema schema, JsonElement element, List<string> problems)
    {
        Read("maxLength", () => ReadLength(schema, Keyword));
        Read("pattern", () =>
        {
            if (Keyword("pattern")?.ReadString() is { } pattern)
                schema.Strings.Add(RegexCompiler.Compile(pattern, anchored: false));
        });
        Read("format", () => ReadFormat(schema, Keyword("format")));
        Read("minimum", () => ReadRange(schema, Keyword));
        Read("multipleOf", () => ReadMultiple(schema, Keyword("multipleOf")));

        KeywordReader? Keyword(string name) =>
            element.TryGetProperty(name, out var value) ? new KeywordReader($"{schema.Pointer}/{name}", value, problems) : null;

        void Read(string name, Action read)
        {
            try
            {
                read();
            }
            catch (ConstraintException e)
            {
                problems.Add($"{schema.Pointer}/{name}: {e.Message.TrimEnd('.')}");
            }
        }
    }

    private static void ReadLength(ParsedSchema schema, Func<string, KeywordReader?> keyword)
    {
        var (min, max) = (keyword("minLength")?.ReadCount() ?? 0, keyword("maxLength")?.ReadCount());
        if (min > 0 || max is not null)
            schema.Strings.Add(CharDfas.OfLength(min, max));
    }

    private static void ReadFormat(ParsedSchema schema, KeywordReader? keyword)
    {
        if (keyword?.ReadString() is not { } format || format == "double") // any number that is written is a finite double
            return;
        if (IntegerFormats.TryGetValue(format, out var integers))
            schema.Numbers.Add(NumberShape.Integer.Intersect(Range(integers)));
        else if (NumberFormats.TryGetValue(format, out var numbers))
            schema.Numbers.Add(Range(numbers));
        else if (StringFormats.Find(format) is { } language)
            schema.Strings.Add(language);
        else
            keyword.Report($"the format '{format}' is unknown; known are {string.Join(", ", Known)}");

        static NumberShape Range((string Min, string Max) range)
        {
            var (min, max) = (DecimalText.Parse(range.Min), DecimalText.Parse(range.Max));
            return NumberShape.Of(NumberLanguages.InRange(new NumberBound(min, false), new NumberBound(max, false)), isCanonical: false, min, max);
        }
    }

    private static void ReadRange(ParsedSchema schema, Func<string, KeywordReader?> keyword)
    {
        var (min, max) = (Inclusive("minimum", "exclusiveMinimum"), Inclusive("maximum", "exclusiveMaximum"));
        Add(min, null);
        Add(null, max);
        Add(Exclusive("exclusiveMinimum"), null);
        Add(null, Exclusive("exclusiveMaximum"));

        // Draft 4 wrote a bound that is exclusive as a boolean beside it.
        NumberBound? Inclusive(string name, string exclusive) =>
            ReadNumber(keyword(name)) is { } value ? new NumberBound(value, keyword(exclusive)?.Value.ValueKind == JsonValueKind.True) : null;

        NumberBound? Exclusive(string name) =>
            keyword(name) is { Value.ValueKind: not (JsonValueKind.True or JsonValueKind.False) } reader && ReadNumber(reader) is { } value
                ? new NumberBound(value, true)
                : null;

        void Add(NumberBound? low, NumberBound? high)
        {
            if ((low ?? high) is { } bound)
                schema.Numbers.Add(NumberShape.Of(NumberLanguages.InRange(low, high), isCanonical: false, bound.Value));
        }
    }

    private static void ReadMultiple(ParsedSchema schema, KeywordReader? keyword)
    {
        if (ReadNumber(keyword) is not { } divisor)
            return;
        if (divisor.Sign <= 0)
            keyword!.Report("the divisor must be above 0");
        else
            schema.Numbers.Add(NumberShape.Of(NumberLanguages.MultiplesOf(divisor), isCanonical: false, divisor));
    }

    private static DecimalText? ReadNumber(KeywordReader? keyword)
    {
        if (keyword is null)
            return null;
        if (keyword.Value.ValueKind == JsonValueKind.Number)
            return DecimalText.Parse(keyword.Value.GetRawText());
        keyword.Report($"is {KeywordReader.Describe(keyword.Value)} but must be a number");
        return null;
    }
}
