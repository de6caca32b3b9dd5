using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints;

/// <summary>JSON texts of any content (RFC 8259), shared by all grammars.</summary>
internal static class JsonGrammar
{
    /// <summary>Any string.</summary>
    public static GrammarNode String { get; } = new JsonStringNode(CharDfas.AnyString);

    /// <summary>Any number.</summary>
    public static GrammarNode Number { get; } = new TextNode(NumberLanguages.AnyNumber);

    /// <summary>true or false.</summary>
    public static GrammarNode Boolean { get; } = new TextNode(CharDfas.FromStrings(["true", "false"]));

    /// <summary>null.</summary>
    public static GrammarNode Null { get; } = GrammarNode.Literal("null");

    /// <summary>Any value.</summary>
    public static ReferenceNode Value { get; } = new();

    /// <summary>Any object.</summary>
    public static GrammarNode Object { get; } = new JsonObjectNode([], [new JsonPropertyClass(CharDfas.AnyString, Value)], 0, null);

    /// <summary>Any array.</summary>
    public static GrammarNode Array { get; } = new JsonArrayNode([], Value, 0, null);

    static JsonGrammar() => Value.Target = GrammarNode.Choice(
        String, Number, new TextNode(CharDfas.FromStrings(["true", "false", "null"])), Object, Array);
}
