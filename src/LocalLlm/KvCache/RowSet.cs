using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>The full-precision rows of one paged cache, as many as its policy can ever want, with the values that it holds as codes.</summary>
internal sealed class RowSet : KvUnit
{
    private readonly Tensor keys;
    private readonly Tensor values;
    private readonly PackedValues? packed;

    /// <summary>Allocates; the content is undefined until written.</summary>
    public RowSet(KvShape shape, int keyRows, int valueRows, PageFormat? packedFormat)
    {
        keys = Rows(keyRows);
        values = Rows(valueRows);
        packed = packedFormat is null ? null : new PackedValues(packedFormat, shape);

        Tensor Rows(int count) => empty([shape.Layers, shape.KvHeads, count, shape.HeadDim], shape.Type, shape.Device).DetachFromDisposeScope();
    }

    /// <summary>[L, Hkv, ReservedRows, D].</summary>
    public Tensor Keys => keys;

    /// <summary>[L, Hkv, ValueRows, D].</summary>
    public Tensor Values => values;

    /// <summary>The values held as codes; null where the policy packs none.</summary>
    public PackedValues? Packed => packed;

    /// <summary>Takes over what another set of the same kind holds.</summary>
    public void CopyFrom(RowSet other)
    {
        keys.copy_(other.keys);
        values.copy_(other.values);
        packed?.CopyFrom(other.packed!);
    }

    /// <inheritdoc/>
    public override void Free()
    {
        keys.Dispose();
        values.Dispose();
        packed?.Dispose();
    }
}
