using System.Collections.Concurrent;
using System.Globalization;
using LocalLlm.Kernels.Cuda;

namespace LocalLlm.Tests.Kernels.Cuda.Ptx;

/// <summary>The kernels in the PTX of one compiler, each compiled once.</summary>
internal sealed class PtxModules(Func<CudaKernel, string> compile)
{
    private static readonly PtxModules Newer = new(kernel => CompileByClang(kernel, 19, "sm_90", "ptx78"));
    private static readonly PtxModules Older = new(kernel => CompileByClang(kernel, 14, "sm_86", "ptx71"));

    private readonly ConcurrentDictionary<CudaKernel, Lazy<PtxModule>> modules = new();

    /// <summary>By a clang that is there; skips the calling test where there is none.</summary>
    public static PtxModules Clang => EmulatedKernels.Run("clang++-19", "--version") is null ? Older : Newer;

    /// <summary>By clang of a version, 14 or 19.</summary>
    public static PtxModules ClangOf(int version) => version == 14 ? Older : Newer;

    /// <summary>A kernel.</summary>
    public PtxModule Get(CudaKernel kernel) =>
        modules.GetOrAdd(kernel, _ => new Lazy<PtxModule>(() => new PtxModule(compile(kernel)))).Value;

    private static string CompileByClang(CudaKernel kernel, int version, string architecture, string feature)
    {
        var source = RepositoryRoot.Require("src", "LocalLlm", "Kernels", "Cuda", kernel.Name + ".cu");
        var output = Path.GetTempFileName();
        try
        {
            string[] arguments = ["-x", "cuda", "--cuda-device-only", "-nocudainc", "-nocudalib", $"--cuda-gpu-arch={architecture}",
                "-Xclang", "-target-feature", "-Xclang", $"+{feature}", "-std=c++17", "-O2", "-ffp-contract=off",
                string.Create(CultureInfo.InvariantCulture, $"-DROWS={kernel.Rows}"),
                string.Create(CultureInfo.InvariantCulture, $"-DCHANNELS={kernel.Channels}"), "-S", "-o", output, source];
            if (EmulatedKernels.Run($"clang++-{version}", arguments) is not { } result)
            {
                Assert.Skip($"needs clang++-{version}");
                return "";
            }

            result.ExitCode.ShouldBe(0, result.Errors);
            return File.ReadAllText(output);
        }
        finally
        {
            File.Delete(output);
        }
    }
}
