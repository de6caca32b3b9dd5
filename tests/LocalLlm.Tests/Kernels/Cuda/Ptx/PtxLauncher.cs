using System.Runtime.InteropServices;
using LocalLlm.Kernels.Cuda;

namespace LocalLlm.Tests.Kernels.Cuda.Ptx;

/// <summary>Interprets the kernels' PTX on CPU tensors, each launch before the call returns; of every kernel every second launch its threads backwards.</summary>
/// <param name="modules">The kernels.</param>
internal sealed unsafe class PtxLauncher(PtxModules modules) : IKernelLauncher
{
    private readonly Dictionary<CudaKernel, int> launches = [];

    /// <summary>Launches so far, by kernel.</summary>
    public IReadOnlyDictionary<CudaKernel, int> Launches => launches;

    /// <inheritdoc/>
    public void Launch<T>(CudaKernel kernel, (int X, int Y, int Z) grid, int threads, in T arguments)
        where T : unmanaged
    {
        launches[kernel] = launches.GetValueOrDefault(kernel) + 1;
        PtxMachine.Run(
            modules.Get(kernel), grid, threads, MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in arguments)), isDescending: launches[kernel] % 2 == 0);
    }

    /// <inheritdoc/>
    public void Upload(nint target, ReadOnlySpan<byte> bytes) => bytes.CopyTo(new Span<byte>((void*)target, bytes.Length));

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
