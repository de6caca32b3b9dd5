using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints;

/// <summary>
/// A language of token sequences, from which a <see cref="TokenConstraint"/> masks what cannot come next. A tree, but for
/// <see cref="ReferenceNode"/>, which makes recursion. Immutable once built; compared by reference. No node may stand for the empty language.
/// </summary>
internal abstract class GrammarNode
{
    /// <summary>Nothing.</summary>
    public static GrammarNode Empty { get; } = new SequenceNode([]);

    /// <summary>JSON's insignificant white space, with a bound so that a model cannot go on with it for ever.</summary>
    public static GrammarNode JsonSpace { get; } = new JsonSpaceNode();

    /// <summary>This text, byte by byte in UTF-8.</summary>
    public static GrammarNode Literal(string text) => new TextNode(CharDfas.FromStrings([text]));

    /// <summary>One after the other.</summary>
    public static GrammarNode Sequence(params IReadOnlyList<GrammarNode> items) => items.Count == 1 ? items[0] : new SequenceNode(items);

    /// <summary>One of these.</summary>
    public static GrammarNode Choice(params IReadOnlyList<GrammarNode> items) => items.Count == 1 ? items[0] : new ChoiceNode(items);

    /// <summary>This or nothing.</summary>
    public static GrammarNode Optional(GrammarNode item) => new ChoiceNode([item, Empty]);
}

/// <summary>Text of a regular language, as it is, in UTF-8.</summary>
internal sealed class TextNode(CharDfa language) : GrammarNode
{
    public CharDfa Language => language;
}

/// <summary>A JSON string, quotes included, whose value is of a regular language. Every spelling with escapes counts.</summary>
internal sealed class JsonStringNode(CharDfa value) : GrammarNode
{
    public CharDfa Value => value;
}

/// <summary>JSON's insignificant white space, up to a bound.</summary>
internal sealed class JsonSpaceNode : GrammarNode;

/// <summary>One control token, which no text can spell.</summary>
internal sealed class TokenNode(int id) : GrammarNode
{
    public int Id => id;
}

/// <summary>
/// Any text, control tokens included, up to and with the first occurrence of one of the stops; it never ends otherwise, unless
/// <paramref name="mayEnd"/>.
/// </summary>
/// <param name="stopTexts">Texts that end it, spelled by any tokens.</param>
/// <param name="stopIds">Control tokens that end it.</param>
/// <param name="mayEnd">Whether it may also end anywhere without a stop.</param>
/// <param name="bannedTexts">Texts that cannot be written in it.</param>
/// <param name="bannedIds">Control tokens that cannot be written in it.</param>
internal sealed class FreeTextNode(
    IReadOnlyList<string> stopTexts, IReadOnlyList<int> stopIds, bool mayEnd, IReadOnlyList<string> bannedTexts, IReadOnlyList<int> bannedIds) : GrammarNode
{
    public IReadOnlyList<string> StopTexts => stopTexts;

    public IReadOnlyList<int> StopIds => stopIds;

    public bool MayEnd => mayEnd;

    public IReadOnlyList<string> BannedTexts => bannedTexts;

    public IReadOnlyList<int> BannedIds => bannedIds;
}

/// <summary>Nodes one after the other.</summary>
internal sealed class SequenceNode(IReadOnlyList<GrammarNode> items) : GrammarNode
{
    public IReadOnlyList<GrammarNode> Items => items;
}

/// <summary>One of several nodes.</summary>
internal sealed class ChoiceNode(IReadOnlyList<GrammarNode> items) : GrammarNode
{
    public IReadOnlyList<GrammarNode> Items => items;
}

/// <summary>A node a number of times, with another between two.</summary>
/// <param name="item">What is repeated; it does not stand for nothing.</param>
/// <param name="separator">What stands between two items.</param>
/// <param name="min">The fewest times.</param>
/// <param name="max">The most times; null for no limit.</param>
internal sealed class RepeatNode(GrammarNode item, GrammarNode separator, int min, int? max) : GrammarNode
{
    public GrammarNode Item => item;

    public GrammarNode Separator => separator;

    public int Min => min;

    public int? Max => max;
}

/// <summary>Stands for a node that is known later; how a grammar recurs.</summary>
internal sealed class ReferenceNode : GrammarNode
{
    public GrammarNode? Target { get; set; }
}

/// <summary>A property that an object names. Values hold no white space around them: the object and array nodes add it.</summary>
internal sealed record JsonProperty(string Name, GrammarNode Value, bool Required);

/// <summary>Properties whose names are of a language; the classes of an object neither overlap nor hold a named property's name.</summary>
internal sealed record JsonPropertyClass(CharDfa Names, GrammarNode Value);

/// <summary>A JSON object, its properties in any order, each named one at most once; white space where writers of JSON put it: not before commas.</summary>
/// <param name="properties">The named properties.</param>
/// <param name="classes">What other names may be there.</param>
/// <param name="min">The fewest properties.</param>
/// <param name="max">The most properties; null for no limit.</param>
internal sealed class JsonObjectNode(IReadOnlyList<JsonProperty> properties, IReadOnlyList<JsonPropertyClass> classes, int min, int? max) : GrammarNode
{
    public IReadOnlyList<JsonProperty> Properties => properties;

    public IReadOnlyList<JsonPropertyClass> Classes => classes;

    public int Min => min;

    public int? Max => max;
}

/// <summary>A JSON array; white space where writers of JSON put it: not before commas.</summary>
/// <param name="prefix">The first items, each by its own node.</param>
/// <param name="item">The items after the prefix; null for none.</param>
/// <param name="min">The fewest items.</param>
/// <param name="max">The most items; null for no limit.</param>
internal sealed class JsonArrayNode(IReadOnlyList<GrammarNode> prefix, GrammarNode? item, int min, int? max) : GrammarNode
{
    public IReadOnlyList<GrammarNode> Prefix => prefix;

    public GrammarNode? Item => item;

    public int Min => min;

    public int? Max => max;
}
