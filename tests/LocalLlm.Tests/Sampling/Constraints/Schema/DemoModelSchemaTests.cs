using System.Text.Json;
using Json.Schema;

namespace LocalLlm.Tests.Sampling.Constraints.Schema;

/// <summary>What the shipped model writes under schemas of which it has never seen the like parses and is valid.</summary>
public class DemoModelSchemaTests
{
    [Fact]
    public async Task Generate_SomeFunctionsParameters_ParseAndValidate() =>
        (await GenerateAsync(FunctionSchemas.Read().Where((_, i) => i % 24 == 0), times: 1)).ShouldBeGreaterThan(0);

    // Some minutes: run it by hand with -explicit only.
    [Fact(Explicit = true)]
    public async Task Generate_AllFunctionsParameters_ParseAndValidate() =>
        (await GenerateAsync(FunctionSchemas.Read(), times: 3)).ShouldBeGreaterThan(0);

    /// <returns>
    /// How many answers came to their end. It differs between machines: one logit rounded otherwise is another draw, and about half of the
    /// answers reach the limit of tokens first.
    /// </returns>
    private static async Task<int> GenerateAsync(IEnumerable<string> schemas, int times)
    {
        await using var engine = await LlmEngine.LoadAsync(new LlmEngineOptions { ModelPath = RepositoryRoot.Require("samples", "DemoModel", "model") });
        var cases = (from schema in schemas.Select(SchemaGenerationTests.Closed) from seed in Enumerable.Range(0, times) select (schema, seed)).ToList();
        var complete = 0;
        await Parallel.ForEachAsync(cases, new ParallelOptions { MaxDegreeOfParallelism = 16 }, async (wanted, _) =>
            Interlocked.Add(ref complete, await GenerateAsync(engine, wanted.schema, wanted.seed)));
        TestContext.Current.SendDiagnosticMessage($"{complete} of {cases.Count} answers came to their end");
        return complete;
    }

    private static async Task<int> GenerateAsync(LlmEngine engine, JsonElement schema, int seed)
    {
        var (text, end) = await engine.ReadAsync(new GenerationRequest
        {
            Turns = [new ChatTurn(ChatRole.User, "Please remember the locker code for Mirvelo, it is falcon-417.")],
            Constraint = OutputConstraint.JsonSchema(schema),
            MaxTokens = 250,
            Sampling = new SamplingOptions { Temperature = 1, Seed = seed },
        });
        if (end.FinishReason != FinishReason.Stop)
            return 0;
        using var document = JsonDocument.Parse(text);
        JsonSchema.FromText(schema.GetRawText()).Evaluate(document.RootElement).IsValid.ShouldBeTrue($"{schema}\n{text}");
        return 1;
    }
}
