using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Json.Schema;
using LocalLlm.Sampling.Constraints;
using LocalLlm.Sampling.Constraints.Schema;

namespace LocalLlm.Tests.Sampling.Constraints.Schema;

/// <summary>What random choices among the allowed tokens make parses and is valid.</summary>
public class SchemaGenerationTests
{
    private const int End = 256;

    private static readonly ConstraintVocabulary Bytes = new(
        [.. Enumerable.Range(0, 257).Select(b => (ReadOnlyMemory<byte>)(b < End ? new[] { (byte)b } : []))], null, [.. Enumerable.Range(0, 257).Select(b => b == End)], [End], 257);

    [Fact]
    public void Generate_FunctionParameters_ParseAndValidate()
    {
        var schemas = FunctionSchemas.Read().Select(Closed).ToList();
        schemas.Count.ShouldBeGreaterThanOrEqualTo(840);
        var count = 0;
        Parallel.ForEach(schemas, (schema, _, index) => Interlocked.Add(ref count, GenerateAndCheck($"function {index}", schema, times: 4, seed: (int)index)));
        count.ShouldBeGreaterThan(3000);
    }

    [Theory]
    [MemberData(nameof(HardSchemas.All), MemberType = typeof(HardSchemas))]
    public void Generate_HardSchemas_ParseAndValidate(string name) =>
        GenerateAndCheck(name, HardSchemas.Named(name), times: 60, seed: name.Length).ShouldBeGreaterThan(4);

    private static int GenerateAndCheck(string name, JsonElement schema, int times, int seed)
    {
        var grammar = CompiledGrammar.Create(JsonSchemaCompiler.Compile(schema, name), Bytes);
        var validator = JsonSchema.FromText(schema.GetRawText());
        var count = 0;
        for (var i = 0; i < times; i++)
        {
            if (Generate(grammar, new Random(seed + (1000 * i))) is not { } text)
                continue; // too long
            using var document = JsonDocument.Parse(text);
            var result = validator.Evaluate(document.RootElement, new EvaluationOptions { OutputFormat = OutputFormat.List, RequireFormatValidation = true });
            result.IsValid.ShouldBeTrue($"{name}: {text}");
            count++;
        }

        return count;
    }

    private static string? Generate(CompiledGrammar grammar, Random random)
    {
        var constraint = grammar.Start();
        var (logits, text) = (new float[257], new List<byte>());
        for (var step = 0; step < 1500; step++)
        {
            Array.Clear(logits);
            constraint.Mask(logits);
            var chosen = Choose([.. Enumerable.Range(0, 257).Where(b => logits[b] == 0)], text, random);
            constraint.Accept(chosen);
            if (chosen == End)
                return Encoding.UTF8.GetString([.. text]);
            text.Add((byte)chosen);
        }

        return null;
    }

    private static int Choose(int[] allowed, List<byte> text, Random random)
    {
        // Ends and closers more often, or it would go on for ever.
        int[] closing = [.. allowed.Where(b => b is End or '}' or ']')];
        int[] quoting = [.. allowed.Where(b => b is '"')];
        var isLong = text.Count > 200;
        if (closing.Length > 0 && (isLong || random.Next(10) < 3))
            return closing[random.Next(closing.Length)];
        if (quoting.Length > 0 && random.Next(10) < (isLong ? 9 : 3))
            return '"';
        // Validators count characters in other ways than the specification where they are beyond the basic plane or combine, so these are left out here.
        int[] plain = [.. allowed.Where(b => b is < 0xC3 or 0xC3 or 0xD0 or 0xD1)];
        var last = Encoding.Latin1.GetString([.. text.TakeLast(4)]);
        if (last.EndsWith("\\u", StringComparison.Ordinal) || last.EndsWith("\\u0", StringComparison.Ordinal))
            plain = [.. plain.Where(b => b == '0')];
        else if (last.EndsWith("\\u00", StringComparison.Ordinal))
            plain = [.. plain.Where(b => b is >= '2' and <= '7')];
        return plain.Length > 0 ? plain[random.Next(plain.Length)] : allowed[random.Next(allowed.Length)];
    }

    // As the arguments of calls are: random letters would hardly ever spell a name that is required.
    internal static JsonElement Closed(string schema) => JsonSerializer.SerializeToElement(Closed(JsonNode.Parse(schema)!));

    private static JsonNode Closed(JsonNode node)
    {
        if (node is not JsonObject schema)
            return node;
        if (schema["properties"] is JsonObject properties)
        {
            schema.TryAdd("additionalProperties", false);
            foreach (var (name, property) in properties.ToList())
                properties[name] = Closed(property!.DeepClone());
        }

        if (schema["items"] is { } items)
            schema["items"] = Closed(items.DeepClone());
        return schema;
    }
}
