using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using LocalLlm.Sampling.Constraints;
using LocalLlm.Tokenization;

namespace LocalLlm.Fuzz;

/// <summary>JSON schemas, regular expressions and choices, and a walk through what they allow.</summary>
internal sealed class SchemaFuzzer : Fuzzer
{
    private const int MostTokens = 40;

    private static readonly string[] Words =
        ["type", "properties", "required", "additionalProperties", "items", "prefixItems", "minItems", "maxItems", "minLength", "maxLength",
         "pattern", "format", "enum", "const", "anyOf",
         "oneOf", "allOf", "not", "if", "then", "$ref", "$defs", "#", "#/$defs/a", "#/properties/a", "a", "b", "object", "array", "string",
         "integer", "number", "boolean", "null", "minimum",
         "maximum", "exclusiveMinimum", "multipleOf", "date-time", "uuid", "email", "^a+$", "[a-z]{2,5}", "(a|b)*c", "patternProperties",
         "propertyNames", "uniqueItems", "contains", "title"];

    private static readonly string[] Valid =
        ["""{"type":"object","properties":{"a":{"type":"string","maxLength":9},"b":{"type":"integer","minimum":-5,"maximum":50}},"required":["a"],"additionalProperties":false}""",
         """{"type":"array","items":{"anyOf":[{"type":"string","pattern":"^[a-z]{1,4}$"},{"type":"number","exclusiveMinimum":0}]},"minItems":1,"maxItems":4}""",
         """{"$defs":{"a":{"type":"object","properties":{"a":{"$ref":"#/$defs/a"},"b":{"enum":["x",1,null]}},"required":["b"]}},"$ref":"#/$defs/a"}""",
         """{"allOf":[{"type":"object","properties":{"a":{"const":true}}},{"required":["a"]}],"oneOf":[{"properties":{"b":{"type":"null"}}},{"required":["b"]}]}"""];

    private static readonly string[] PatternPieces =
        ["a", "b", "[a-z]", "[^x]", "\\d", "\\w", "\\s", ".", "(", ")", "|", "*", "+", "?", "{2}", "{0,40}", "{3,}", "{99999}", "^", "$", "\\b",
         "(?:", "(?=", "\\1", "[", "]", "\\u00e9", "\\p{L}", "é", "雪"];

    private ConstraintVocabulary? vocabulary;
    private int logitCount;

    public override string Name => "schemas";

    public override Task OpenAsync(string modelPath)
    {
        var tokenizer = TextTokenizer.Load(modelPath);
        logitCount = tokenizer.VocabularySize;
        vocabulary = ConstraintVocabulary.Create(tokenizer, new HashSet<int> { tokenizer.EosId ?? logitCount - 1 }, logitCount);
        return Task.CompletedTask;
    }

    public override Task<bool> TryAsync(Random random)
    {
        try
        {
            Walk(random, CompiledGrammar.Create(new ConstraintCompiler().Compile(Constraint(random)), vocabulary!).Start());
            return Task.FromResult(true);
        }
        catch (ConstraintException)
        {
            return Task.FromResult(false);
        }
    }

    public override ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private static OutputConstraint Constraint(Random random)
    {
        switch (random.Next(6))
        {
            case 0:
                var pattern = new StringBuilder();
                for (var count = random.Next(12); count > 0; count--)
                    pattern.Append(random.Next(12) == 0 ? RandomText.Next(random, 2) : PatternPieces[random.Next(PatternPieces.Length)]);
                return OutputConstraint.Regex(pattern.ToString());
            case 1:
                return OutputConstraint.Choice([.. Enumerable.Range(0, random.Next(4)).Select(_ => RandomText.Next(random, 5))]);
            case 2:
                return OutputConstraint.JsonSchema(JsonSerializer.Deserialize<JsonElement>(RandomJson.ToText(RandomJson.Value(random, Words, 5))));
            default:
                var schema = JsonNode.Parse(Valid[random.Next(Valid.Length)])!;
                RandomJson.Change(random, schema, Words);
                return OutputConstraint.JsonSchema(JsonSerializer.Deserialize<JsonElement>(RandomJson.ToText(schema)));
        }
    }

    // Tokens at random among those that may come, as a model may choose them.
    private void Walk(Random random, TokenConstraint constraint)
    {
        var logits = new float[logitCount];
        for (var count = 0; count < MostTokens; count++)
        {
            Array.Clear(logits);
            constraint.Mask(logits);
            var allowed = Enumerable.Range(0, logits.Length).Where(i => logits[i] == 0).ToArray();
            if (allowed.Length == 0)
                throw new InvalidOperationException($"after {count} tokens none may come");
            var id = allowed[random.Next(allowed.Length)];
            if (vocabulary!.EndIds.Contains(id))
                return;
            constraint.Accept(id);
        }
    }
}
