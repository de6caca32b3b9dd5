using System.Text.Json;
using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints.Schema;

/// <summary>The types of JSON Schema, as flags.</summary>
[Flags]
internal enum JsonTypes
{
    None = 0,
    Null = 1,
    Boolean = 2,
    Integer = 4,
    Number = 8,
    String = 16,
    Object = 32,
    Array = 64,
    All = Null | Boolean | Number | String | Object | Array,
}

/// <summary>
/// One schema, its keywords read and checked. Subschemas are numbers: indices into the parser's list. A keyword that is not there is null or empty.
/// </summary>
internal sealed class ParsedSchema(string pointer)
{
    /// <summary>Where it stands in the document.</summary>
    public string Pointer => pointer;

    /// <summary>A schema that is true or false.</summary>
    public bool? Boolean { get; set; }

    public JsonTypes Types { get; set; } = JsonTypes.All;

    /// <summary>The values of enum or const; with both there is a list each.</summary>
    public List<IReadOnlyList<JsonElement>> Values { get; } = [];

    public bool IsNullable { get; set; }

    /// <summary>$ref and allOf: all must hold.</summary>
    public List<int> All { get; } = [];

    public IReadOnlyList<int>? AnyOf { get; set; }

    public IReadOnlyList<int>? OneOf { get; set; }

    public int? Not { get; set; }

    /// <summary>Strings: pattern, format and lengths.</summary>
    public List<CharDfa> Strings { get; } = [];

    /// <summary>Numbers: range, multiples and formats.</summary>
    public List<NumberShape> Numbers { get; } = [];

    public Dictionary<string, int> Properties { get; } = [];

    public List<(CharDfa Names, int Schema)> PatternProperties { get; } = [];

    public int? AdditionalProperties { get; set; }

    public int? PropertyNames { get; set; }

    public HashSet<string> Required { get; } = [];

    public List<(string Name, IReadOnlyList<string> Required)> DependentRequired { get; } = [];

    public int MinProperties { get; set; }

    public int? MaxProperties { get; set; }

    public List<int> PrefixItems { get; } = [];

    public int? Items { get; set; }

    public int MinItems { get; set; }

    public int? MaxItems { get; set; }

    /// <summary>Whether a keyword says something of objects.</summary>
    public bool ConstrainsObjects => Properties.Count > 0 || PatternProperties.Count > 0 || AdditionalProperties is not null
        || PropertyNames is not null || Required.Count > 0 || MinProperties > 0 || MaxProperties is not null;

    /// <summary>Whether a keyword says something of arrays.</summary>
    public bool ConstrainsArrays => PrefixItems.Count > 0 || Items is not null || MinItems > 0 || MaxItems is not null;
}
