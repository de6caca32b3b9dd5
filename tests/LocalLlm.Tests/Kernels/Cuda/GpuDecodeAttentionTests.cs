using LocalLlm.Kernels.Cpu;

namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>decode_attention on a GPU.</summary>
public class GpuDecodeAttentionTests() : AttentionGridTests(NumberType.Float32, 1e-5)
{
    private protected override IKernelDevice Device => GpuDevice.Require();
}
