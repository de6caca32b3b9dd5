using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>
/// The values of a cache's sparse rows as codes: for each layer the values' section of a page of P tokens, rewritten at every compaction.
/// </summary>
internal sealed class PackedValues : IDisposable
{
    private readonly Tensor[] codes;
    private readonly Tensor[] scales;

    /// <summary>Allocates; the content is undefined until written.</summary>
    public PackedValues(PageFormat format, KvShape shape)
        : this(
            [.. format.Layouts.Select(l => empty([shape.KvHeads, l.ValueCodeBytes], ScalarType.Byte, shape.Device))],
            [.. format.Layouts.Select(l => empty([shape.KvHeads, l.ValueScaleCount], PageTensors.ScaleType(l), shape.Device))])
    {
    }

    private PackedValues(Tensor[] codes, Tensor[] scales)
    {
        (this.codes, this.scales) = (codes, scales);
        foreach (var tensor in Tensors)
            tensor.DetachFromDisposeScope();
    }

    /// <summary>Per layer [Hkv, ValueCodeBytes] uint8.</summary>
    public IReadOnlyList<Tensor> Codes => codes;

    /// <summary>Per layer [Hkv, ValueScaleCount] of <see cref="PageTensors.ScaleType"/>.</summary>
    public IReadOnlyList<Tensor> Scales => scales;

    /// <summary>All tensors.</summary>
    public IEnumerable<Tensor> Tensors => [.. codes, .. scales];

    /// <summary>Takes over what others hold.</summary>
    public void CopyFrom(PackedValues other)
    {
        foreach (var (tensor, source) in Tensors.Zip(other.Tensors))
            tensor.copy_(source);
    }

    /// <summary>Frees the memory.</summary>
    public void Dispose()
    {
        foreach (var tensor in Tensors)
            tensor.Dispose();
    }
}
