using LocalLlm.Benchmarks.Gpu;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cuda;
using static TorchSharp.torch;

namespace LocalLlm.Benchmarks.Comparisons;

/// <summary>The CUDA kernels on the first GPU: <see cref="GpuFigures"/>.</summary>
/// <param name="sections">Of the figures.</param>
/// <param name="cases">Sequences, and tokens of each.</param>
/// <param name="rounds">Measurements of each, in turns.</param>
internal sealed class GpuComparison(string[] sections, (int Sequences, int Tokens)[] cases, int rounds) : IComparison
{
    private static readonly string[] AllSections = [GpuFigures.AttentionSection, GpuFigures.QuantiseSection];

    public static GpuComparison Parse(Arguments arguments)
    {
        var sections = arguments.Text("sections")?.Split(',') ?? AllSections;
        if (sections.Except(AllSections).FirstOrDefault() is { } unknown)
            throw new ArgumentException($"--sections are {string.Join(", ", AllSections)}; got '{unknown}'.");
        var batches = arguments.Numbers("batches", [8, 1], most: 4096);
        var tokens = arguments.Numbers("tokens", [32768, 131072], GpuFigures.PageTokens, GpuFigures.PageTokens);
        return batches.Length == tokens.Length
            ? new GpuComparison(sections, [.. batches.Zip(tokens)], arguments.Number("rounds", 20))
            : throw new ArgumentException($"--batches and --tokens go together, one of each a case; got {batches.Length} and {tokens.Length}.");
    }

    /// <summary>Why there is no GPU to measure; null where there is one.</summary>
    public static string? Missing() => cuda.is_available()
        ? null
        : $"There is no GPU to measure: libtorch in '{LibTorch.Folder}' sees none. It must be a CUDA build "
            + "(-p:TorchBackend=cuda), and NVIDIA's driver be there.";

    public Table Run(Machine machine)
    {
        using var launcher = CudaLauncher.Open(0, Console.Error.WriteLine);
        using var context = new CudaContext(CudaDriver.Instance, 0);
        var clock = new GpuClock(() => cuda.synchronize(), rounds, TimeSpan.FromMilliseconds(20));
        var version = CudaDriver.Instance.Version;
        var target = new GpuTarget(launcher, new Device(TorchSharp.DeviceType.CUDA, 0), clock);
        var description = $"{context.Name}, {context.Multiprocessors} multiprocessors, driver for CUDA {version / 1000}.{version % 1000 / 10}, "
            + $"torch {__version__}";
        return new GpuFigures(sections, cases).Measure(target, copyBytes: 1L << 30, pages: 512, description);
    }
}
