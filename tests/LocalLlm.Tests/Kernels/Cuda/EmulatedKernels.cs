using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Kernels.Cuda;

namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>
/// The CUDA kernels compiled as ordinary C++ over emulation.h, and run on the CPU: the same sources, blocks and threads. Proves what the kernels
/// compute, not what
/// a GPU does with them. One run at a time, because a block's shared memory is static.
/// </summary>
internal static unsafe class EmulatedKernels
{
    private static readonly Lock Gate = new();
    private static readonly Lazy<(nint Library, string Reason)> Loaded = new(Load);

    /// <summary>Runs a kernel on memory of this process.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="grid">Blocks.</param>
    /// <param name="threads">Threads of a block.</param>
    /// <param name="arguments">Its parameter.</param>
    /// <param name="isDescending">Whether the last thread of a block runs first, or the first.</param>
    public static void Run<T>(CudaKernel kernel, (int X, int Y, int Z) grid, int threads, in T arguments, bool isDescending)
        where T : unmanaged
    {
        fixed (void* parameter = &arguments)
            Run(kernel, grid, threads, parameter, isDescending);
    }

    /// <summary>Runs a kernel as a GPU's driver is asked to: its parameter lies at an address.</summary>
    public static void Run(CudaKernel kernel, (int X, int Y, int Z) grid, int threads, void* parameter, bool isDescending)
    {
        var emulate = (delegate* unmanaged<byte*, int, int, void*, int, int, int, int, int, int>)Require("emulate");
        fixed (byte* name = Encoding.ASCII.GetBytes(kernel.Name + '\0'))
        {
            lock (Gate)
            {
                emulate(name, kernel.Rows, kernel.Channels, parameter, grid.X, grid.Y, grid.Z, threads, isDescending ? 1 : 0)
                    .ShouldBe(0, $"{kernel}: 1 is a barrier that not all threads reach, 2 an unknown kernel");
            }
        }
    }

    /// <summary>Attends to the plan's sequences and merges their parts, on memory of this process.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="isDescending">Whether the last thread of a block runs first, or the first.</param>
    /// <param name="outputType">The type of the outputs, where it is not the queries'.</param>
    public static void Attend(AttentionPlan plan, bool isDescending, NumberType? outputType = null)
    {
        var states = new float[plan.StateFloats];
        Array.Fill(states, float.NaN);
        fixed (DeviceSequence* sequences = plan.Sequences)
        fixed (DeviceRun* runs = plan.Runs)
        fixed (DevicePart* parts = plan.Parts)
        fixed (float* state = states)
        {
            var arguments = plan.Arguments((nint)sequences, (nint)runs, (nint)parts, (nint)state);
            foreach (var attend in plan.Attends)
                Run(attend.Kernel, attend.Grid, AttentionPlan.Threads, arguments, isDescending);
            arguments.Type = outputType ?? arguments.Type;
            Run(plan.Merge.Kernel, plan.Merge.Grid, AttentionPlan.Threads, arguments, isDescending);
        }
    }

    /// <summary>Quantises the pages of some heads, in memory of this process.</summary>
    public static void Quantise(QuantiseArguments arguments, int heads, bool isDescending, int pages = 1) =>
        Run(new CudaKernel("quantise_page"), (arguments.Blocks, heads, pages), QuantiseArguments.Threads, arguments, isDescending);

    /// <summary>A function of the library; skips the calling test where there is no compiler.</summary>
    public static nint Require(string function)
    {
        var (library, reason) = Loaded.Value;
        if (library == 0)
            Assert.Skip(reason);
        return NativeLibrary.GetExport(library, function);
    }

    private static (nint Library, string Reason) Load()
    {
        if (!OperatingSystem.IsLinux())
            return (0, "the emulation of CUDA's threads needs Linux");
        var source = RepositoryRoot.Require("tests", "LocalLlm.Tests", "Kernels", "Cuda", "emulation.cpp");
        var kernels = RepositoryRoot.Require("src", "LocalLlm", "Kernels", "Cuda");
        var library = Path.Combine(Directory.CreateTempSubdirectory("emulated-kernels").FullName, "kernels.so");
        foreach (var compiler in new[] { "g++", "clang++", "clang++-14" })
        {
            if (Run(compiler, "-std=c++17", "-O2", "-ffp-contract=off", "-shared", "-fPIC", "-I", kernels, "-o", library, source) is not { } result)
                continue;
            result.ExitCode.ShouldBe(0, result.Errors);
            var handle = NativeLibrary.Load(library);
            Directory.Delete(Path.GetDirectoryName(library)!, recursive: true); // what is loaded stays
            return (handle, "");
        }

        return (0, "needs a C++ compiler: g++ or clang++");
    }

    /// <summary>Runs a program to its end; null if there is none of this name.</summary>
    public static (int ExitCode, string Errors)? Run(string program, params string[] arguments)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
            var errors = process.StandardError.ReadToEnd();
            process.WaitForExit();
            return (process.ExitCode, errors);
        }
        catch (Win32Exception)
        {
            return null;
        }
    }
}
