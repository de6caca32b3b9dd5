using System.Text;
using LocalLlm.Sampling.Constraints;
using LocalLlm.Sampling.Constraints.Automata;
using LocalLlm.Sampling.Constraints.Machines;

namespace LocalLlm.Tests.Sampling.Constraints;

/// <summary>
/// Says by brute force whether symbols are the beginning of a member of a grammar whose text and string nodes stand for few texts. A symbol is a byte, or
/// a control token as <see cref="Control"/> gives it.
/// </summary>
internal sealed class PrefixOracle(int[] symbols)
{
    private bool ranOut;

    /// <summary>A control token as a symbol.</summary>
    public static int Control(int id) => 256 + id;

    /// <summary>Whether the symbols begin a member, and whether they are one.</summary>
    public static (bool IsPrefix, bool IsMember) Judge(GrammarNode grammar, IEnumerable<int> symbols)
    {
        int[] all = [.. symbols];
        var oracle = new PrefixOracle(all);
        var isMember = oracle.Match(grammar, 0).Any(end => end == all.Length);
        return (isMember || oracle.ranOut, isMember);
    }

    /// <summary>All places where the node may end that begins here.</summary>
    private IEnumerable<int> Match(GrammarNode node, int at)
    {
        switch (node)
        {
            case TextNode text:
                return Texts(text.Language).SelectMany(t => Exactly(Encoding.UTF8.GetBytes(t), at)).Distinct().ToList();
            case JsonStringNode text:
                return Texts(text.Value).SelectMany(t => Exactly("\""u8.ToArray(), at).SelectMany(p => Spelled([.. t.EnumerateRunes()], 0, p))).Distinct().ToList();
            case JsonSpaceNode:
                return Space(at);
            case TokenNode token:
                return Symbols([Control(token.Id)], at).ToList();
            case FreeTextNode text:
                return Free(text, at).ToList();
            case SequenceNode sequence:
                return sequence.Items.Aggregate((IEnumerable<int>)[at], (ends, item) => ends.SelectMany(e => Match(item, e)).Distinct().ToList());
            case ChoiceNode choice:
                return choice.Items.SelectMany(i => Match(i, at)).Distinct().ToList();
            case RepeatNode repeat:
                return Repeated(repeat, at, 0).Distinct().ToList();
            case ReferenceNode reference:
                return Match(reference.Target!, at);
            case JsonArrayNode array:
                return Bytes("[", at).SelectMany(Space).SelectMany(p => Items(array, p, 0)).Distinct().ToList();
            case JsonObjectNode node2:
                return Bytes("{", at).SelectMany(Space).SelectMany(p => Properties(node2, p, [], 0)).Distinct().ToList();
            default:
                throw new InvalidOperationException(node.GetType().Name);
        }
    }

    private IEnumerable<int> Items(JsonArrayNode array, int at, int count)
    {
        if (count >= array.Min)
        {
            foreach (var end in (count == 0 ? [at] : Space(at)).SelectMany(p => Bytes("]", p)))
                yield return end;
        }

        var item = count >= array.Max ? null : count < array.Prefix.Count ? array.Prefix[count] : array.Item;
        if (item is null)
            yield break;
        foreach (var start in count == 0 ? [at] : Bytes(",", at).SelectMany(Space))
        {
            foreach (var end in Match(item, start).SelectMany(p => Items(array, p, count + 1)))
                yield return end;
        }
    }

    private IEnumerable<int> Properties(JsonObjectNode node, int at, IReadOnlyList<JsonProperty> seen, int count)
    {
        var missing = node.Properties.Count(p => p.Required && !seen.Contains(p));
        if (count >= node.Min && missing == 0)
        {
            foreach (var end in (count == 0 ? [at] : Space(at)).SelectMany(p => Bytes("}", p)))
                yield return end;
        }

        // A comma after which no property can come leads nowhere.
        if (count >= node.Max || (node.Classes.Count == 0 && node.Properties.Count == seen.Count))
            yield break;
        foreach (var start in count == 0 ? [at] : Bytes(",", at).SelectMany(Space))
        {
            foreach (var property in node.Properties.Except(seen))
            {
                // One that leaves no room for those that must come cannot be begun.
                if (node.Max is { } max && count + 1 + missing - (property.Required ? 1 : 0) > max)
                    continue;
                foreach (var end in Property(new JsonStringNode(CharDfas.FromStrings([property.Name])), property.Value, start)
                    .SelectMany(p => Properties(node, p, [.. seen, property], count + 1)))
                    yield return end;
            }

            foreach (var others in node.Classes)
            {
                if (node.Max is { } max && count + 1 + missing > max)
                    continue;
                foreach (var end in Property(new JsonStringNode(others.Names), others.Value, start).SelectMany(p => Properties(node, p, seen, count + 1)))
                    yield return end;
            }
        }
    }

    private IEnumerable<int> Property(JsonStringNode name, GrammarNode value, int at) =>
        Match(name, at).SelectMany(p => Bytes(":", p).Concat(Bytes(" :", p))).SelectMany(Space).SelectMany(p => Match(value, p));

    private IEnumerable<int> Repeated(RepeatNode repeat, int at, int count)
    {
        if (count >= repeat.Min)
            yield return at;
        if (count >= repeat.Max)
            yield break;
        foreach (var start in count == 0 ? [at] : Match(repeat.Separator, at))
        {
            foreach (var end in Match(repeat.Item, start).SelectMany(p => Repeated(repeat, p, count + 1)))
                yield return end;
        }
    }

    private IEnumerable<int> Free(FreeTextNode node, int at)
    {
        if (node.MayEnd)
            yield return at;
        for (var end = at + 1; ; end++)
        {
            if (end > symbols.Length)
            {
                ranOut = true;
                yield break;
            }

            var text = symbols[at..end];
            if (node.StopTexts.Any(EndsWith) || node.StopIds.Any(id => text[^1] == Control(id)))
            {
                yield return end;
                yield break;
            }

            if (node.BannedTexts.Any(EndsWith) || node.BannedIds.Any(id => text[^1] == Control(id)))
                yield break;
            if (node.MayEnd)
                yield return end;

            bool EndsWith(string stop) => Encoding.UTF8.GetBytes(stop).Select(b => (int)b).ToArray() is var bytes && text.AsSpan().EndsWith(bytes);
        }
    }

    private List<int> Space(int at)
    {
        var ends = new List<int> { at };
        if (At(at) == ' ')
            ends.Add(at + 1);
        var line = At(at) == '\r' ? at + 1 : at;
        if (At(line) == '\n')
        {
            ends.Add(line + 1);
            var next = line + 1;
            if (At(next) == '\n')
                ends.Add(++next);
            for (var indentation = 0; indentation < JsonSpaceMachine.MaxIndentation && At(next) is ' ' or '\t'; indentation++)
                ends.Add(++next);
        }

        return ends;

        int? At(int index)
        {
            ranOut |= index == symbols.Length;
            return index < symbols.Length ? symbols[index] : null;
        }
    }

    private IEnumerable<int> Spelled(Rune[] value, int index, int at)
    {
        if (index == value.Length)
            return Bytes("\"", at);
        return Spellings(value[index]).SelectMany(s => Exactly(s, at)).SelectMany(p => Spelled(value, index + 1, p));
    }

    private static IEnumerable<byte[]> Spellings(Rune rune)
    {
        if (rune.Value >= 0x20 && rune.Value is not ('"' or '\\'))
            yield return Encoding.UTF8.GetBytes(rune.ToString());
        const string shorts = "\"\\/\b\f\n\r\t", letters = "\"\\/bfnrt";
        if (rune.Value < 0x80 && shorts.IndexOf((char)rune.Value, StringComparison.Ordinal) is var at and >= 0)
            yield return Encoding.UTF8.GetBytes("\\" + letters[at]);
        // Letters, digits and most punctuation are never escaped by their numbers.
        if (rune.Value is < 0x20 or >= 0x7F || "\"&'+/<>\\`".Contains((char)rune.Value, StringComparison.Ordinal))
            yield return Encoding.UTF8.GetBytes(string.Concat(rune.ToString().Select(c => $"\\u{(int)c:x4}")));
    }

    private IEnumerable<int> Bytes(string text, int at) => Exactly(Encoding.UTF8.GetBytes(text), at);

    // Digits of an escape count in either case; no other text of the tests has an upper-case letter where a lower-case one is meant.
    private IEnumerable<int> Exactly(byte[] expected, int at) => Symbols([.. expected.Select(b => (int)b)], at);

    private IEnumerable<int> Symbols(int[] expected, int at)
    {
        for (var i = 0; i < expected.Length; i++)
        {
            if (at + i == symbols.Length)
            {
                ranOut = true;
                yield break;
            }

            var isEscape = expected.Length > 2 && expected[0] == '\\' && i % 6 >= 2;
            if (expected[i] != symbols[at + i] && !(isEscape && symbols[at + i] is >= 'A' and <= 'F' && symbols[at + i] + 32 == expected[i]))
                yield break;
        }

        yield return at + expected.Length;
    }

    /// <summary>The texts of a finite language.</summary>
    private static List<string> Texts(CharDfa language)
    {
        var texts = new List<string>();
        Add(language.Start, "");
        return texts;

        void Add(int state, string text)
        {
            if (language.IsAccepting(state))
                texts.Add(text);
            foreach (var edge in language.Edges(state))
            {
                for (var rune = edge.Low; rune <= edge.High; rune++)
                    Add(edge.Target, text + new Rune(rune));
            }
        }
    }
}
