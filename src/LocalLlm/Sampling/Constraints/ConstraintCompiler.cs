using System.Buffers;
using System.Text;
using System.Text.Json;
using LocalLlm.Sampling.Constraints.Automata;
using LocalLlm.Sampling.Constraints.Schema;

namespace LocalLlm.Sampling.Constraints;

/// <summary>Makes grammars of output constraints and keeps them: the same constraint comes with each turn. Safe for concurrent use.</summary>
internal sealed class ConstraintCompiler
{
    private const int MostKept = 128;

    private readonly Lock keptLock = new();
    private readonly LinkedList<(string Key, GrammarNode Node)> kept = []; // least recently used first

    /// <summary>The grammar of a constraint; the same object for the same constraint.</summary>
    /// <exception cref="ConstraintException">The constraint is wrong or not supported.</exception>
    public GrammarNode Compile(OutputConstraint constraint) => constraint switch
    {
        JsonObjectConstraint => JsonGrammar.Object,
        JsonSchemaConstraint { Schema: { ValueKind: not JsonValueKind.Undefined } schema } => CompileSchema(schema, "The response format's schema"),
        RegexConstraint { Pattern: { } pattern } => Kept("regex " + pattern, () => Regex(pattern)),
        ChoiceConstraint { Choices: { } texts } when texts.Any(t => t is not null && HoldsHalfAPair(t)) =>
            throw new ConstraintException("The choice", ["one of its texts holds half of a surrogate pair, which no output can"]),
        ChoiceConstraint { Choices: { Count: > 0 } choices } when choices.All(c => c is not null) =>
            Kept("choice " + JsonSerializer.Serialize(choices), () => new TextNode(CharDfas.FromStrings(choices))),
        ChoiceConstraint => throw new ConstraintException("The choice", ["it has no texts to choose from, or one of them is null"]),
        _ => throw new ConstraintException("The output constraint", [$"{constraint} has no content"]),
    };

    /// <summary>The grammar of a JSON schema; the same object for the same text.</summary>
    /// <param name="schema">The schema.</param>
    /// <param name="subject">What it is, for errors.</param>
    /// <exception cref="ConstraintException">The schema is wrong or not supported.</exception>
    public GrammarNode CompileSchema(JsonElement schema, string subject) =>
        Kept("schema " + schema.GetRawText(), () => JsonSchemaCompiler.Compile(schema, subject));

    private static bool HoldsHalfAPair(string text)
    {
        for (var rest = text.AsSpan(); !rest.IsEmpty;)
        {
            if (Rune.DecodeFromUtf16(rest, out _, out var length) != OperationStatus.Done)
                return true;
            rest = rest[length..];
        }

        return false;
    }

    private static TextNode Regex(string pattern) => RegexCompiler.Compile(pattern, anchored: true) is var language && !CharDfas.IsEmpty(language)
        ? new TextNode(language)
        : throw new ConstraintException($"The pattern '{pattern}'", ["it matches no text at all"]);

    private GrammarNode Kept(string key, Func<GrammarNode> compile)
    {
        lock (keptLock)
        {
            for (var entry = kept.Last; entry is not null; entry = entry.Previous)
            {
                if (entry.Value.Key != key)
                    continue;
                kept.Remove(entry);
                kept.AddLast(entry);
                return entry.Value.Node;
            }
        }

        // Outside the lock: two may compile the same, and one of the two is kept.
        var node = compile();
        lock (keptLock)
        {
            kept.AddLast((key, node));
            if (kept.Count > MostKept)
                kept.RemoveFirst();
        }

        return node;
    }
}
