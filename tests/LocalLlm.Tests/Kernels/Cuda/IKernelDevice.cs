using LocalLlm.Kernels.Cpu;
using LocalLlm.Kernels.Cuda;

namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>What runs the kernels for a test.</summary>
internal interface IKernelDevice
{
    /// <summary>Memory that the kernels and the test reach.</summary>
    ITestMemory Allocate(int bytes);

    /// <summary>Attends to the plan's sequences and merges their parts.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="isDescending">Whether the last thread of a block runs first, where that can be chosen.</param>
    /// <param name="outputType">The type of the outputs, where it is not the queries'.</param>
    void Attend(AttentionPlan plan, bool isDescending, NumberType? outputType = null);

    /// <summary>Quantises the pages of some heads.</summary>
    void Quantise(QuantiseArguments arguments, int heads, bool isDescending, int pages = 1);
}
