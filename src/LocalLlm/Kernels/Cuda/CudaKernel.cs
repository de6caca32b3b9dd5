namespace LocalLlm.Kernels.Cuda;

/// <summary>A kernel and what it is compiled for.</summary>
/// <param name="Name">Its name, and its source's without the extension.</param>
/// <param name="Rows">The macro ROWS; 0 where the source has none.</param>
/// <param name="Channels">The macro CHANNELS; 0 where the source has none.</param>
internal readonly record struct CudaKernel(string Name, int Rows = 0, int Channels = 0);
