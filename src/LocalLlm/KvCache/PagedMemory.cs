using LocalLlm.KvCache.Policies;

namespace LocalLlm.KvCache;

/// <summary>What paged caches of one shape, policy and format take from a pool.</summary>
internal sealed class PagedMemory
{
    private readonly KvUnitKind<RowSet> rowKind;
    private readonly KvUnitKind<PageBlock> blockKind;

    /// <summary>Describes the units; takes none.</summary>
    /// <param name="pool">Whose memory it is.</param>
    /// <param name="shape">What the model fixes.</param>
    /// <param name="policy">How many rows there can be.</param>
    /// <param name="format">The pages' layouts.</param>
    public PagedMemory(KvPool pool, KvShape shape, ResidencyPolicy policy, PageFormat format)
    {
        Pool = pool;
        var packedFormat = policy.PackedValueRows > 0 ? format : null;
        rowKind = new("rows of a conversation", RowBytes(shape, policy, format), () => new RowSet(shape, policy.ReservedRows, policy.ValueRows, packedFormat));
        blockKind = new($"{PageBlock.Pages} pages", PageBlock.BytesFor(format, shape), () => new PageBlock(format, shape));
    }

    /// <summary>Whose memory it is.</summary>
    public KvPool Pool { get; }

    /// <summary>Bytes of a cache's rows.</summary>
    public long RowSetBytes => rowKind.Bytes;

    /// <summary>Bytes of a block of pages.</summary>
    public long BlockBytes => blockKind.Bytes;

    /// <summary>Bytes of a cache's rows.</summary>
    public static long RowBytes(KvShape shape, ResidencyPolicy policy, PageFormat format) =>
        (shape.TokenBytes / 2 * (policy.ReservedRows + policy.ValueRows)) + (policy.PackedValueRows > 0 ? format.PackedValueBytes(shape.KvHeads) : 0);

    /// <summary>Rows, their content undefined.</summary>
    public RowSet TakeRows() => Pool.Take(rowKind);

    /// <summary>A block of pages, their content undefined.</summary>
    public PageBlock TakeBlock() => Pool.Take(blockKind);

    /// <summary>Rows with the content of others.</summary>
    public RowSet CopyOf(RowSet rows) => Filled(TakeRows(), copy => copy.CopyFrom(rows));

    /// <summary>A block with the content of another.</summary>
    public PageBlock CopyOf(PageBlock block) => Filled(TakeBlock(), copy => copy.CopyFrom(block));

    private static T Filled<T>(T unit, Action<T> fill)
        where T : KvUnit
    {
        try
        {
            fill(unit);
            return unit;
        }
        catch
        {
            unit.Release();
            throw;
        }
    }
}
