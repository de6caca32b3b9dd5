using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>
/// Storage of up to <see cref="Pages"/> pages of all layers, shared by forks through a reference count. A page once written is never changed;
/// only a block with one owner takes further pages. Owned by the engine thread.
/// </summary>
internal sealed class PageBlock
{
    /// <summary>Pages of a block: few allocations, and little that is reserved and unused.</summary>
    public const int Pages = 16;

    private int owners = 1;

    /// <summary>Allocates a block; its pages' content is undefined until written.</summary>
    public PageBlock(PageLayout layout, KvShape shape)
        : this(
            empty([shape.Layers, Pages, shape.KvHeads, layout.CodeBytes], ScalarType.Byte, shape.Device),
            empty([shape.Layers, Pages, shape.KvHeads, layout.ScaleCount], PageTensors.ScaleType(layout), shape.Device),
            empty([Pages, layout.Tokens], ScalarType.Int32, shape.Device))
    {
    }

    private PageBlock(Tensor codes, Tensor scales, Tensor positions) =>
        (Codes, Scales, Positions) = (codes.DetachFromDisposeScope(), scales.DetachFromDisposeScope(), positions.DetachFromDisposeScope());

    /// <summary>[L, Pages, Hkv, CodeBytes] uint8.</summary>
    public Tensor Codes { get; }

    /// <summary>[L, Pages, Hkv, ScaleCount] of <see cref="PageTensors.ScaleType"/>.</summary>
    public Tensor Scales { get; }

    /// <summary>[Pages, P] int32.</summary>
    public Tensor Positions { get; }

    /// <summary>True if another cache uses this block too.</summary>
    public bool IsShared => owners > 1;

    /// <summary>Bytes of a block.</summary>
    public static long BytesFor(PageLayout layout, KvShape shape) => Pages * layout.PageBytes(shape.Layers, shape.KvHeads);

    /// <summary>Adds an owner.</summary>
    public PageBlock Share()
    {
        owners++;
        return this;
    }

    /// <summary>Removes an owner; the last one frees the memory.</summary>
    public void Release()
    {
        if (--owners > 0)
            return;
        Codes.Dispose();
        Scales.Dispose();
        Positions.Dispose();
    }

    /// <summary>A block with the same content and one owner.</summary>
    public PageBlock Copy() => new(Codes.clone(), Scales.clone(), Positions.clone());
}
