using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>Tensors as the CPU kernels see them.</summary>
internal static class NumberTypes
{
    /// <summary>The type of numbers of a scalar type.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Kernels do not read it.</exception>
    public static NumberType Of(ScalarType type) => type switch
    {
        ScalarType.Float32 => NumberType.Float32,
        ScalarType.BFloat16 => NumberType.BFloat16,
        ScalarType.Float16 => NumberType.Float16,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Kernels read float32, bfloat16 and float16."),
    };

    /// <summary>The memory of a tensor [n, heads, D] whose channels lie together.</summary>
    public static TokenRows TokenRows(Tensor tensor)
    {
        var type = Of(tensor.dtype);
        var bytes = (nint)tensor.ElementSize;
        return new TokenRows(
            TensorMemory.Address(tensor), (nint)tensor.stride(0) * bytes, (nint)tensor.stride(1) * bytes, (int)tensor.size(1), (int)tensor.size(2), type);
    }
}
