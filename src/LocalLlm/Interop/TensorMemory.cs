using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.Interop;

/// <summary>
/// Where a tensor's numbers lie in its device's memory, for kernels over raw memory. The address is valid as long as the tensor's storage lives.
/// </summary>
internal static unsafe class TensorMemory
{
    // TorchSharp's own accessors copy, or refuse views.
    private static readonly delegate* unmanaged<nint, nint> DataPointer =
        (delegate* unmanaged<nint, nint>)NativeLibrary.GetExport(LibTorch.Bindings, "THSTensor_data");

    /// <summary>The address of a tensor's first element.</summary>
    /// <exception cref="ArgumentException">It is neither on a CPU nor on a GPU, or its last dimension's elements do not lie together.</exception>
    public static nint Address(Tensor tensor)
    {
        if (tensor.device_type is not (DeviceType.CPU or DeviceType.CUDA))
            throw new ArgumentException($"The tensor is on {tensor.device}; there are kernels for CPU and CUDA memory.", nameof(tensor));
        if (tensor.dim() > 0 && tensor.size(-1) > 1 && tensor.stride(-1) != 1)
        {
            throw new ArgumentException($"The elements of the last dimension lie {tensor.stride(-1)} apart in a tensor of shape [{string.Join(", ", tensor.shape)}]; "
                + "kernels take them one behind the other.", nameof(tensor));
        }

        var address = DataPointer(tensor.Handle);
        GC.KeepAlive(tensor);
        return address;
    }

    /// <summary>The address of a tensor whose elements all lie one behind the other.</summary>
    /// <exception cref="ArgumentException">The tensor is neither on a CPU nor on a GPU, or not contiguous.</exception>
    public static nint Contiguous(Tensor tensor) => tensor.is_contiguous()
        ? Address(tensor)
        : throw new ArgumentException($"A tensor of shape [{string.Join(", ", tensor.shape)}] is not contiguous; the kernel reads row after row. Call contiguous() first.", nameof(tensor));
}
