using BenchmarkDotNet.Attributes;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.Benchmarks.Micro;

/// <summary>Decode attention of one layer, 32 query heads over 8 KV heads: torch over bf16 is the baseline.</summary>
public class AttentionBenchmarks
{
    private WorkerTeam team = null!;
    private AttentionWork work = null!;
    private PackedSequence pages = null!;
    private Tensor q = null!;
    private Tensor k = null!;
    private Tensor v = null!;

    [Params(4096, 16384)]
    public int Tokens { get; set; }

    [Params(64, 128)]
    public int HeadDim { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        LibTorch.EnsureLoaded();
        team = new WorkerTeam(Environment.ProcessorCount);
        work = new AttentionWork(team);
        pages = new PackedSequence(new PageLayout(64, HeadDim), Tokens, 32, 8, 1);
        q = randn(1, 8, 4, HeadDim).to(ScalarType.BFloat16);
        k = randn(1, 8, Tokens, HeadDim).to(ScalarType.BFloat16);
        v = randn(1, 8, Tokens, HeadDim).to(ScalarType.BFloat16);
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        foreach (var disposable in new IDisposable[] { work, team, pages, q, k, v })
            disposable.Dispose();
    }

    [Benchmark(Baseline = true)]
    public void Torch()
    {
        using var mode = inference_mode();
        using var output = nn.functional.scaled_dot_product_attention(q, k, v);
    }

    [Benchmark]
    public void Pages() => pages.Attend(work);
}
