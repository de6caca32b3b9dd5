using System.Text.Json;
using LocalLlm.Sampling.Constraints.Automata;
using LocalLlm.Sampling.Constraints.Schema;

namespace LocalLlm.Sampling.Constraints;

/// <summary>
/// Compiles constraints for a model's vocabulary and keeps those used last, with what generations have worked out of them. Safe for concurrent use.
/// </summary>
internal sealed class ConstraintCompiler(ConstraintVocabulary vocabulary)
{
    /// <summary>Grammars kept; each keeps at most some 16 MiB.</summary>
    public const int Capacity = 64;

    private readonly Lock gate = new();
    private readonly Dictionary<string, LinkedListNode<Entry>> entries = [];
    private readonly LinkedList<Entry> byUse = [];

    /// <summary>Compiles a constraint, or takes what was compiled before.</summary>
    /// <exception cref="ConstraintException">It cannot be enforced; all that is wrong is named.</exception>
    public CompiledGrammar Compile(OutputConstraint constraint) => constraint switch
    {
        JsonObjectConstraint => Compile("object", () => JsonGrammar.Object),
        JsonSchemaConstraint schema => Compile("schema " + schema.Schema.GetRawText(), () => JsonSchemaCompiler.Compile(schema.Schema, "The response format's schema")),
        RegexConstraint regex => Compile("regex " + regex.Pattern, () => CompileRegex(regex.Pattern)),
        ChoiceConstraint choice => Compile("choice " + JsonSerializer.Serialize(choice.Choices), () => CompileChoice(choice.Choices)),
        _ => throw new ConstraintException($"{constraint.GetType().Name} is no kind of output constraint that the engine knows."),
    };

    /// <summary>Compiles a grammar, or takes what was compiled before under the same key.</summary>
    /// <param name="key">Stands for the grammar among all that this compiler is given.</param>
    /// <param name="create">Makes the grammar.</param>
    public CompiledGrammar Compile(string key, Func<GrammarNode> create)
    {
        Lazy<CompiledGrammar> grammar;
        lock (gate)
        {
            if (entries.TryGetValue(key, out var node))
                byUse.Remove(node);
            else
                entries.Add(key, node = new LinkedListNode<Entry>(new Entry(key, new(() => CompiledGrammar.Create(create(), vocabulary)))));
            byUse.AddFirst(node);
            grammar = node.Value.Grammar;
            if (byUse.Count > Capacity)
            {
                entries.Remove(byUse.Last!.Value.Key);
                byUse.RemoveLast();
            }
        }

        try
        {
            // Outside the lock: one grammar that takes long keeps nobody from the others.
            return grammar.Value;
        }
        catch
        {
            lock (gate)
            {
                if (entries.TryGetValue(key, out var node) && node.Value.Grammar == grammar)
                {
                    entries.Remove(key);
                    byUse.Remove(node);
                }
            }

            throw;
        }
    }

    private static TextNode CompileChoice(IReadOnlyList<string> choices) => choices.Count > 0
        ? new TextNode(CharDfas.FromStrings(choices))
        : throw new ConstraintException("The choice", ["it has no texts to choose from; give at least one"]);

    private static GrammarNode CompileRegex(string pattern) =>
        throw new ConstraintException($"The pattern '{pattern}'", ["regular expressions are not compiled yet"]);

    private sealed record Entry(string Key, Lazy<CompiledGrammar> Grammar);
}
