using LocalLlm.Kernels.Cpu;
using LocalLlm.Kernels.Cuda;
using LocalLlm.Tests.Kernels.Cpu;

namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>The emulation, over guarded memory.</summary>
internal sealed class EmulatedDevice : IKernelDevice
{
    public ITestMemory Allocate(int bytes) => new GuardedMemory(bytes);

    public void Attend(AttentionPlan plan, bool isDescending, NumberType? outputType = null) => EmulatedKernels.Attend(plan, isDescending, outputType);

    public void Quantise(QuantiseArguments arguments, int heads, bool isDescending, int pages = 1) =>
        EmulatedKernels.Quantise(arguments, heads, isDescending, pages);
}
