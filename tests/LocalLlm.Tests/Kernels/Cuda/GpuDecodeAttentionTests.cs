namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>Attention by the kernels on a GPU.</summary>
public class GpuDecodeAttentionTests : DecodeAttentionCases
{
    private protected override IKernelDevice Device => GpuDevice.Require();
}
