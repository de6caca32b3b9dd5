using LocalLlm.Kernels.Cpu;

namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>decode_attention over the grid of the CPU kernels' tests.</summary>
public class DecodeAttentionTests() : AttentionGridTests(NumberType.Float32, 1e-5);
