using BenchmarkDotNet.Attributes;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Models;
using static TorchSharp.torch;

namespace LocalLlm.Benchmarks.Micro;

/// <summary>A few rows times a bf16 matrix of 16384 x 2048: torch is the baseline.</summary>
public class LinearBenchmarks
{
    private WorkerTeam team = null!;
    private RowMatmul kernels = null!;
    private Tensor weight = null!;
    private Tensor x = null!;
    private Linear ours = null!;
    private Linear torch = null!;

    [Params(1, 4, 16)]
    public int Rows { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        LibTorch.EnsureLoaded();
        team = new WorkerTeam(Environment.ProcessorCount);
        kernels = new RowMatmul(team);
        weight = randn(16384, 2048).to(ScalarType.BFloat16);
        x = randn(Rows, 2048).to(ScalarType.BFloat16);
        (ours, torch) = (new Linear(weight, null, kernels), new Linear(weight, null, null));
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        foreach (var disposable in new IDisposable[] { kernels, team, weight, x })
            disposable.Dispose();
    }

    [Benchmark(Baseline = true)]
    public void Torch()
    {
        using var mode = inference_mode();
        torch.Apply(x).Dispose();
    }

    [Benchmark]
    public void Ours()
    {
        using var mode = inference_mode();
        ours.Apply(x).Dispose();
    }
}
