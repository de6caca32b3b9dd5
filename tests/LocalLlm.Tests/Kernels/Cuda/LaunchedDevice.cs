using System.Runtime.InteropServices;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Kernels.Cuda;

namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>Kernels launched as a backend does it. A GPU's threads have no order that could be chosen.</summary>
/// <param name="launcher">Launches them.</param>
/// <param name="allocate">Makes memory of at least 1 byte that they and the test reach.</param>
/// <param name="wait">Waits until the launched kernels have ended.</param>
internal sealed class LaunchedDevice(IKernelLauncher launcher, Func<int, ITestMemory> allocate, Action wait) : IKernelDevice
{
    public ITestMemory Allocate(int bytes) => allocate(Math.Max(1, bytes));

    public void Attend(AttentionPlan plan, bool isDescending, NumberType? outputType = null)
    {
        using var sequences = Upload(plan.Sequences);
        using var runs = Upload(plan.Runs);
        using var parts = Upload(plan.Parts);
        using var states = Allocate(checked((int)plan.StateFloats * sizeof(float)));
        states.Span.Fill(0xFF); // NaN
        var arguments = plan.Arguments(sequences.Address, runs.Address, parts.Address, states.Address);
        foreach (var attend in plan.Attends)
            launcher.Launch(attend.Kernel, attend.Grid, AttentionPlan.Threads, arguments);
        arguments.Type = outputType ?? arguments.Type;
        launcher.Launch(plan.Merge.Kernel, plan.Merge.Grid, AttentionPlan.Threads, arguments);
        wait();
    }

    public void Quantise(QuantiseArguments arguments, int heads, bool isDescending, int pages = 1)
    {
        launcher.Launch(new CudaKernel("quantise_page"), (arguments.Blocks, heads, pages), QuantiseArguments.Threads, arguments);
        wait();
    }

    private ITestMemory Upload<T>(T[] items)
        where T : unmanaged
    {
        var bytes = MemoryMarshal.AsBytes(items.AsSpan());
        var memory = Allocate(bytes.Length);
        launcher.Upload(memory.Address, bytes);
        return memory;
    }
}
