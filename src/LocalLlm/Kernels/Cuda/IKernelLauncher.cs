namespace LocalLlm.Kernels.Cuda;

/// <summary>Compiles and launches CUDA kernels, one after the other on torch's stream. For one thread at a time.</summary>
internal interface IKernelLauncher : IDisposable
{
    /// <summary>Launches a kernel and does not wait for it.</summary>
    /// <typeparam name="T">The kernel's only parameter, laid out as in its source.</typeparam>
    /// <param name="kernel">The kernel.</param>
    /// <param name="grid">Blocks.</param>
    /// <param name="threads">Threads of a block.</param>
    /// <param name="arguments">The parameter; copied before the call returns.</param>
    /// <exception cref="LocalLlmException">It does not compile, or the driver refuses it.</exception>
    void Launch<T>(CudaKernel kernel, (int X, int Y, int Z) grid, int threads, in T arguments)
        where T : unmanaged;

    /// <summary>Copies bytes to the device in the order of the launches; they may change once the call returns.</summary>
    /// <param name="target">Address in the device's memory.</param>
    /// <param name="bytes">What to copy.</param>
    /// <exception cref="LocalLlmException">The driver refuses it.</exception>
    void Upload(nint target, ReadOnlySpan<byte> bytes);
}
