using System.Text.Json;

namespace LocalLlm;

/// <summary>
/// What the answer's text must be; enforced by masking, at every step, the tokens that cannot lead to it. Reasoning before the answer, where the
/// model's template has such, is free.
/// </summary>
public abstract record OutputConstraint
{
    private protected OutputConstraint()
    {
    }

    /// <summary>Any JSON object.</summary>
    public static OutputConstraint JsonObject { get; } = new JsonObjectConstraint();

    /// <summary>JSON that is valid against a schema.</summary>
    /// <param name="schema">A JSON schema (draft 2020-12), or a boolean.</param>
    public static OutputConstraint JsonSchema(JsonElement schema) => new JsonSchemaConstraint(schema);

    /// <summary>Text that a regular expression matches as a whole.</summary>
    /// <param name="pattern">An ECMAScript pattern without look-around and back references.</param>
    public static OutputConstraint Regex(string pattern) => new RegexConstraint(pattern);

    /// <summary>One of the given texts.</summary>
    /// <param name="choices">At least one.</param>
    public static OutputConstraint Choice(params IReadOnlyList<string> choices) => new ChoiceConstraint(choices);
}

/// <summary>Any JSON object.</summary>
public sealed record JsonObjectConstraint : OutputConstraint;

/// <summary>JSON that is valid against a schema.</summary>
/// <param name="Schema">A JSON schema (draft 2020-12), or a boolean.</param>
public sealed record JsonSchemaConstraint(JsonElement Schema) : OutputConstraint;

/// <summary>Text that a regular expression matches as a whole.</summary>
/// <param name="Pattern">An ECMAScript pattern without look-around and back references.</param>
public sealed record RegexConstraint(string Pattern) : OutputConstraint;

/// <summary>One of the given texts.</summary>
/// <param name="Choices">At least one.</param>
public sealed record ChoiceConstraint(IReadOnlyList<string> Choices) : OutputConstraint;
