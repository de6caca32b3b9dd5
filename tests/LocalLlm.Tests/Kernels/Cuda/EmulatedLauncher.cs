using LocalLlm.Kernels.Cuda;

namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>Runs the emulated kernels on CPU tensors, each before the call returns; every second one its threads backwards.</summary>
internal sealed unsafe class EmulatedLauncher : IKernelLauncher
{
    private bool isDescending;

    /// <summary>Creates the launcher; skips the calling test where there is no compiler.</summary>
    public EmulatedLauncher() => EmulatedKernels.Require("emulate");

    /// <summary>Launches so far, by kernel.</summary>
    public Dictionary<string, int> Launches { get; } = [];

    /// <inheritdoc/>
    public void Launch<T>(CudaKernel kernel, (int X, int Y, int Z) grid, int threads, in T arguments)
        where T : unmanaged
    {
        Launches[kernel.Name] = Launches.GetValueOrDefault(kernel.Name) + 1;
        EmulatedKernels.Run(kernel, grid, threads, arguments, isDescending);
        isDescending = !isDescending;
    }

    /// <inheritdoc/>
    public void Upload(nint target, ReadOnlySpan<byte> bytes) => bytes.CopyTo(new Span<byte>((void*)target, bytes.Length));

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
