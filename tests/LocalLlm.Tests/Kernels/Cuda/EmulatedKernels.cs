using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;
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

    /// <summary>Attends to the plan's sequences and merges their parts, on memory of this process.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="isDescending">Whether the last thread of a block runs first, or the first.</param>
    /// <param name="outputType">The type of the outputs, where it is not the queries'.</param>
    public static void Attend(AttentionPlan plan, bool isDescending, NumberType? outputType = null)
    {
        var merge = (delegate* unmanaged<AttentionArguments*, int, int, int, int, int>)Require("emulate_merge_attention");
        var states = new float[plan.StateFloats];
        Array.Fill(states, float.NaN);
        fixed (DeviceSequence* sequences = plan.Sequences)
        fixed (DeviceRun* runs = plan.Runs)
        fixed (DevicePart* parts = plan.Parts)
        fixed (float* state = states)
        {
            var arguments = plan.Arguments((nint)sequences, (nint)runs, (nint)parts, (nint)state);
            var order = isDescending ? 1 : 0;
            lock (Gate)
            {
                foreach (var (kernel, (x, y, z)) in plan.Attends)
                {
                    var attend = (delegate* unmanaged<AttentionArguments*, int, int, int, int, int, int, int>)Require($"emulate_{kernel.Name}");
                    attend(&arguments, kernel.Rows, kernel.Channels, x, y, z, order).ShouldBe(0);
                }

                arguments.Type = outputType ?? arguments.Type;
                var grid = plan.Merge.Grid;
                merge(&arguments, grid.X, grid.Y, grid.Z, order).ShouldBe(0);
            }
        }
    }

    /// <summary>Quantises the pages of some heads, in memory of this process.</summary>
    public static void Quantise(QuantiseArguments arguments, int heads, bool isDescending)
    {
        var quantise = (delegate* unmanaged<QuantiseArguments*, int, int, int, int>)Require("emulate_quantise_page");
        lock (Gate)
            quantise(&arguments, arguments.Blocks, heads, isDescending ? 1 : 0).ShouldBe(0);
    }

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
