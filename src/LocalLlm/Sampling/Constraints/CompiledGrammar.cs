using System.Numerics;
using LocalLlm.Sampling.Constraints.Automata;
using LocalLlm.Sampling.Constraints.Machines;

namespace LocalLlm.Sampling.Constraints;

/// <summary>
/// A grammar over a vocabulary, and what is learnt of it as it is used. Shared by all generations that follow it, from any thread: the vocabulary's lock
/// guards what grows.
/// </summary>
internal sealed class CompiledGrammar
{
    public static readonly GrammarNode OpenBrace = GrammarNode.Literal("{");
    public static readonly GrammarNode CloseBrace = GrammarNode.Literal("}");
    public static readonly GrammarNode OpenBracket = GrammarNode.Literal("[");
    public static readonly GrammarNode CloseBracket = GrammarNode.Literal("]");
    public static readonly GrammarNode Comma = GrammarNode.Sequence(GrammarNode.Literal(","), GrammarNode.JsonSpace);
    public static readonly GrammarNode Colon = GrammarNode.Sequence(new TextNode(CharDfas.FromStrings([":", " :"])), GrammarNode.JsonSpace);

    private readonly Dictionary<GrammarNode, Terminal> terminals = [];
    private readonly Dictionary<JsonObjectNode, ObjectNames> objects = [];

    private CompiledGrammar(GrammarNode root, ConstraintVocabulary vocabulary) => (Root, Vocabulary) = (root, vocabulary);

    /// <summary>The whole grammar.</summary>
    public GrammarNode Root { get; }

    /// <summary>The tokens that it is over.</summary>
    public ConstraintVocabulary Vocabulary { get; }

    /// <summary>Prepares a grammar.</summary>
    /// <param name="root">The grammar.</param>
    /// <param name="vocabulary">The model's tokens.</param>
    public static CompiledGrammar Create(GrammarNode root, ConstraintVocabulary vocabulary) => new(root, vocabulary);

    /// <summary>A generation at its beginning.</summary>
    /// <param name="continuesText">Whether the output goes on with the prompt's text, so that no tokenizer drops a space at its beginning.</param>
    public TokenConstraint Start(bool continuesText = false) => new GrammarConstraint(this, continuesText);

    /// <summary>The terminal of a node that is one.</summary>
    public Terminal TerminalOf(GrammarNode node)
    {
        if (terminals.TryGetValue(node, out var known))
            return known;
        return terminals[node] = node switch
        {
            TextNode text => Vocabulary.TerminalOf(text.Language, isJson: false, language => new TextMachine(language)),
            JsonStringNode text => Vocabulary.TerminalOf(text.Value, isJson: true, language => new JsonStringMachine(language)),
            JsonSpaceNode => Vocabulary.JsonSpace,
            TokenNode token => Terminal.Of(Vocabulary, token),
            FreeTextNode text => Terminal.Of(Vocabulary, text),
            _ => throw new InvalidOperationException($"{node.GetType().Name} is no terminal."),
        };
    }

    /// <summary>The named properties that an object must have, a bit each.</summary>
    public BigInteger Required(JsonObjectNode node) => Of(node).Required;

    /// <summary>
    /// The names that may come next: each with its property's index, classes after the named ones. Where the most properties leave no room for others,
    /// only required ones.
    /// </summary>
    public (int Index, GrammarNode Name)[] Names(JsonObjectNode node, BigInteger seen, int count) => Of(node).Next(seen, count);

    private ObjectNames Of(JsonObjectNode node) => objects.TryGetValue(node, out var known) ? known : objects[node] = new ObjectNames(node);

    /// <summary>An object's names as nodes.</summary>
    private sealed class ObjectNames(JsonObjectNode node)
    {
        private readonly GrammarNode[] names =
        [
            .. node.Properties.Select(p => new JsonStringNode(CharDfas.FromStrings([p.Name]))),
            .. node.Classes.Select(c => new JsonStringNode(c.Names)),
        ];

        private readonly Dictionary<(BigInteger Seen, int Count), (int Index, GrammarNode Name)[]> next = [];

        public BigInteger Required { get; } = node.Properties
            .Select((p, i) => p.Required ? BigInteger.One << i : BigInteger.Zero).Aggregate(BigInteger.Zero, (a, b) => a | b);

        public (int Index, GrammarNode Name)[] Next(BigInteger seen, int count)
        {
            if (next.TryGetValue((seen, count), out var known))
                return known;
            if (next.Count > 1000)
                next.Clear();
            return next[(seen, count)] = [.. Allowed(seen, count).Select(i => (i, names[i]))];
        }

        private IEnumerable<int> Allowed(BigInteger seen, int count)
        {
            if (count >= node.Max)
                yield break;
            var missing = 0;
            for (var i = 0; i < node.Properties.Count; i++)
            {
                if (node.Properties[i].Required && (seen >> i).IsEven)
                    missing++;
            }

            var hasRoom = node.Max is not { } max || missing < max - count;
            for (var i = 0; i < node.Properties.Count; i++)
            {
                if ((seen >> i).IsEven && (hasRoom || node.Properties[i].Required))
                    yield return i;
            }

            for (var i = node.Properties.Count; hasRoom && i < names.Length; i++)
                yield return i;
        }
    }
}
