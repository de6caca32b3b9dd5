using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cuda;

namespace LocalLlm.Tests.Kernels.Cuda.Ptx;

/// <summary>The kernels in the PTX of one compiler, each compiled once.</summary>
internal sealed class PtxModules(Func<CudaKernel, string> compile)
{
    private static readonly Lock NvrtcGate = new();

    private static readonly Lazy<PtxModules> LoadedNvrtc = new(LoadNvrtc);

    private readonly ConcurrentDictionary<CudaKernel, Lazy<PtxModule>> modules = new();

    /// <summary>By the newest clang that is there; its kernels skip the calling test where there is none.</summary>
    public static PtxModules Clang { get; } = new(kernel =>
        CompileByClang(kernel, "clang++-19", "sm_90", "ptx78") ?? CompileByClang(kernel, "clang++", "sm_86", "ptx71") ?? CompileByOlderClang(kernel));

    /// <summary>By clang 14.</summary>
    public static PtxModules OlderClang { get; } = new(CompileByOlderClang);

    /// <summary>By NVRTC; skips the calling test where there is none.</summary>
    public static PtxModules Nvrtc => LoadedNvrtc.Value;

    /// <summary>A kernel.</summary>
    public PtxModule Get(CudaKernel kernel) =>
        modules.GetOrAdd(kernel, _ => new Lazy<PtxModule>(() => new PtxModule(compile(kernel)))).Value;

    private static PtxModules LoadNvrtc()
    {
        try
        {
            LibTorch.EnsureLoaded();
            var compiler = new KernelCompiler(NvRtc.Find(), new KernelTarget(90, IsPtx: true));
            return new PtxModules(kernel =>
            {
                lock (NvrtcGate)
                    return Encoding.ASCII.GetString(compiler.Compile(kernel));
            });
        }
        catch (LocalLlmException e)
        {
            Assert.Skip(e.Message);
            return null!;
        }
    }

    private static string CompileByOlderClang(CudaKernel kernel)
    {
        var text = CompileByClang(kernel, "clang++-14", "sm_86", "ptx71");
        if (text is null)
            Assert.Skip("needs clang++ or clang++-14");
        return text;
    }

    /// <summary>A kernel's PTX by a clang, without a CUDA toolkit; warnings are errors.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="compiler">The name of the clang.</param>
    /// <param name="architecture">What the code is for.</param>
    /// <param name="feature">The version of PTX.</param>
    /// <returns>The text; null where there is no compiler of this name.</returns>
    public static string? CompileByClang(CudaKernel kernel, string compiler, string architecture, string feature)
    {
        var source = RepositoryRoot.Require("src", "LocalLlm", "Kernels", "Cuda", kernel.Name + ".cu");
        var output = Path.GetTempFileName();
        try
        {
            string[] arguments = ["-x", "cuda", "--cuda-device-only", "-nocudainc", "-nocudalib", $"--cuda-gpu-arch={architecture}",
                "-Xclang", "-target-feature", "-Xclang", $"+{feature}", "-std=c++17", "-O2", "-ffp-contract=off", "-Wall", "-Werror",
                string.Create(CultureInfo.InvariantCulture, $"-DROWS={kernel.Rows}"),
                string.Create(CultureInfo.InvariantCulture, $"-DCHANNELS={kernel.Channels}"), "-S", "-o", output, source];
            if (EmulatedKernels.Run(compiler, arguments) is not { } result)
                return null;
            result.ExitCode.ShouldBe(0, result.Errors);
            return File.ReadAllText(output);
        }
        finally
        {
            File.Delete(output);
        }
    }
}
