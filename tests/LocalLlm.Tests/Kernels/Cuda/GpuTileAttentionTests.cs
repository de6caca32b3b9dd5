using LocalLlm.Kernels.Cpu;

namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>tile_attention on a GPU, with bf16 queries and rows.</summary>
public class GpuTileAttentionTests() : AttentionGridTests(NumberType.BFloat16, TileAttentionTests.Tolerance)
{
    private protected override IKernelDevice Device => GpuDevice.Require();
}

/// <summary>The same with fp16.</summary>
public class GpuTileAttentionHalfTests() : AttentionGridTests(NumberType.Float16, TileAttentionTests.Tolerance)
{
    private protected override IKernelDevice Device => GpuDevice.Require();
}
