namespace LocalLlm.Kernels.Cuda;

/// <summary>One launch of a kernel.</summary>
/// <param name="Kernel">The kernel.</param>
/// <param name="Grid">Blocks, of <see cref="AttentionPlan.Threads"/> threads.</param>
internal readonly record struct KernelLaunch(CudaKernel Kernel, (int X, int Y, int Z) Grid);
