using static TorchSharp.torch;

namespace LocalLlm.Loading;

/// <summary>A tensor in a safetensors file.</summary>
/// <param name="Name">Its name.</param>
/// <param name="TypeName">Its element type as the file names it: "BF16", "F16", "F32" and others.</param>
/// <param name="Shape">Its dimensions; none for a scalar.</param>
/// <param name="Offset">Where its bytes begin, counted from the end of the header.</param>
/// <param name="ByteCount">The number of its bytes.</param>
internal sealed record StoredTensor(string Name, string TypeName, IReadOnlyList<long> Shape, long Offset, long ByteCount)
{
    /// <summary>The number of elements.</summary>
    public long ElementCount => Shape.Aggregate(1L, (product, dimension) => product * dimension);

    /// <summary>The torch type of its elements; null where the type is none that weights may have.</summary>
    public ScalarType? Type => TypeName switch
    {
        "BF16" => ScalarType.BFloat16,
        "F16" => ScalarType.Float16,
        "F32" => ScalarType.Float32,
        _ => null,
    };

    /// <summary>The shape as a text: [2, 3].</summary>
    public string ShapeText => $"[{string.Join(", ", Shape)}]";
}
