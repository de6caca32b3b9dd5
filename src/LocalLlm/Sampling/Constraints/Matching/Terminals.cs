using LocalLlm.Sampling.Constraints.Automata;
using LocalLlm.Sampling.Constraints.Machines;

namespace LocalLlm.Sampling.Constraints.Matching;

/// <summary>The machines of a grammar's terminals, one for each node, and those of JSON's punctuation.</summary>
internal sealed class Terminals
{
    private readonly CacheMeter meter;
    private readonly Dictionary<GrammarNode, ByteMachine> byNode = [];
    private readonly Dictionary<CharDfa, ByteMachine> strings = [];
    private readonly List<ByteMachine> all = [];

    public Terminals(CacheMeter meter)
    {
        this.meter = meter;
        OpenBrace = Punctuation('{', before: false, after: true);
        OpenBracket = Punctuation('[', before: false, after: true);
        CloseBrace = Punctuation('}', before: true, after: false);
        CloseBraceAtOnce = Punctuation('}', before: false, after: false);
        CloseBracket = Punctuation(']', before: true, after: false);
        CloseBracketAtOnce = Punctuation(']', before: false, after: false);
        Comma = Punctuation(',', before: true, after: true);
        Colon = Punctuation(':', before: true, after: true);
        Space = Punctuation(null, before: false, after: true);
    }

    public ByteMachine OpenBrace { get; }

    public ByteMachine OpenBracket { get; }

    public ByteMachine CloseBrace { get; }

    /// <summary>The closing brace where white space has been read already.</summary>
    public ByteMachine CloseBraceAtOnce { get; }

    public ByteMachine CloseBracket { get; }

    /// <summary>The closing bracket where white space has been read already.</summary>
    public ByteMachine CloseBracketAtOnce { get; }

    public ByteMachine Comma { get; }

    public ByteMachine Colon { get; }

    private ByteMachine Space { get; }

    /// <summary>The machine of a terminal node.</summary>
    public ByteMachine Of(GrammarNode node)
    {
        if (!byNode.TryGetValue(node, out var machine))
        {
            machine = node switch
            {
                TextNode text => Keep(new TextMachine(text.Language, meter) { Id = all.Count }),
                JsonStringNode text => JsonString(text.Value),
                JsonSpaceNode => Space,
                TokenNode token => Keep(new TokenMachine(token.Id, meter) { Id = all.Count }),
                FreeTextNode text => Keep(new FreeTextMachine(text, meter) { Id = all.Count }),
                _ => throw new ArgumentException($"{node.GetType().Name} is no terminal.", nameof(node)),
            };
            byNode.Add(node, machine);
        }

        return machine;
    }

    /// <summary>The machine of JSON strings of a language; nodes that share a language share it, and so its caches.</summary>
    public ByteMachine JsonString(CharDfa language)
    {
        if (!strings.TryGetValue(language, out var machine))
            strings.Add(language, machine = Keep(new JsonStringMachine(language, meter) { Id = all.Count }));
        return machine;
    }

    /// <summary>Forgets all transitions.</summary>
    public void DropRows() => all.ForEach(m => m.DropRows());

    private ByteMachine Punctuation(char? mark, bool before, bool after) =>
        Keep(new JsonPunctuationMachine(mark, before, after, meter) { Id = all.Count });

    private ByteMachine Keep(ByteMachine machine)
    {
        all.Add(machine);
        return machine;
    }
}
