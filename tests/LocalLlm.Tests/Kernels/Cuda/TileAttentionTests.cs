using LocalLlm.Kernels.Cpu;

namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>tile_attention over the grid of the CPU kernels' tests, in bf16.</summary>
public class TileAttentionTests() : AttentionGridTests(NumberType.BFloat16, 1e-4);

/// <summary>The same in fp16.</summary>
public class TileAttentionHalfTests() : AttentionGridTests(NumberType.Float16, 1e-4);
