using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cuda;

namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>
/// stub.c, which stands in for NVIDIA's driver and compiler; launches run in emulation. It has one state for the process: for the tests of one class.
/// </summary>
internal static unsafe partial class CudaStub
{
    private static readonly Lazy<(nint Library, string Reason)> Loaded = new(Load);

    /// <summary>The calls since <see cref="Configure"/>.</summary>
    public static string[] Notes =>
        Marshal.PtrToStringUTF8(((delegate* unmanaged<nint>)NativeLibrary.GetExport(Library, "stub_notes"))())!
            .Split('\n', StringSplitOptions.RemoveEmptyEntries);

    /// <summary>The library's file, once it is loaded.</summary>
    public static string Path { get; private set; } = "";

    private static nint Library
    {
        get
        {
            var (library, reason) = Loaded.Value;
            if (library == 0)
                Assert.Skip(reason);
            return library;
        }
    }

    /// <summary>Starts anew; skips the calling test where there is no compiler.</summary>
    /// <param name="capability">The device's compute capability.</param>
    /// <param name="launchResult">The driver's code for launches.</param>
    /// <param name="compileResult">The compiler's code.</param>
    public static (CudaDriver Driver, NvRtc Compiler) Configure(int capability = 80, int launchResult = 0, int compileResult = 0)
    {
        var configure = (delegate* unmanaged<int, int, int, delegate* unmanaged[Cdecl]<byte*, byte*, int, int, int, int, void*, void>, void>)
            NativeLibrary.GetExport(Library, "stub_configure");
        configure(capability, launchResult, compileResult, &Launch);
        return (new CudaDriver(Library), new NvRtc(Library, "stub"));
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Launch(byte* name, byte* code, int x, int y, int z, int threads, void* parameter) => EmulatedKernels.Run(
        new CudaKernel(Marshal.PtrToStringUTF8((nint)name)!, Macro(code, "ROWS"), Macro(code, "CHANNELS")), (x, y, z), threads, parameter, isDescending: false);

    private static int Macro(byte* code, string name) =>
        MacroPattern().Matches(Marshal.PtrToStringUTF8((nint)code)!).Where(m => m.Groups[1].Value == name)
            .Select(m => int.Parse(m.Groups[2].ValueSpan)).SingleOrDefault();

    [GeneratedRegex(@"^-D(\w+)=(\d+)$", RegexOptions.Multiline)]
    private static partial Regex MacroPattern();

    private static (nint Library, string Reason) Load()
    {
        if (!OperatingSystem.IsLinux())
            return (0, "the stand-in for NVIDIA's libraries needs Linux");
        var source = RepositoryRoot.Require("tests", "LocalLlm.Tests", "Kernels", "Cuda", "stub.c");
        var folder = Directory.CreateTempSubdirectory("cuda-stub-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(folder, recursive: true);
        var library = System.IO.Path.Combine(folder, "stub.so");
        foreach (var compiler in new[] { "gcc", "clang", "clang-14" })
        {
            if (EmulatedKernels.Run(compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, source) is not { } result)
                continue;
            result.ExitCode.ShouldBe(0, result.Errors);
            Path = library;
            return (NativeLibrary.Load(library), "");
        }

        return (0, "needs a C compiler: gcc or clang");
    }
}
