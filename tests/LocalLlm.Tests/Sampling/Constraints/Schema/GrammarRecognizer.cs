using System.Text.Json;
using LocalLlm.Sampling.Constraints;
using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Tests.Sampling.Constraints.Schema;

/// <summary>The oracle of grammars: a recogniser by plain backtracking over the nodes, slow and simple.</summary>
internal sealed class GrammarRecognizer
{
    private readonly string text;

    private GrammarRecognizer(string text) => this.text = text;

    /// <summary>Whether the text is of the grammar.</summary>
    public static bool Matches(GrammarNode node, string text) => new GrammarRecognizer(text).Ends(node, 0).Contains(text.Length);

    /// <summary>Where the text of a node that begins here can end.</summary>
    private HashSet<int> Ends(GrammarNode node, int at)
    {
        switch (node)
        {
            case TextNode language:
                return EndsOfText(language.Language, at);
            case JsonStringNode value:
                return StringAt(at) is { } found && CharDfas.Matches(value.Value, found.Value) ? [found.End] : [];
            case JsonSpaceNode:
                return [.. Enumerable.Range(at, SkipSpace(at) - at + 1)];
            case SequenceNode sequence:
                return sequence.Items.Aggregate(new HashSet<int> { at }, (ends, item) => [.. ends.SelectMany(e => Ends(item, e))]);
            case ChoiceNode choice:
                return [.. choice.Items.SelectMany(i => Ends(i, at))];
            case ReferenceNode reference:
                return Ends(reference.Target!, at);
            case JsonObjectNode shape:
                return At(at) == '{' ? EndsOfObject(shape, SkipSpace(at + 1), []) : [];
            case JsonArrayNode shape:
                return At(at) == '[' ? EndsOfArray(shape, SkipSpace(at + 1), 0) : [];
            default:
                throw new NotSupportedException($"{node.GetType().Name} is not of JSON");
        }
    }

    private HashSet<int> EndsOfText(CharDfa language, int at)
    {
        var ends = new HashSet<int>();
        for (var state = language.Start; state != CharDfa.Dead; at++)
        {
            if (language.IsAccepting(state))
                ends.Add(at);
            if (at == text.Length)
                break;
            state = language.Step(state, text[at]);
        }

        return ends;
    }

    private HashSet<int> EndsOfObject(JsonObjectNode shape, int at, HashSet<string> names)
    {
        var ends = new HashSet<int>();
        var isComplete = names.Count >= shape.Min && shape.Properties.All(p => !p.Required || names.Contains(p.Name));
        if (At(at) == '}' && isComplete)
            ends.Add(at + 1);
        if (names.Count > 0)
        {
            if (At(at) != ',')
                return ends;
            at = SkipSpace(at + 1);
        }

        if (names.Count >= (shape.Max ?? int.MaxValue) || StringAt(at) is not { } name || names.Contains(name.Value))
            return ends;
        var colon = SkipSpace(name.End);
        if (At(colon) != ':')
            return ends;
        GrammarNode[] values =
        [
            .. shape.Properties.Where(p => p.Name == name.Value).Select(p => p.Value),
            .. shape.Classes.Where(c => CharDfas.Matches(c.Names, name.Value)).Select(c => c.Value),
        ];
        values.Length.ShouldBeLessThan(2, "classes overlap");
        foreach (var end in values.SelectMany(v => Ends(v, SkipSpace(colon + 1))).Distinct())
            ends.UnionWith(EndsOfObject(shape, SkipSpace(end), [.. names, name.Value]));
        return ends;
    }

    private HashSet<int> EndsOfArray(JsonArrayNode shape, int at, int count)
    {
        var ends = new HashSet<int>();
        if (At(at) == ']' && count >= shape.Min)
            ends.Add(at + 1);
        if (count > 0)
        {
            if (At(at) != ',')
                return ends;
            at = SkipSpace(at + 1);
        }

        var item = count < shape.Prefix.Count ? shape.Prefix[count] : shape.Item;
        if (item is null || count >= (shape.Max ?? int.MaxValue))
            return ends;
        foreach (var end in Ends(item, at))
            ends.UnionWith(EndsOfArray(shape, SkipSpace(end), count + 1));
        return ends;
    }

    private (string Value, int End)? StringAt(int at)
    {
        if (At(at) != '"')
            return null;
        for (var end = at + 1; end < text.Length; end++)
        {
            if (text[end] == '\\')
                end++;
            else if (text[end] == '"')
                return (JsonSerializer.Deserialize<string>(text[at..(end + 1)])!, end + 1);
        }

        return null;
    }

    private int SkipSpace(int at)
    {
        while (At(at) is ' ' or '\n' or '\r' or '\t')
            at++;
        return at;
    }

    private char At(int at) => at < text.Length ? text[at] : '\0';
}
