using System.Text;
using LocalLlm.Sampling.Constraints;
using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Tests.Sampling.Constraints;

/// <summary>
/// Tells by backtracking, one character and one spelling at a time, whether an input is a text of a grammar or the beginning of one. Slow, and
/// written without regard to how the engine does it. A symbol is a byte, or <see cref="Control"/> and the token's id.
/// </summary>
internal sealed class GrammarOracle(IReadOnlyList<ReadOnlyMemory<byte>> tokens, IReadOnlySet<int> endIds)
{
    public const int Control = 1000;

    private int[] input = [];
    private bool prefix;

    public bool IsMember(GrammarNode node, int[] symbols) => Run(node, symbols, false);

    public bool IsPrefix(GrammarNode node, int[] symbols) => Run(node, symbols, true);

    private bool Run(GrammarNode node, int[] symbols, bool asPrefix)
    {
        (input, prefix) = (symbols, asPrefix);
        return Match(node, 0, at => at == input.Length);
    }

    /// <summary>Whether the node and what follows it take the input from a place on; where the input ends first, whether a beginning is wanted.</summary>
    private bool Match(GrammarNode node, int at, Func<int, bool> then) => node switch
    {
        TextNode text => MatchText(text.Language, text.Language.Start, at, false, then),
        JsonStringNode text => MatchString(text.Value, at, then),
        JsonSpaceNode => MatchSpace(at, then),
        TokenNode token => at == input.Length ? prefix : input[at] == Control + token.Id && then(at + 1),
        FreeTextNode text => MatchFree(text, at, then),
        SequenceNode sequence => MatchSequence(sequence.Items, 0, at, then),
        ChoiceNode choice => choice.Items.Any(i => Match(i, at, then)),
        ReferenceNode reference => Match(reference.Target!, at, then),
        RepeatNode repeat => MatchRepeat(repeat, 0, at, then),
        JsonArrayNode array => MatchByte('[', at, p => MatchSpace(p, q => MatchItems(array, 0, q, then))),
        JsonObjectNode o => MatchByte('{', at, p => MatchSpace(p, q => MatchProperties(o, [], 0, q, then))),
        _ => throw new NotSupportedException(),
    };

    private bool MatchByte(char value, int at, Func<int, bool> then) => at == input.Length ? prefix : input[at] == value && then(at + 1);

    private bool MatchSpace(int at, Func<int, bool> then)
    {
        for (var p = at; p <= at + 64; p++)
        {
            if (then(p))
                return true;
            if (p == input.Length || input[p] is not (' ' or '\t' or '\r' or '\n'))
                return false;
        }

        return false;
    }

    private bool MatchSequence(IReadOnlyList<GrammarNode> items, int index, int at, Func<int, bool> then) =>
        index == items.Count ? then(at) : Match(items[index], at, p => MatchSequence(items, index + 1, p, then));

    private bool MatchRepeat(RepeatNode repeat, int count, int at, Func<int, bool> then)
    {
        if (count >= repeat.Min && then(at))
            return true;
        if (count >= (repeat.Max ?? 1000))
            return false;
        return Match(count == 0 ? GrammarNode.Empty : repeat.Separator, at, p => Match(repeat.Item, p, q => MatchRepeat(repeat, count + 1, q, then)));
    }

    private bool MatchItems(JsonArrayNode array, int count, int at, Func<int, bool> then)
    {
        if (count >= array.Min && (count == 0 ? MatchByte(']', at, then) : MatchSpace(at, p => MatchByte(']', p, then))))
            return true;
        if (count >= (array.Max ?? 1000) || (count >= array.Prefix.Count && array.Item is null))
            return false;
        var item = count < array.Prefix.Count ? array.Prefix[count] : array.Item!;
        return MatchComma(count, at, p => Match(item, p, q => MatchItems(array, count + 1, q, then)));
    }

    private bool MatchComma(int count, int at, Func<int, bool> then) =>
        count == 0 ? then(at) : MatchSpace(at, p => MatchByte(',', p, q => MatchSpace(q, then)));

    private bool MatchProperties(JsonObjectNode o, HashSet<string> done, int count, int at, Func<int, bool> then)
    {
        if (MayClose(o, done, count) && (count == 0 ? MatchByte('}', at, then) : MatchSpace(at, p => MatchByte('}', p, then))))
            return true;
        foreach (var property in o.Properties.Where(p => !done.Contains(p.Name)))
        {
            HashSet<string> next = [.. done, property.Name];
            if (CanFinish(o, next, count + 1)
                && MatchComma(count, at, p => MatchProperty(CharDfas.FromStrings([property.Name]), property.Value, o, next, count, p, then)))
                return true;
        }

        return o.Classes.Any(c => CanFinish(o, done, count + 1)
            && MatchComma(count, at, p => MatchProperty(c.Names, c.Value, o, done, count, p, then)));
    }

    private bool MatchProperty(CharDfa name, GrammarNode value, JsonObjectNode o, HashSet<string> done, int count, int at, Func<int, bool> then) =>
        MatchString(name, at, p => MatchSpace(p, q => MatchByte(':', q, r => MatchSpace(r, s =>
            Match(value, s, t => MatchProperties(o, done, count + 1, t, then))))));

    private static bool MayClose(JsonObjectNode o, HashSet<string> done, int count) =>
        count >= o.Min && count <= (o.Max ?? 1000) && o.Properties.All(p => !p.Required || done.Contains(p.Name));

    /// <summary>Whether some further properties make the object one that may be closed.</summary>
    private static bool CanFinish(JsonObjectNode o, HashSet<string> done, int count) =>
        MayClose(o, done, count) || (count < (o.Max ?? 12)
            && (o.Properties.Where(p => !done.Contains(p.Name)).Any(p => CanFinish(o, [.. done, p.Name], count + 1))
                || (o.Classes.Count > 0 && CanFinish(o, done, count + 1))));

    private bool MatchString(CharDfa value, int at, Func<int, bool> then) => MatchByte('"', at, p => MatchText(value, value.Start, p, true, then));

    private bool MatchText(CharDfa language, int state, int at, bool quoted, Func<int, bool> then)
    {
        if (language.IsAccepting(state) && (quoted ? MatchByte('"', at, then) : then(at)))
            return true;
        foreach (var edge in language.Edges(state).ToArray())
        {
            for (var rune = edge.Low; rune <= edge.High; rune++)
            {
                foreach (var spelling in quoted ? Spellings(rune) : [Encoding.UTF8.GetBytes(new Rune(rune).ToString())])
                {
                    var length = Math.Min(spelling.Length, input.Length - at);
                    if (!Enumerable.Range(0, length).All(i => Same(spelling, i, input[at + i])))
                        continue;
                    if (length < spelling.Length ? prefix : MatchText(language, edge.Target, at + length, quoted, then))
                        return true;
                }
            }
        }

        return false;
    }

    private static bool Same(byte[] spelling, int index, int symbol)
    {
        // Hexadecimal digits, which follow \u, in either case.
        var isHex = Array.LastIndexOf(spelling, (byte)'u', index) is > 0 and var u && u < index && spelling[u - 1] == '\\' && index - u <= 4;
        return isHex && symbol < 128 ? char.ToLowerInvariant((char)symbol) == spelling[index] : symbol == spelling[index];
    }

    private static IEnumerable<byte[]> Spellings(int rune)
    {
        var text = new Rune(rune).ToString();
        if (rune >= 0x20 && rune is not ('"' or '\\'))
            yield return Encoding.UTF8.GetBytes(text);
        if ("\"\\/\b\f\n\r\t".IndexOf(text, StringComparison.Ordinal) is >= 0 and var index)
            yield return [(byte)'\\', (byte)"\"\\/bfnrt"[index]];
        yield return Encoding.ASCII.GetBytes(string.Concat(text.Select(c => $"\\u{(int)c:x4}")));
    }

    private bool MatchFree(FreeTextNode node, int at, Func<int, bool> then)
    {
        var text = new List<byte>();
        for (var p = at; ; p++)
        {
            if (node.MayEnd && then(p))
                return true;
            if (p == input.Length)
                return prefix;
            var id = input[p] - Control;
            if (id >= 0 && node.StopIds.Contains(id))
                return then(p + 1);
            if (id >= 0 && (node.BannedIds.Contains(id) || endIds.Contains(id)))
                return false;
            var bytes = id >= 0 ? tokens[id].ToArray() : [(byte)input[p]];
            for (var i = 0; i < bytes.Length; i++)
            {
                text.Add(bytes[i]);
                if (node.BannedTexts.Any(b => EndsWith(text, b)))
                    return false;
                if (node.StopTexts.Any(s => EndsWith(text, s)))
                    return i == bytes.Length - 1 && then(p + 1);
            }
        }
    }

    private static bool EndsWith(List<byte> text, string ending)
    {
        var bytes = Encoding.UTF8.GetBytes(ending);
        return text.Count >= bytes.Length && text.TakeLast(bytes.Length).SequenceEqual(bytes);
    }
}
