using System.Text.Json;

namespace LocalLlm.Sampling.Constraints.Schema;

/// <summary>
/// From a JSON schema (draft 2020-12, and what earlier drafts write otherwise) to a grammar: parsed, brought into normal form type by type, checked
/// for parts that no value satisfies, and written as nodes.
/// </summary>
internal static class JsonSchemaCompiler
{
    /// <summary>The grammar of the JSON texts that are valid against a schema, without white space before and after.</summary>
    /// <param name="schema">The schema.</param>
    /// <param name="subject">What the schema is, for errors: "The response format's schema".</param>
    /// <exception cref="ConstraintException">Keywords are unsupported or wrong, or nothing is valid; all is named at once.</exception>
    public static GrammarNode Compile(JsonElement schema, string subject)
    {
        var problems = new List<string>();
        try
        {
            var parser = new SchemaParser(schema, problems);
            ThrowIfAny();
            var normalizer = new SchemaNormalizer(parser, problems);
            var root = Conjunction.Of(0);
            var inhabitants = new Inhabitants(normalizer, root);
            ThrowIfAny();
            if (!inhabitants.Contains(root))
                throw new ConstraintException(subject, [inhabitants.Explain(root)]);
            var node = new GrammarEmitter(normalizer, inhabitants, problems).Emit(root);
            ThrowIfAny();
            return node;
        }
        catch (ConstraintException e) when (problems.Count == 0)
        {
            throw new ConstraintException(subject, e.Problems);
        }

        catch (InvalidOperationException e) when (e is not ObjectDisposedException) // a lone surrogate, which no text can spell
        {
            throw new ConstraintException(subject, [$"it holds text that is not Unicode ({e.Message.TrimEnd('.')})"]);
        }

        void ThrowIfAny()
        {
            if (problems.Count > 0)
                throw new ConstraintException(subject, problems);
        }
    }
}
