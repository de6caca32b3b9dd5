using LocalLlm.Fuzz;

namespace LocalLlm.Tests.Fuzz;

/// <summary>
/// Inputs changed at random, some of each kind: the same in every run, so that a failure belongs to the change that is tested. Others, and for
/// longer: the <c>fuzz</c>
/// command of tests/LocalLlm.Benchmarks.
/// </summary>
public sealed class FuzzTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("messages", 200)]
    [InlineData("schemas", 300)]
    [InlineData("settings", 40)]
    [InlineData("folders", 60)]
    [InlineData("spill", 400)]
    public async Task Inputs_ChangedAtRandom_AreTakenOrRefused(string name, int inputs) =>
        await new FuzzRun(RepositoryRoot.Require("samples", "DemoModel", "model"), output.WriteLine)
            .RunAsync(FuzzRun.All().Single(f => f.Name == name), 1, inputs, TimeSpan.Zero);
}
