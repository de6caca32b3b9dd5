using System.Text.Json;
using Json.Schema;
using LocalLlm.Sampling.Constraints;
using LocalLlm.Sampling.Constraints.Schema;

namespace LocalLlm.Tests.Sampling.Constraints.Schema;

/// <summary>Grammars of schemas against an independent validator, in both directions.</summary>
public class JsonSchemaCompilerTests
{
    private static readonly EvaluationOptions Options = new() { RequireFormatValidation = true };

    public static TheoryData<string> Names() => new(SchemaCases.All.Keys);

    [Theory]
    [MemberData(nameof(Names))]
    public void Compile_HardSchema_EverySampleIsValid(string name)
    {
        var (node, validator) = Compile(SchemaCases.All[name]);
        var random = new Random(1);
        for (var i = 0; i < 300; i++)
        {
            var sample = GrammarSampler.Sample(node, random);
            GrammarRecognizer.Matches(node, sample).ShouldBeTrue(sample);
            // The validator's "$" also matches before a newline at the end, ECMAScript's does not.
            if (!sample.Contains("\\n\"", StringComparison.Ordinal))
                IsValid(validator, sample).ShouldBeTrue(sample);
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Compile_HardSchema_AcceptsWhatTheValidatorDoes(string name)
    {
        var schema = SchemaCases.All[name];
        var (node, validator) = Compile(schema);
        var instances = new SchemaInstances(JsonElement.Parse(schema), new Random(2));
        for (var i = 0; i < 1000; i++)
        {
            var text = instances.Next();
            GrammarRecognizer.Matches(node, text).ShouldBe(IsValid(validator, text), text);
        }
    }

    [Theory]
    [InlineData("""{"type":"integer"}""", "9223372036854775807", true)]
    [InlineData("""{"type":"integer"}""", "9223372036854775808", false)]
    [InlineData("""{"type":"integer"}""", "-9223372036854775808", true)]
    [InlineData("""{"type":"integer"}""", "-9223372036854775809", false)]
    [InlineData("""{"type":"integer","minimum":0}""", "9223372036854775807", true)]
    [InlineData("""{"type":"integer","minimum":0}""", "10000000000000000000", false)]
    [InlineData("""{"type":["integer","null"],"multipleOf":5}""", "10000000000000000000", false)]
    [InlineData("""{"type":"integer","format":"uint64"}""", "18446744073709551615", true)]
    [InlineData("""{"type":"integer","minimum":18446744073709551610}""", "18446744073709551616", true)]
    [InlineData("""{"enum":[123456789012345678901]}""", "123456789012345678901", true)]
    [InlineData("""{"type":"number"}""", "9223372036854775808", true)]
    public void Compile_Integer_Has64BitsUnlessTheSchemaNamesMore(string schema, string text, bool expected) =>
        GrammarRecognizer.Matches(Compile(schema).Item1, text).ShouldBe(expected);

    [Fact]
    public void Compile_RealFunctions_EverySampleIsValid()
    {
        var random = new Random(3);
        var count = 0;
        foreach (var schema in FunctionSchemas.Read())
        {
            var (node, validator) = Compile(schema);
            for (var i = 0; i < 10; i++)
            {
                var sample = GrammarSampler.Sample(node, random);
                IsValid(validator, sample).ShouldBeTrue($"{schema}\n{sample}");
            }

            var instances = new SchemaInstances(JsonElement.Parse(schema), random);
            for (var i = 0; i < 10; i++)
            {
                var text = instances.Next();
                GrammarRecognizer.Matches(node, text).ShouldBe(IsValid(validator, text), $"{schema}\n{text}");
            }

            count++;
        }

        count.ShouldBeGreaterThan(800);
    }

    [Theory]
    [InlineData("""{"if":{"type":"string"},"then":{"minLength":1}}""", "#/if", "#/then")]
    [InlineData("""{"properties":{"a":{"contains":{}}, "b":{"uniqueItems":true}}}""", "#/properties/a/contains", "#/properties/b/uniqueItems")]
    [InlineData("""{"type":"text"}""", "#/type", "\"text\"")]
    [InlineData("""{"unknownKeyword":1,"items":{"unevaluatedItems":false}}""", "#/unknownKeyword", "#/items/unevaluatedItems")]
    [InlineData("""{"$ref":"https://example.com/other.json"}""", "#/$ref", "another document")]
    [InlineData("""{"$ref":"#/$defs/missing"}""", "#/$ref", "$defs")]
    [InlineData("""{"type":"string","format":"klingon"}""", "#/format", "klingon")]
    [InlineData("""{"type":"string","pattern":"a(?=b)"}""", "#/pattern", "look-ahead")]
    [InlineData("""{"enum":[]}""", "#/enum", "one item or more")]
    [InlineData("""{"type":"string","minLength":3,"maxLength":2}""", "#", "contradict")]
    [InlineData("""{"type":"object","properties":{"a":false},"required":["a"]}""", "#", "'a'")]
    [InlineData("""{"type":"object","properties":{"a":{"type":"string","minLength":3,"maxLength":2}}}""", "#/properties/a", "contradict")]
    [InlineData("""{"type":"integer","enum":["a","b"]}""", "#", "contradict")]
    [InlineData("""{"type":"object","properties":{"next":{"$ref":"#"}},"required":["next"]}""", "next", "without end")]
    [InlineData("""{"$ref":"#"}""", "#", "itself")]
    [InlineData("""{"oneOf":[{"type":"object","minProperties":1},{"type":"string"},{"type":"object","required":["b"]}]}""", "branch 0 and branch 2", "anyOf")]
    [InlineData("""{"not":{"required":["a"]}}""", "#/not", "negated")]
    [InlineData("""{"type":"integer","multipleOf":0}""", "#/multipleOf", "above 0")]
    [InlineData("""{"minLength":-1,"required":"a"}""", "#/minLength", "#/required")]
    [InlineData("""{"maxLength":60000}""", "#/maxLength", "50,000")]
    [InlineData("""{"const":"\ud800"}""", "Unicode", "surrogate")]
    public void Compile_SchemaThatCannotBeEnforced_NamesThePlaces(string schema, string first, string second)
    {
        var error = Should.Throw<ConstraintException>(() => JsonSchemaCompiler.Compile(JsonElement.Parse(schema), "The test's schema"));
        error.Message.ShouldStartWith("The test's schema cannot be enforced: ");
        error.Message.ShouldContain(first);
        error.Message.ShouldContain(second);
    }

    [Theory]
    [InlineData("""{"x-order":1,"condition":"c","type":"integer"}""", "12", true)]
    [InlineData("""{"type":"dict","properties":{"a":{"type":"float","optional":true}},"additionalProperties":false}""", "{\"a\": 1.5}", true)]
    [InlineData("""{"type":"dict","properties":{"a":{"type":"int"}}}""", "{\"a\": 1.5}", false)]
    [InlineData("""{"type":"tuple","items":{"type":"any"}}""", "[1, \"a\"]", true)]
    [InlineData("""{"type":"string","nullable":true}""", "null", true)]
    [InlineData("""{"type":"array","items":[{"type":"string"}],"additionalItems":false}""", "[\"a\"]", true)]
    [InlineData("""{"type":"array","items":[{"type":"string"}],"additionalItems":false}""", "[\"a\",1]", false)]
    [InlineData("""{"definitions":{"a":{"type":"null"}},"$ref":"#/definitions/a"}""", "null", true)]
    [InlineData("""{"type":"integer","minimum":3,"exclusiveMinimum":true}""", "3", false)]
    [InlineData("""{"type":"integer","minimum":3,"exclusiveMinimum":true}""", "4", true)]
    [InlineData("""{"type":"integer","format":"int32"}""", "2147483647", true)]
    [InlineData("""{"type":"integer","format":"int32"}""", "2147483648", false)]
    [InlineData("""{"type":"number","format":"double"}""", "1.5e10", true)]
    [InlineData("""{"const":1.0}""", "1", true)]
    [InlineData("""{"type":"string"}""", "\"\\u00e9\\n\"", true)]
    [InlineData("""{"enum":["é"]}""", "\"\\u00e9\"", true)]
    public void Compile_OlderDraftsAndAnnotations_AreRead(string schema, string text, bool expected) =>
        GrammarRecognizer.Matches(JsonSchemaCompiler.Compile(JsonElement.Parse(schema), "It"), text).ShouldBe(expected);

    [Fact]
    public void Compile_EnumOfThousands_IsRead()
    {
        var members = Enumerable.Range(0, 3000).Select(i => i % 2 == 0 ? $"{i * 7919}" : $"\"value {i}\"");
        var node = JsonSchemaCompiler.Compile(JsonElement.Parse($"{{\"enum\":[{string.Join(',', members)}]}}"), "It");
        GrammarRecognizer.Matches(node, $"{2998 * 7919}").ShouldBeTrue();
        GrammarRecognizer.Matches(node, "\"value 2999\"").ShouldBeTrue();
        GrammarRecognizer.Matches(node, "7919").ShouldBeFalse();
    }

    [Fact]
    public void Compile_AlternativesThatMultiply_AreAnError()
    {
        var dependent = Enumerable.Range(0, 20).Select(i => $"\"a{i}\":[\"b{i}\"]");
        var schema = JsonElement.Parse($"{{\"dependentRequired\":{{{string.Join(',', dependent)}}}}}");
        Should.Throw<ConstraintException>(() => JsonSchemaCompiler.Compile(schema, "It")).Message.ShouldContain("500 ways");
    }

    [Fact]
    public void Compile_SchemaNestedTooDeep_IsAnError()
    {
        var schema = string.Concat(Enumerable.Repeat("""{"items":""", 150)) + "true" + new string('}', 150);
        var element = JsonElement.Parse(schema, new JsonDocumentOptions { MaxDepth = 500 });
        Should.Throw<ConstraintException>(() => JsonSchemaCompiler.Compile(element, "It")).Message.ShouldContain("nest deeper");
    }

    private static (GrammarNode Node, JsonSchema Validator) Compile(string schema) =>
        (JsonSchemaCompiler.Compile(JsonElement.Parse(schema), "The test's schema"), JsonSchema.FromText(schema));

    private static bool IsValid(JsonSchema validator, string text) => validator.Evaluate(JsonElement.Parse(text), Options).IsValid;
}
