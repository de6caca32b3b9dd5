using LocalLlm.Benchmarks.Gpu;
using LocalLlm.Interop;
using LocalLlm.Quantization;
using LocalLlm.Tests.Kernels.Cuda;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Benchmarks;

/// <summary>What the benchmark gives to a GPU, run in emulation: its figures mean nothing there, but its arguments are shown to be right.</summary>
public class GpuFiguresTests
{
    [Fact]
    public void Measure_InEmulation_GivesARowForEachCase()
    {
        LibTorch.EnsureLoaded();
        using var launcher = new EmulatedLauncher();
        var target = new GpuTarget(launcher, CPU, new GpuClock(() => { }, rounds: 1, TimeSpan.Zero));

        var figures = new GpuFigures([GpuFigures.AttentionSection, GpuFigures.QuantiseSection], [(2, 128)]);

        var table = figures.Measure(target, copyBytes: 4096, pages: 2, "emulated");

        table.Rows.Select(r => r["section"]).ShouldBe(["copy", "attention", "quantise", "quantise", "quantise", "quantise"]);
        var bytes = 2 * 2 * 8 * new PageLayout(64, 128, slowKeyBits: 3).HeadBytes; // sequences, pages, heads
        table.Rows[1]["packed_mb"].ShouldBeOfType<double>().ShouldBe(bytes / 1e6, 1e-4);
        table.Rows.ShouldAllBe(r => r.Values.All(x => !(x is double) || ((double)x! > 0 && double.IsFinite((double)x!))));
    }

    [Fact]
    public void Attend_SeveralSequences_GivesEachItsOwn()
    {
        LibTorch.EnsureLoaded();
        using var launcher = new EmulatedLauncher();
        var target = new GpuTarget(launcher, CPU, new GpuClock(() => { }, rounds: 1, TimeSpan.Zero));
        using var sequences = new GpuSequences(target, new PageLayout(64, 128), 3, 256, 32, 8);
        sequences.Outputs.fill_(float.NaN);

        sequences.Attend();

        sequences.Outputs.isfinite().all().item<bool>().ShouldBeTrue();
        foreach (var (a, b) in new[] { (0, 1), (1, 2), (0, 2) })
            sequences.Outputs[a].eq(sequences.Outputs[b]).all().item<bool>().ShouldBeFalse();
    }
}
