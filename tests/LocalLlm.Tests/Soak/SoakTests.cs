using System.Globalization;
using LocalLlm.Soak;

namespace LocalLlm.Tests.Soak;

/// <summary>Alone in the process while it runs: it counts tensors and resident memory.</summary>
[CollectionDefinition(nameof(SoakCollection), DisableParallelization = true)]
public sealed class SoakCollection;

/// <summary>The soak, once. For longer: the <c>soak</c> command of tests/LocalLlm.Benchmarks.</summary>
[Collection(nameof(SoakCollection))]
public sealed class SoakTests(ITestOutputHelper output)
{
    /// <summary>An environment variable for other conversations than those of every test run.</summary>
    private const string SeedVariable = "LOCALLLM_SOAK_SEED";

    [Fact]
    public async Task Conversations_OfRandomShapeInLittleMemory_EachIsAnsweredAsAloneAndNothingIsLeft()
    {
        var seed = Environment.GetEnvironmentVariable(SeedVariable) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : 1;
        await new ConversationSoak(new SoakOptions { ModelPath = RepositoryRoot.Require("samples", "DemoModel", "model"), Seed = seed, Log = output.WriteLine }).RunAsync();
    }
}
