using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints;

/// <summary>
/// Any JSON, within bounds that keep it readable: objects and arrays nest <see cref="MaxDepth"/> deep, so that what surrounds them has room in
/// readers that stop at 64 levels, and every number is finite as a double.
/// </summary>
internal static class JsonGrammar
{
    /// <summary>How deep objects and arrays nest in any value.</summary>
    public const int MaxDepth = 32;

    // With an exponent of two digits a number stays below 1e299.
    private const int MaxIntegerDigits = 200;
    private const int MaxFractionDigits = 100;

    /// <summary>Any text.</summary>
    public static CharDfa AnyText { get; } = new(0, [[new CharEdge(0, 0xD7FF, 0), new CharEdge(0xE000, 0x10FFFF, 0)]], [true]);

    private static readonly GrammarNode[] Scalars =
    [
        new JsonStringNode(AnyText), new TextNode(MakeNumber()), GrammarNode.Literal("true"), GrammarNode.Literal("false"), GrammarNode.Literal("null"),
    ];

    private static readonly (GrammarNode Value, GrammarNode Object, GrammarNode Array) Deepest = Nest();

    /// <summary>Any value.</summary>
    public static GrammarNode Value => Deepest.Value;

    /// <summary>Any object.</summary>
    public static GrammarNode Object => Deepest.Object;

    /// <summary>Any array.</summary>
    public static GrammarNode Array => Deepest.Array;

    /// <summary>Any string.</summary>
    public static GrammarNode String => Scalars[0];

    /// <summary>
    /// Any number: <c>-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?</c> with at most 200 digits before the point and 100 after it.
    /// </summary>
    public static GrammarNode Number => Scalars[1];

    private static (GrammarNode Value, GrammarNode Object, GrammarNode Array) Nest()
    {
        var value = GrammarNode.Choice(Scalars);
        for (var depth = 1; ; depth++)
        {
            var o = new JsonObjectNode([], [new JsonPropertyClass(AnyText, value)], 0, null);
            var array = new JsonArrayNode([], value, 0, null);
            value = GrammarNode.Choice([o, array, .. Scalars]);
            if (depth == MaxDepth)
                return (value, o, array);
        }
    }

    private static CharDfa MakeNumber()
    {
        var (edges, accepting) = (new List<List<CharEdge>>(), new List<bool>());
        var (start, minus, zero) = (New(false), New(false), New(true));
        var (point, mark, sign) = (New(false), New(false), New(false));
        var integer = Chain(MaxIntegerDigits);
        var fraction = Chain(MaxFractionDigits);
        var exponent = Chain(2);
        edges[start].AddRange([new('-', '-', minus), new('0', '0', zero), new('1', '9', integer[0])]);
        edges[minus].AddRange([new('0', '0', zero), new('1', '9', integer[0])]);
        edges[point].Add(new('0', '9', fraction[0]));
        edges[mark].AddRange([new('+', '+', sign), new('-', '-', sign), new('0', '9', exponent[0])]);
        edges[sign].Add(new('0', '9', exponent[0]));
        foreach (var state in integer.Append(zero))
            edges[state].Add(new('.', '.', point));
        foreach (var state in integer.Concat(fraction).Append(zero))
            edges[state].AddRange([new('E', 'E', mark), new('e', 'e', mark)]);
        return new CharDfa(start, [.. edges.Select(e => e.OrderBy(edge => edge.Low).ToArray())], [.. accepting]);

        int New(bool accepts)
        {
            edges.Add([]);
            accepting.Add(accepts);
            return edges.Count - 1;
        }

        // Each state after one digit more.
        int[] Chain(int length)
        {
            var states = Enumerable.Range(0, length).Select(_ => New(true)).ToArray();
            for (var i = 1; i < length; i++)
                edges[states[i - 1]].Add(new('0', '9', states[i]));
            return states;
        }
    }
}
