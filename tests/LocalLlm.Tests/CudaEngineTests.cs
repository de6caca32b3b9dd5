using LocalLlm.Tests.Attention;
using LocalLlm.Tests.Kernels.Cuda;

namespace LocalLlm.Tests;

/// <summary>The engine over the shipped model, with the CUDA kernels.</summary>
public sealed class CudaEngineTests
{
    [Theory]
    [InlineData(TestBackend.Emulated, KvCacheKind.LogQuant, WeightType.Float32)]
    [InlineData(TestBackend.Emulated, KvCacheKind.Dense, WeightType.Float32)]
    [InlineData(TestBackend.Emulated, KvCacheKind.StreamingQuant, WeightType.BFloat16)]
    [InlineData(TestBackend.Cuda, KvCacheKind.StreamingQuant, WeightType.BFloat16)]
    [InlineData(TestBackend.Cuda, KvCacheKind.LogQuant, WeightType.Float32)]
    [InlineData(TestBackend.Cuda, KvCacheKind.PartialLogQuant, WeightType.Float32)]
    [InlineData(TestBackend.Cuda, KvCacheKind.Dense, WeightType.Float32)]
    public async Task Generate_Greedy_GivesTheTokensOfTheCpuKernelsUntilANearTie(string name, KvCacheKind kind, WeightType type)
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
        var near = type == WeightType.Float32 ? 0.02 : 0.15; // a few roundings of bfloat16
        var expected = await TokensAsync(TestBackend.Cpu, kind, type, request);

        var actual = await TokensAsync(name, kind, type, request);

        actual.Count.ShouldBeGreaterThan(3);
        foreach (var (a, e) in actual.Zip(expected))
        {
            var other = e.Top.FirstOrDefault(t => t.TokenId == a.TokenId);
            other.ShouldNotBeNull();
            Math.Abs(a.Logprob - other.Logprob).ShouldBeLessThan(near);
            if (a.TokenId == e.TokenId)
                continue;
            (e.Logprob - other.Logprob).ShouldBeLessThan(near);
            return; // from here on the texts differ
        }
    }

    private static async Task<List<TokenLogprob>> TokensAsync(string name, KvCacheKind kind, WeightType type, GenerationRequest request)
    {
        var options = new LlmEngineOptions
        {
            ModelPath = DemoModelFolder.Require(),
            Device = name == TestBackend.Cuda ? "cuda" : "cpu",
            AttentionBackend = name == TestBackend.Cpu ? AttentionBackend.Cpu : AttentionBackend.Cuda,
            WeightType = type,
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
