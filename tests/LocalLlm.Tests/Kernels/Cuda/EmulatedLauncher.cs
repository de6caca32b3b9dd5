using LocalLlm.Kernels.Cuda;

namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>Runs the emulated kernels on memory of this process, each before the call returns.</summary>
internal sealed unsafe class EmulatedLauncher : IKernelLauncher
{
    /// <inheritdoc/>
    public void Launch<T>(CudaKernel kernel, (int X, int Y, int Z) grid, int threads, in T arguments)
        where T : unmanaged
    {
        fixed (T* parameter = &arguments)
            EmulatedKernels.Launch(kernel.Name, kernel.Rows, kernel.Channels, grid, (nint)parameter);
    }

    /// <inheritdoc/>
    public void Upload(nint target, ReadOnlySpan<byte> bytes) => bytes.CopyTo(new Span<byte>((void*)target, bytes.Length));

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
