using LocalLlm.Interop;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>
/// Storage of up to <see cref="Pages"/> pages of all layers, shared by forks through a reference count. A page once written is never
/// changed; only a block with one owner takes further pages. Owned by the engine thread.
/// </summary>
internal sealed class PageBlock : KvUnit
{
    /// <summary>Pages of a block: few allocations, and little that is reserved and unused.</summary>
    public const int Pages = 16;

    private readonly Tensor[] codes;
    private readonly Tensor[] scales;

    /// <summary>Allocates a block; its pages' content is undefined until written.</summary>
    public PageBlock(PageFormat format, KvShape shape)
        : this(
            [.. format.Layouts.Select(l => PagesOfHeads(shape, l.CodeBytes, ScalarType.Byte))],
            [.. format.Layouts.Select(l => PagesOfHeads(shape, l.ScaleCount, PageTensors.ScaleType(l)))],
            empty([Pages, format.Tokens], ScalarType.Int32, shape.Device))
    {
    }

    private PageBlock(Tensor[] codes, Tensor[] scales, Tensor positions)
    {
        (this.codes, this.scales, Positions) = (codes, scales, positions);
        foreach (var tensor in Tensors)
            tensor.DetachFromDisposeScope();
        CodeAddresses = [.. codes.Select(TensorMemory.Address)];
        ScaleAddresses = [.. scales.Select(TensorMemory.Address)];
        PositionAddress = TensorMemory.Address(positions);
    }

    /// <summary>Per layer the memory of <see cref="Codes"/>.</summary>
    public IReadOnlyList<nint> CodeAddresses { get; }

    /// <summary>Per layer the memory of <see cref="Scales"/>.</summary>
    public IReadOnlyList<nint> ScaleAddresses { get; }

    /// <summary>The memory of <see cref="Positions"/>.</summary>
    public nint PositionAddress { get; }

    /// <summary>Per layer [Pages, Hkv, CodeBytes] uint8; in memory [Hkv, Pages, CodeBytes].</summary>
    public IReadOnlyList<Tensor> Codes => codes;

    /// <summary>Per layer [Pages, Hkv, ScaleCount] of <see cref="PageTensors.ScaleType"/>; in memory [Hkv, Pages, ScaleCount].</summary>
    public IReadOnlyList<Tensor> Scales => scales;

    /// <summary>[Pages, P] int32.</summary>
    public Tensor Positions { get; }

    /// <summary>All tensors of the block.</summary>
    public IEnumerable<Tensor> Tensors => [.. codes, .. scales, Positions];

    /// <summary>Bytes of a block.</summary>
    public static long BytesFor(PageFormat format, KvShape shape) => Pages * format.PageBytes(shape.KvHeads);

    /// <summary>Takes over what another block holds.</summary>
    public void CopyFrom(PageBlock other)
    {
        foreach (var (tensor, source) in Tensors.Zip(other.Tensors))
            tensor.copy_(source);
    }

    /// <inheritdoc/>
    public override void Free()
    {
        foreach (var tensor in Tensors)
            tensor.Dispose();
    }

    // Head by head in memory: attention reads a head's pages one behind the other, and the processor fetches ahead within a stream.
    private static Tensor PagesOfHeads(KvShape shape, int count, ScalarType type)
    {
        using var memory = empty([shape.KvHeads, Pages, count], type, shape.Device);
        return memory.transpose(0, 1);
    }
}
