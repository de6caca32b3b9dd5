using System.Text.Encodings.Web;
using System.Text.Json;
using LocalLlm.Sampling.Constraints.Automata;
using static LocalLlm.Sampling.Constraints.GrammarNode;

namespace LocalLlm.Sampling.Constraints.Answers;

/// <summary>The calls of an answer, from their first opener to the last closer.</summary>
/// <param name="spelling">How they are written.</param>
/// <param name="controlToken">The control token that a marker is, or null if it is spelled in text.</param>
internal sealed class ToolCallGrammar(CallSpelling spelling, Func<string, int?> controlToken)
{
    private static readonly char[] Space = [' ', '\t', '\r', '\n'];

    private const string PythonTag = "<|python_tag|>";

    private static readonly JsonSerializerOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>What begins calls wherever it stands in the text.</summary>
    public IReadOnlyList<string> Openers => spelling switch
    {
        CallSpelling.Hermes => ["<tool_call>"],
        CallSpelling.Llama3Json => [PythonTag],
        CallSpelling.MistralArray or CallSpelling.MistralArguments => ["[TOOL_CALLS]"],
        CallSpelling.Phi4 => ["<|tool_call|>"],
        CallSpelling.Functools => ["functools["],
        _ => [],
    };

    /// <summary>What free text cannot hold: the openers, and those of the family's other spelling, which are read as calls too.</summary>
    public IReadOnlyList<string> BannedInText => spelling switch
    {
        CallSpelling.Phi4 or CallSpelling.Functools => ["<|tool_call|>", "functools["],
        _ => Openers,
    };

    /// <summary>True if calls may begin without an opener, at the answer's beginning.</summary>
    public bool MayBeginBare => spelling == CallSpelling.Llama3Json;

    /// <summary>True if calls begin at the answer's beginning only.</summary>
    public bool OpensOnlyAtStart => spelling == CallSpelling.Functools;

    /// <summary>A marker: its control token, or its text.</summary>
    public GrammarNode Marker(string text) => controlToken(text) is { } id ? new TokenNode(id) : Literal(text);

    /// <summary>Whole calls: the opener and what comes after it.</summary>
    public GrammarNode Calls(IReadOnlyList<(string Name, GrammarNode Arguments)> tools, bool allowParallel)
    {
        var after = AfterOpener(tools, allowParallel);
        var opener = Sequence([.. Openers.Select(Marker)]);
        return MayBeginBare ? Sequence(Optional(opener), after) : Sequence(opener, after);
    }

    /// <summary>What comes after the first opener.</summary>
    public GrammarNode AfterOpener(IReadOnlyList<(string Name, GrammarNode Arguments)> tools, bool allowParallel)
    {
        int? most = allowParallel ? null : 1;
        GrammarNode comma = Sequence(JsonSpace, Literal(","), JsonSpace), semicolon = Sequence(JsonSpace, Literal(";"), JsonSpace);
        switch (spelling)
        {
            case CallSpelling.Hermes:
                var body = Sequence(JsonSpace, JsonCall(tools, "arguments"), JsonSpace, Marker("</tool_call>"));
                return Series(body, Sequence(JsonSpace, Marker("<tool_call>")), most);
            case CallSpelling.Llama3Json:
                return Sequence(JsonSpace, Series(JsonCall(tools, "parameters", mayHaveType: true), semicolon, most));
            case CallSpelling.MistralArray:
                return Sequence(JsonSpace, new JsonArrayNode([], JsonCall(tools, "arguments", withId: true), 1, most));
            case CallSpelling.MistralArguments:
                return Series(ArgumentsCall(tools), Marker("[TOOL_CALLS]"), most);
            case CallSpelling.Phi4:
                return Sequence(JsonSpace, new JsonArrayNode([], JsonCall(tools, "arguments"), 1, most), JsonSpace, Marker("<|/tool_call|>"));
            case CallSpelling.Functools:
                // The opening bracket belongs to the opener.
                return Sequence(JsonSpace, Series(JsonCall(tools, "arguments"), comma, most), JsonSpace, Literal("]"));
            default:
                throw new InvalidOperationException($"Calls of the spelling {spelling} have no grammar.");
        }
    }

    /// <summary>
    /// The beginning of a text with a brace that is no call: it begins neither with the key "name" nor with the type "function". Where calls are
    /// bare JSON, free text may begin with it.
    /// </summary>
    public static GrammarNode OrdinaryBrace()
    {
        const int Other = 0; // text that is no call
        var states = new List<List<CharEdge>> { new() };
        var start = Add();
        var name = Path("ame\"");
        var type = Path("ype\":\"function\"");
        states[start].Add(new('{', '{', Spaces(quote => states[quote] = [.. AllBut(['n', 't'], Other, ('n', name), ('t', type))])));
        return new TextNode(new CharDfa(start, [.. states.Select(s => s.OrderBy(e => e.Low).ToArray())], [.. states.Select((_, i) => i == Other)]));

        int Add()
        {
            states.Add([]);
            return states.Count - 1;
        }

        // A state of white space up to a quote; anything else is no call.
        int Spaces(Action<int> afterQuote)
        {
            var (state, quote) = (Add(), Add());
            states[state] = [.. AllBut([.. Space, '"'], Other, ('"', quote), (' ', state), ('\t', state), ('\r', state), ('\n', state))];
            afterQuote(quote);
            return state;
        }

        // A state from which these characters, white space before a colon and a quote after it let through, lead to a call and all others do not.
        int Path(string text)
        {
            var first = Add();
            var state = first;
            for (var i = 0; i < text.Length; i++)
            {
                var isLast = i == text.Length - 1;
                var next = isLast ? -1 : Add();
                var maySpace = text[i] == ':' || (i > 0 && text[i - 1] == ':');
                var from = state;
                states[state] = maySpace
                    ? [.. AllBut([.. Space, text[i]], Other, (text[i], next), (' ', from), ('\t', from), ('\r', from), ('\n', from))]
                    : [.. AllBut([text[i]], Other, (text[i], next))];
                states[state].RemoveAll(e => e.Target < 0);
                state = next;
            }

            return first;
        }
    }

    /// <summary>One character with which no bare call begins, and which is no white space.</summary>
    public static GrammarNode OrdinaryStart() => new TextNode(new CharDfa(0, [AllBut([.. Space, '{'], 1), []], [false, true]));

    private static GrammarNode Series(GrammarNode item, GrammarNode separator, int? most) =>
        most == 1 ? item : new RepeatNode(item, separator, 1, most);

    /// <summary>An object of a name and arguments, tied to each other, in the order in which models are trained to write them.</summary>
    private static GrammarNode JsonCall(
        IReadOnlyList<(string Name, GrammarNode Arguments)> tools, string argumentsKey, bool withId = false, bool mayHaveType = false)
    {
        var colon = Sequence(JsonSpace, Literal(":"), JsonSpace);
        var comma = Sequence(JsonSpace, Literal(","), JsonSpace);
        var callOfTools = tools.Select(t => Sequence(
            Literal(JsonSerializer.Serialize(t.Name, Relaxed)), comma, Literal($"\"{argumentsKey}\""), colon, t.Arguments));
        var id = withId ? Optional(Sequence(comma, Literal("\"id\""), colon, new TextNode(CallId()))) : Empty;
        // Llama's models often write the type, as they see it in the definitions of the tools.
        var type = mayHaveType ? Optional(Sequence(Literal("\"type\""), colon, Literal("\"function\""), comma)) : Empty;
        return Sequence(Literal("{"), JsonSpace, type, Literal("\"name\""), colon, Choice([.. callOfTools]), id, JsonSpace, Literal("}"));
    }

    private GrammarNode ArgumentsCall(IReadOnlyList<(string Name, GrammarNode Arguments)> tools) =>
        Choice([.. tools.Select(t => Sequence(Literal(t.Name), Marker("[ARGS]"), JsonSpace, t.Arguments))]);

    /// <summary>Nine letters or digits in quotes: what Mistral's templates insist on.</summary>
    private static CharDfa CallId()
    {
        const int Length = 9;
        var edges = new List<CharEdge[]> { new CharEdge[] { new('"', '"', 1) } };
        for (var i = 1; i <= Length; i++)
            edges.Add([new('0', '9', i + 1), new('A', 'Z', i + 1), new('a', 'z', i + 1)]);
        edges.Add([new('"', '"', Length + 2)]);
        edges.Add([]);
        return new CharDfa(0, [.. edges], [.. edges.Select((_, i) => i == edges.Count - 1)]);
    }

    /// <summary>Edges to a state for all scalar values but some, and the edges for those that go elsewhere.</summary>
    private static CharEdge[] AllBut(ReadOnlySpan<char> excluded, int target, params ReadOnlySpan<(char Value, int Target)> elsewhere)
    {
        var edges = new List<CharEdge>();
        var sorted = excluded.ToArray().Order().ToArray();
        var next = 0;
        foreach (int value in sorted.Append('\uD800'))
        {
            if (next < value)
                edges.Add(new(next, value - 1, target));
            next = value + 1;
        }

        edges.Add(new(0xE000, 0x10FFFF, target));
        foreach (var (value, other) in elsewhere)
            edges.Add(new(value, value, other));
        return [.. edges.OrderBy(e => e.Low)];
    }
}
