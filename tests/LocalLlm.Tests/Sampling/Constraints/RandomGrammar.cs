using System.Text;
using LocalLlm.Sampling.Constraints;
using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Tests.Sampling.Constraints;

/// <summary>Grammars, and vocabularies that fit them, at random.</summary>
internal sealed class RandomGrammar(Random random)
{
    public static readonly int[] ControlIds = [0, 1, 2, 3];

    private static readonly string[] Texts =
        ["a", "b", "ab", "ba", "aab", "é", "€", "😀", "a\"b", "\\", "\n", "/", "true", "12", "1", "{", "[a", "a b", "u", "\ud83d\ude01"];

    private static readonly string[] Fragments =
    [
        "{", "}", "[", "]", ",", ":", "\"", "\\", " ", "\n", "\t", "a", "b", "u", "\\u", "00", "61", "0", "6", "1", "2", "d83d", "D83D", "de00", "dE", "é", "€", "😀",
        "true", "\"a", "\":", "\",", "\"}", "\\\"", "\\n", "/", "<", "s>", "<s>", "ab", "  ", "\\\\",
    ];

    /// <summary>A vocabulary in which 0 and 1 are control tokens, 2 and 3 control tokens that end the output, 4 stands for nothing.</summary>
    public ReadOnlyMemory<byte>[] Tokens()
    {
        var tokens = new List<ReadOnlyMemory<byte>> { "<s>"u8.ToArray(), "ab"u8.ToArray(), "<end>"u8.ToArray(), "<eot>"u8.ToArray(), ReadOnlyMemory<byte>.Empty };
        var pieces = Fragments.Select(Encoding.UTF8.GetBytes).ToArray();
        while (tokens.Count < 90)
        {
            var token = Enumerable.Range(0, random.Next(1, 5)).SelectMany(_ => pieces[random.Next(pieces.Length)]).ToArray();
            // Some begin or end inside a character.
            var (from, to) = (random.Next(4) == 0 ? random.Next(token.Length) : 0, token.Length);
            if (random.Next(4) == 0)
                to = random.Next(from, token.Length) + 1;
            tokens.Add(token.AsMemory(from, to - from));
        }

        foreach (var piece in pieces.SelectMany(p => p).Distinct())
            tokens.Add(new[] { piece });
        return [.. tokens];
    }

    public GrammarNode Node(int depth) => random.Next(depth > 0 ? 13 : 5) switch
    {
        0 or 1 => new TextNode(Language()),
        2 or 3 => new JsonStringNode(Language()),
        4 => new TokenNode(random.Next(random.Next(4) == 0 ? 3 : 2)),
        5 => GrammarNode.Sequence(Some(0, 4, () => random.Next(5) == 0 ? GrammarNode.JsonSpace : Node(depth - 1))),
        6 => GrammarNode.Choice(Some(1, 4, () => Node(depth - 1))),
        7 => Repeat(depth),
        8 or 9 => Array(depth),
        10 => Free(),
        11 when random.Next(2) == 0 => Recursive(depth),
        _ => Object(depth),
    };

    private CharDfa Language() => random.Next(4) == 0 ? Automaton() : CharDfas.FromStrings(Some(1, 4, () => Texts[random.Next(Texts.Length)]));

    /// <summary>A small automaton with loops, every state of which may end or leads on.</summary>
    private CharDfa Automaton()
    {
        (int, int)[] ranges = [('"', '"'), ('0', '1'), ('\\', '\\'), ('a', 'b'), (0xE0, 0xF0), (0x20A8, 0x20B0), (0xD7FE, 0xD7FF), (0x1F5FE, 0x1F601)];
        var count = random.Next(1, 4);
        // The last state accepts and all lead to it, so that none is a dead end.
        var edges = Enumerable.Range(0, count)
            .Select(state => ranges.Where(r => r.Item1 == 'a' || random.Next(3) == 0)
                .Select(r => new CharEdge(r.Item1, r.Item2, r.Item1 == 'a' ? Math.Min(state + 1, count - 1) : random.Next(count))).ToArray())
            .ToArray();
        return new CharDfa(0, edges, [.. Enumerable.Range(0, count).Select(s => s == count - 1 || random.Next(3) == 0)]);
    }

    private RepeatNode Repeat(int depth)
    {
        var item = GrammarNode.Sequence(GrammarNode.Literal(Texts[random.Next(Texts.Length)]), Node(depth - 1));
        var min = random.Next(3);
        return new RepeatNode(
            item, random.Next(2) == 0 ? GrammarNode.Empty : GrammarNode.Optional(GrammarNode.Literal(",")), min, random.Next(2) == 0 ? null : min + random.Next(3));
    }

    private JsonArrayNode Array(int depth)
    {
        var prefix = Some(0, 2, () => Node(depth - 1));
        var item = random.Next(3) == 0 ? null : Node(depth - 1);
        var min = random.Next(item is null ? prefix.Count + 1 : 3);
        return new JsonArrayNode(prefix, item, min, random.Next(2) == 0 ? null : min + random.Next(3));
    }

    private JsonObjectNode Object(int depth)
    {
        var properties = Some(0, 4, () => Texts[random.Next(Texts.Length)]).Distinct()
            .Select(name => new JsonProperty(name, Node(depth - 1), random.Next(2) == 0)).ToList();
        // Names that begin like the others but are none of them.
        var classes = random.Next(2) == 0 ? [] : new[] { new JsonPropertyClass(CharDfas.FromStrings(["abb", "éa", "0"]), Node(depth - 1)) };
        var min = random.Next(classes.Length == 0 ? properties.Count + 1 : 4);
        var max = Math.Max(min, properties.Count(p => p.Required)) + random.Next(3);
        return new JsonObjectNode(properties, classes, min, random.Next(2) == 0 ? null : max);
    }

    private FreeTextNode Free()
    {
        var stops = Some(0, 2, () => random.Next(2) == 0 ? "<s>" : Texts[random.Next(Texts.Length)]);
        var stopIds = Some(0, 1, () => random.Next(3));
        var banned = Some(0, 2, () => random.Next(2) == 0 ? "ba" : "a\"").Where(b => !stops.Any(s => s.Contains(b, StringComparison.Ordinal))).ToList();
        return new FreeTextNode(stops, stopIds, stops.Count + stopIds.Count == 0 || random.Next(3) == 0, banned, Some(0, 1, () => random.Next(2)));
    }

    private ReferenceNode Recursive(int depth)
    {
        var reference = new ReferenceNode();
        reference.Target = GrammarNode.Choice(
            GrammarNode.Literal(Texts[random.Next(Texts.Length)]),
            random.Next(2) == 0
                ? new JsonArrayNode([], reference, 0, null)
                : GrammarNode.Sequence(GrammarNode.Literal("a"), reference, Node(depth - 1)));
        return reference;
    }

    private List<T> Some<T>(int least, int most, Func<T> make) => [.. Enumerable.Range(0, random.Next(least, most + 1)).Select(_ => make())];
}
