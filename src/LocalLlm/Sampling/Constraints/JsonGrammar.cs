using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints;

/// <summary>JSON texts of any content (RFC 8259), shared by all grammars.</summary>
internal static class JsonGrammar
{
    /// <summary>Digits of a number before its point and after it; with an exponent of two digits every number is finite as a double.</summary>
    public const int MostDigits = 100;

    /// <summary>Any text.</summary>
    public static CharDfa AnyText { get; } = new(0, [[new CharEdge(0, 0xD7FF, 0), new CharEdge(0xE000, 0x10FFFF, 0)]], [true]);

    /// <summary>The texts of all numbers of at most <see cref="MostDigits"/> digits before and after the point and two of an exponent.</summary>
    public static CharDfa AnyNumber { get; } = Numbers();

    /// <summary>Any string.</summary>
    public static GrammarNode String { get; } = new JsonStringNode(AnyText);

    /// <summary>Any number.</summary>
    public static GrammarNode Number { get; } = new TextNode(AnyNumber);

    /// <summary>true or false.</summary>
    public static GrammarNode Boolean { get; } = new TextNode(CharDfas.FromStrings(["true", "false"]));

    /// <summary>null.</summary>
    public static GrammarNode Null { get; } = GrammarNode.Literal("null");

    /// <summary>Any value.</summary>
    public static ReferenceNode Value { get; } = new();

    /// <summary>Any object.</summary>
    public static GrammarNode Object { get; } = new JsonObjectNode([], [new JsonPropertyClass(AnyText, Value)], 0, null);

    /// <summary>Any array.</summary>
    public static GrammarNode Array { get; } = new JsonArrayNode([], Value, 0, null);

    static JsonGrammar() => Value.Target = GrammarNode.Choice(
        String, Number, new TextNode(CharDfas.FromStrings(["true", "false", "null"])), Object, Array);

    private static CharDfa Numbers()
    {
        var (edges, accepting) = (new List<CharEdge[]>(), new List<bool>());
        // Backwards, so that each state's targets are known.
        var end = Add(true);
        var exponentDigit = Add(true, ('0', '9', end));
        var exponentSign = Add(false, ('0', '9', exponentDigit));
        var exponent = Add(false, ('+', '+', exponentSign), ('-', '-', exponentSign), ('0', '9', exponentDigit));
        var fraction = Add(true, ('E', 'E', exponent), ('e', 'e', exponent));
        for (var digit = 1; digit < MostDigits; digit++)
            fraction = Add(true, ('0', '9', fraction), ('E', 'E', exponent), ('e', 'e', exponent));
        var point = Add(false, ('0', '9', fraction));
        var zero = Add(true, ('.', '.', point), ('E', 'E', exponent), ('e', 'e', exponent));
        var whole = zero;
        for (var digit = 1; digit < MostDigits; digit++)
            whole = Add(true, ('.', '.', point), ('0', '9', whole), ('E', 'E', exponent), ('e', 'e', exponent));
        var sign = Add(false, ('0', '0', zero), ('1', '9', whole));
        var start = Add(false, ('-', '-', sign), ('0', '0', zero), ('1', '9', whole));
        return new CharDfa(start, [.. edges], [.. accepting]);

        int Add(bool isAccepting, params ReadOnlySpan<(char Low, char High, int Target)> ranges)
        {
            var row = new CharEdge[ranges.Length];
            for (var i = 0; i < row.Length; i++)
                row[i] = new CharEdge(ranges[i].Low, ranges[i].High, ranges[i].Target);
            edges.Add(row);
            accepting.Add(isAccepting);
            return edges.Count - 1;
        }
    }
}
