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

    /// <summary>The memory of a layer of rows [L, Hkv, reserved, D]; a row is a token.</summary>
    public static TokenRows LayerRows(Tensor rows, int layer)
    {
        var bytes = (nint)rows.ElementSize;
        return new TokenRows(
            TensorMemory.Address(rows) + (layer * (nint)rows.stride(0) * bytes), (nint)rows.stride(2) * bytes, (nint)rows.stride(1) * bytes,
            (int)rows.size(1), (int)rows.size(3), Of(rows.dtype));
    }

    /// <summary>The memory of rows [Hkv, capacity, D]; a row is a token.</summary>
    public static TokenRows HeadRows(Tensor rows)
    {
        var bytes = (nint)rows.ElementSize;
        return new TokenRows(
            TensorMemory.Address(rows), (nint)rows.stride(1) * bytes, (nint)rows.stride(0) * bytes, (int)rows.size(0), (int)rows.size(2), Of(rows.dtype));
    }

    /// <summary>Rows from <paramref name="token"/> on as a source of a run.</summary>
    public static KvSource Source(in TokenRows rows, int token = 0) =>
        new() { Data = rows.At(token, 0), Type = rows.Type, HeadBytes = rows.HeadBytes, StepBytes = rows.TokenBytes };
}
