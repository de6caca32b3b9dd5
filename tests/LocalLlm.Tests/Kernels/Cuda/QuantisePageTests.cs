namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>Pages by the emulated kernel.</summary>
public class QuantisePageTests : QuantisePageCases
{
    private protected override IKernelDevice Device { get; } = new EmulatedDevice();
}
