using LocalLlm.Tests.Attention;
using LocalLlm.Tests.Kernels.Cuda;

namespace LocalLlm.Tests;

/// <summary>The engine over the shipped model, with the CUDA kernels.</summary>
public sealed class CudaEngineTests
{
    [Theory]
    [InlineData(TestBackend.Emulated, KvCacheKind.LogQuant)]
    [InlineData(TestBackend.Emulated, KvCacheKind.Dense)]
    [InlineData(TestBackend.Cuda, KvCacheKind.LogQuant)]
    [InlineData(TestBackend.Cuda, KvCacheKind.PartialLogQuant)]
    [InlineData(TestBackend.Cuda, KvCacheKind.Dense)]
    public async Task Generate_Greedy_GivesTheTokensOfTheCpuKernelsUntilANearTie(string name, KvCacheKind kind)
    {
        TestBackend.Open(name).Dispose(); // skips where it must
        // The prompt fills the rows and the answer goes on over the first page.
        var request = new GenerationRequest
        {
            Turns = [new ChatTurn(ChatRole.User, string.Join(' ', Enumerable.Range(0, 18).Select(i => $"Tell me about number {i}.")))],
            Sampling = SamplingOptions.Greedy,
            MaxTokens = name == TestBackend.Emulated ? 6 : 40,
            TopLogprobs = 5,
        };
        var expected = await TokensAsync(TestBackend.Cpu, kind, request);

        var actual = await TokensAsync(name, kind, request);

        actual.Count.ShouldBeGreaterThan(3);
        foreach (var (a, e) in actual.Zip(expected))
        {
            var other = e.Top.FirstOrDefault(t => t.TokenId == a.TokenId);
            other.ShouldNotBeNull();
            Math.Abs(a.Logprob - other.Logprob).ShouldBeLessThan(0.02);
            if (a.TokenId == e.TokenId)
                continue;
            (e.Logprob - other.Logprob).ShouldBeLessThan(0.02);
            return; // from here on the texts differ
        }
    }

    private static async Task<List<TokenLogprob>> TokensAsync(string name, KvCacheKind kind, GenerationRequest request)
    {
        var options = new LlmEngineOptions
        {
            ModelPath = DemoModelFolder.Require(),
            Device = name == TestBackend.Cuda ? "cuda" : "cpu",
            AttentionBackend = name == TestBackend.Cpu ? AttentionBackend.Cpu : AttentionBackend.Cuda,
            WeightType = WeightType.Float32,
            KvCache = new KvCacheOptions { Kind = kind, Window = 32 },
            OpenKernels = name == TestBackend.Emulated ? _ => new EmulatedLauncher() : null,
        };
        await using var engine = await LlmEngine.LoadAsync(options);
        var tokens = new List<TokenLogprob>();
        await foreach (var update in engine.GenerateAsync(request))
        {
            if (update is LogprobUpdate logprob)
                tokens.Add(logprob.Token);
            if (update is GenerationCompleted end)
                end.Usage.PromptTokens.ShouldBeGreaterThan(100);
        }

        return tokens;
    }
}
