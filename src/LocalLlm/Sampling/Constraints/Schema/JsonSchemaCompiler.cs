using System.Text.Json;

namespace LocalLlm.Sampling.Constraints.Schema;

/// <summary>From a JSON schema (draft 2020-12) to a grammar.</summary>
internal static class JsonSchemaCompiler
{
    /// <summary>The grammar of the JSON texts that are valid against a schema, without white space before and after.</summary>
    /// <param name="schema">The schema.</param>
    /// <param name="subject">What the schema is, for errors: "The response format's schema".</param>
    /// <exception cref="ConstraintException">Keywords are unsupported or wrong, or nothing is valid; all is named at once.</exception>
    public static GrammarNode Compile(JsonElement schema, string subject) => throw new ConstraintException(subject, ["schemas are not compiled yet"]);
}
