using BenchmarkDotNet.Attributes;
using LocalLlm.Quantization;

namespace LocalLlm.Benchmarks.Micro;

/// <summary>Quantise-and-pack of one KV head's page: copying the same bytes is the baseline.</summary>
public class PageBenchmarks
{
    private PageRows rows = null!;

    [Params(2, 3, 4)]
    public int Bits { get; set; }

    [Params(false, true)]
    public bool ClipSearch { get; set; }

    [GlobalSetup]
    public void Setup() => rows = new PageRows(new PageLayout(64, 128, Bits, Bits), ClipSearch);

    [GlobalCleanup]
    public void Cleanup() => rows.Dispose();

    [Benchmark(Baseline = true)]
    public void Copy() => rows.Copy();

    [Benchmark]
    public void Quantize() => rows.Quantize();
}
