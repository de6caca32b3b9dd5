using LocalLlm.Kernels.Cuda;
using static TorchSharp.torch;

namespace LocalLlm.Benchmarks.Gpu;

/// <summary>Where the kernels run.</summary>
/// <param name="Launcher">Launches them.</param>
/// <param name="Device">Whose memory they reach.</param>
/// <param name="Clock">Times them.</param>
internal sealed record GpuTarget(IKernelLauncher Launcher, Device Device, GpuClock Clock)
{
    /// <summary>Copies a table to the device.</summary>
    public Tensor Upload<T>(ReadOnlySpan<T> items)
        where T : unmanaged
    {
        var bytes = System.Runtime.InteropServices.MemoryMarshal.AsBytes(items);
        var memory = empty(bytes.Length, ScalarType.Byte, Device);
        Launcher.Upload(Interop.TensorMemory.Address(memory), bytes);
        return memory;
    }
}
