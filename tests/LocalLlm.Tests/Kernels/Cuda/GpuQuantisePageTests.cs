namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>Pages by the kernel on a GPU.</summary>
public class GpuQuantisePageTests : QuantisePageCases
{
    private protected override IKernelDevice Device => GpuDevice.Require();
}
