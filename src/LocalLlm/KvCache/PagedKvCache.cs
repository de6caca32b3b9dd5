using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache.Policies;
using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>
/// A cache of immutable pages and full-precision rows; a <see cref="ResidencyPolicy"/> says which token is where. Each token is quantised
/// once, from its full-precision value. Rows lie in the order of the policy's list; the most there can be are reserved for each layer.
/// </summary>
internal sealed class PagedKvCache : ISavableKvCache
{
    private readonly KvShape shape;
    private readonly PageFormat format;
    private readonly ICacheOperations operations;
    private readonly ResidencyPolicy emptyPolicy;
    private readonly PagedMemory memory;
    private readonly RowSet rowSet;
    private readonly Tensor keys;   // [L, Hkv, ReservedRows, D]
    private readonly Tensor values; // [L, Hkv, ValueRows, D]
    private readonly PackedValues? packedValues;
    private readonly List<PageBlock> blocks; // those with pages, then those reserved for pages to come
    private readonly int[] layerLengths;
    private readonly RowPositionMemory rowPositions;
    private ResidencyPolicy policy;
    private int lastPromptEnd; // the last that moved rows; shorter lengths had other rows
    private int startedPages; // pages with positions; a layer has written those of its length
    private bool isDisposed;

    /// <summary>Creates an empty cache.</summary>
    /// <param name="shape">What the model fixes.</param>
    /// <param name="policy">Which token is where.</param>
    /// <param name="format">The pages' layouts, of the policy's page length; one for each layer.</param>
    /// <param name="operations">What is done to the tensors; null for torch operations.</param>
    /// <param name="memory">Where the memory comes from, for this shape, policy and format; null for a pool of its own without a limit.</param>
    /// <exception cref="ArgumentException">The format does not fit the shape or the policy.</exception>
    /// <exception cref="KvMemoryException">The pool has no room for the rows.</exception>
    public PagedKvCache(KvShape shape, ResidencyPolicy policy, PageFormat format, ICacheOperations? operations = null, PagedMemory? memory = null)
    {
        if (format.Layouts.Count != shape.Layers || format.Layouts[0].HeadDim != shape.HeadDim || format.Tokens != policy.PageTokens)
        {
            throw new ArgumentException($"The pages are for {format.Layouts.Count} layers, {format.Tokens} tokens of {format.Layouts[0].HeadDim} "
                + $"channels; the cache has {shape.Layers} layers, pages of {policy.PageTokens} tokens, {shape.HeadDim} channels.", nameof(format));
        }

        (this.shape, this.policy, emptyPolicy, this.format) = (shape, policy, policy, format);
        this.operations = operations ?? new TorchCacheOperations();
        this.memory = memory ?? new PagedMemory(new KvPool(), shape, policy, format);
        rowSet = this.memory.TakeRows();
        (keys, values, packedValues) = (rowSet.Keys, rowSet.Values, rowSet.Packed);
        blocks = [];
        rowPositions = new RowPositionMemory(shape.Device);
        layerLengths = new int[shape.Layers];
    }

    // A fork.
    private PagedKvCache(PagedKvCache other, int length)
    {
        (shape, format, operations, emptyPolicy, policy) = (other.shape, other.format, other.operations, other.emptyPolicy, other.policy);
        memory = other.memory;
        rowSet = memory.CopyOf(other.rowSet);
        (keys, values, packedValues) = (rowSet.Keys, rowSet.Values, rowSet.Packed);
        blocks = other.blocks[..Blocks(other.startedPages)];
        foreach (var block in blocks)
            block.AddOwner();
        rowPositions = new RowPositionMemory(shape.Device);
        (Length, lastPromptEnd, startedPages) = (length, other.lastPromptEnd, other.startedPages);
        layerLengths = new int[shape.Layers];
        Array.Fill(layerLengths, length);
    }

    /// <inheritdoc/>
    public int Length { get; private set; }

    /// <inheritdoc/>
    public IEnumerable<KvUnit> Units
    {
        get
        {
            ObjectDisposedException.ThrowIf(isDisposed, this);
            return [rowSet, .. blocks];
        }
    }

    /// <summary>
    /// Bytes that a cache of <paramref name="tokens"/> tokens holds, however they were appended and wherever prompts ended: the most
    /// where that matters.
    /// </summary>
    public static long BytesFor(KvShape shape, ResidencyPolicy policy, PageFormat format, int tokens) =>
        PagedMemory.RowBytes(shape, policy, format) + (Blocks(policy.MostPagesAt(tokens)) * PageBlock.BytesFor(format, shape));

    /// <summary>Reads what <see cref="Save"/> wrote into this cache, which is empty.</summary>
    /// <exception cref="InvalidDataException">The data are no cache of this shape, policy and format, and of this length; the cache is to be disposed of.</exception>
    public void Load(CacheReader reader, int length)
    {
        if (Length != 0)
            throw new InvalidOperationException($"The cache holds {Length} tokens already.");
        using var scope = NewDisposeScope();
        reader.ReadNumber("length", length, length);
        lastPromptEnd = reader.ReadNumber("last prompt end", 0, length);
        policy = emptyPolicy.WithEvictedAtPromptEnd(reader.ReadNumber("tokens that left at a prompt's end", 0, length));
        ForEachPart(length, part => reader.Read(part));
        Length = length;
        Array.Fill(layerLengths, length);
    }

    /// <inheritdoc/>
    public void Save(CacheWriter writer)
    {
        RequireWholeSteps();
        using var scope = NewDisposeScope();
        writer.Write(Length);
        writer.Write(lastPromptEnd);
        writer.Write(policy.EvictedAtPromptEnd);
        ForEachPart(Length, part => writer.Write(part));
    }

    /// <inheritdoc/>
    public long GrowthBytes(int length)
    {
        RequireWholeSteps();
        return GrowthBytes(length, isForked: false);
    }

    /// <inheritdoc/>
    public void Reserve(int length)
    {
        RequireWholeSteps();
        var pages = policy.MostPagesAt(length);
        if (WritesTo(startedPages, pages) && blocks[startedPages / PageBlock.Pages].IsShared)
            OwnBlock(startedPages / PageBlock.Pages);
        while (blocks.Count < Blocks(pages))
            blocks.Add(memory.TakeBlock());
    }

    /// <inheritdoc/>
    public long ForkBytes(int length, int grownTo)
    {
        RequireWholeSteps();
        return memory.RowSetBytes + (length == 0 ? Blocks(emptyPolicy.MostPagesAt(grownTo)) * memory.BlockBytes : GrowthBytes(grownTo, isForked: true));
    }

    /// <inheritdoc/>
    public AppendPlan PlanAppend(int count)
    {
        RequireWholeSteps();
        return policy.Plan(Length, count);
    }

    /// <inheritdoc/>
    public KvView View(int layer)
    {
        ObjectDisposedException.ThrowIf(isDisposed, this);
        var length = layerLengths[layer];
        var pages = new List<KvPages>();
        for (var left = policy.PagesAt(length); left > 0; left -= PageBlock.Pages)
        {
            var block = blocks[pages.Count];
            var count = Math.Min(left, PageBlock.Pages);
            var (codes, scales) = (block.Codes[layer].narrow(0, 0, count), block.Scales[layer].narrow(0, 0, count));
            pages.Add(new KvPages(format[layer], codes, scales, block.Positions.narrow(0, 0, count)));
        }

        // Views of their own, so that disposing of them or of the scope leaves the cache's tensors alone.
        var packed = packedValues is not null && policy.PackedValueRowsAt(length) > 0
            ? new KvPackedValues(format[layer], policy.SinkTokens, packedValues.Codes[layer].alias(), packedValues.Scales[layer].alias())
            : null;
        var (rowKeys, rowValues) = (keys[layer].narrow(1, 0, policy.RowsAt(length)), values[layer].narrow(1, 0, policy.ValueRowsAt(length)));
        return new KvView(pages, rowKeys, rowValues, policy.RowPositionsAt(length), packed);
    }

    /// <inheritdoc/>
    public PageLayout? AddRuns(int layer, bool withPositions, List<KvRun> runs)
    {
        ObjectDisposedException.ThrowIf(isDisposed, this);
        var (length, layout) = (layerLengths[layer], format[layer]);
        var pages = policy.PagesAt(length);
        for (var (block, left) = (0, pages); left > 0; block++, left -= PageBlock.Pages)
            runs.Add(KvRuns.OfPages(layout, blocks[block], layer, Math.Min(left, PageBlock.Pages), withPositions));

        var (keyRows, valueRows) = (NumberTypes.LayerRows(keys, layer), NumberTypes.LayerRows(values, layer));
        var positions = withPositions ? rowPositions.Of(policy, length) : 0;
        var (rows, packed) = (policy.RowsAt(length), policy.PackedValueRowsAt(length));
        if (packed == 0)
        {
            Add(0, rows, NumberTypes.Source(valueRows));
            return pages > 0 ? layout : null;
        }

        Add(0, policy.SinkTokens, NumberTypes.Source(valueRows));
        Add(policy.SinkTokens, packed, KvRuns.OfPackedValues(layout, packedValues!, layer));
        Add(policy.SinkTokens + packed, rows - policy.SinkTokens - packed, NumberTypes.Source(valueRows, policy.SinkTokens));
        return layout;

        void Add(int first, int count, KvSource source)
        {
            if (count == 0)
                return;
            runs.Add(new KvRun
            {
                TileTokens = source.IsPacked ? layout.Tokens : AttentionKernel.RowTileTokens,
                Tokens = count,
                Keys = NumberTypes.Source(keyRows, first),
                Values = source,
                Positions = positions == 0 ? 0 : positions + (first * sizeof(int)),
            });
        }
    }

    /// <inheritdoc/>
    public void Append(int layer, Tensor k, Tensor v, AppendPlan plan, int segment)
    {
        ObjectDisposedException.ThrowIf(isDisposed, this);
        AppendCheck.Require(shape, layer, k, v, plan, segment, layerLengths[layer]);
        operations.RequireFinite(layer, layerLengths[layer], k, v);

        var length = layerLengths[layer];
        var count = plan.Segments[segment].Count;
        var end = length + count;
        var packs = policy.PackedValueRowsAt(end) > policy.PackedValueRowsAt(length);
        var compacts = policy.EvictedAt(end) > policy.EvictedAt(length);

        // Only a segment's last token finds rows full: those before it still fill the reserve.
        var filling = packs || compacts ? count - 1 : count;
        operations.WriteRows(keys, layer, policy.RowsAt(length), k, 0, filling);
        operations.WriteRows(values, layer, policy.ValueRowsAt(length), v, 0, filling);
        if (packs)
        {
            operations.PackValues(format[layer], layer, values, policy.SinkTokens, packedValues!);
            operations.RemoveRows(values, layer, new RowPattern(policy.SinkTokens, 1, policy.PackedValueRows), policy.ValueRows);
        }

        if (compacts)
            Evict(layer, policy.EvictedRows, policy.PagesAt(length), policy.ReservedRows, policy.ValueRows);
        operations.WriteRows(keys, layer, policy.RowsAt(end) - 1, k, filling, count - filling);
        operations.WriteRows(values, layer, policy.ValueRowsAt(end) - 1, v, filling, count - filling);
        layerLengths[layer] = end;
    }

    /// <inheritdoc/>
    public void Commit(AppendPlan plan)
    {
        AppendCheck.RequireAllAppended(plan, Length, layerLengths);
        Length += plan.Count;
    }

    /// <inheritdoc/>
    public void EndPrompt()
    {
        RequireWholeSteps();
        var next = policy.AtPromptEnd(Length);
        var evicted = next.EvictedAt(Length) - policy.EvictedAt(Length);
        if (evicted > 0)
        {
            var rows = policy.RowsAt(Length);
            for (var layer = 0; layer < shape.Layers; layer++)
                Evict(layer, new RowPattern(policy.SinkTokens, 1, evicted), policy.PagesAt(Length), rows, rows);
            lastPromptEnd = Length;
            operations.RequireWritten();
        }

        policy = next;
    }

    /// <inheritdoc/>
    public IKvCache Fork(int length)
    {
        RequireWholeSteps();
        RequireTruncatable(length);
        return length == 0 ? new PagedKvCache(shape, emptyPolicy, format, operations, memory) : new PagedKvCache(this, length);
    }

    /// <inheritdoc/>
    public bool CanTruncate(int length) => length == 0 || (length >= lastPromptEnd && length > 0 && length <= Length
        && policy.EvictedAt(length) == policy.EvictedAt(Length) && policy.PackedValueRowsAt(length) == policy.PackedValueRowsAt(Length));

    /// <inheritdoc/>
    public void Truncate(int length)
    {
        RequireWholeSteps();
        RequireTruncatable(length);
        if (length == 0)
        {
            ReleaseBlocks();
            (policy, lastPromptEnd, startedPages) = (emptyPolicy, 0, 0);
        }

        Length = length;
        Array.Fill(layerLengths, length);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (isDisposed)
            return;
        isDisposed = true;
        rowPositions.Dispose();
        rowSet.Release();
        ReleaseBlocks();
    }

    // Moves rows to pages from firstPage on, or drops them. Where sparse values are codes, the same number of values leaves full
    // precision, from the oldest on.
    private void Evict(int layer, RowPattern evicted, int firstPage, int rows, int valueRows)
    {
        if (policy.KeepsEvicted)
        {
            for (var (page, row) = (firstPage, 0); row < evicted.Count;)
            {
                var pages = packedValues is null
                    ? Math.Min((evicted.Count - row) / policy.PageTokens, PageBlock.Pages - (page % PageBlock.Pages)) // the rest of the block
                    : 1;
                WritePages(layer, page, pages, evicted.Part(row, pages * policy.PageTokens));
                (page, row) = (page + pages, row + (pages * policy.PageTokens));
            }
        }

        operations.RemoveRows(keys, layer, evicted, rows);
        operations.RemoveRows(values, layer, packedValues is null ? evicted : new RowPattern(policy.SinkTokens, 1, evicted.Count), valueRows);
    }

    private void WritePages(int layer, int page, int count, RowPattern evicted)
    {
        while (startedPages < page + count)
            StartPage();
        var (block, slot) = (blocks[page / PageBlock.Pages], page % PageBlock.Pages);
        if (packedValues is null)
            operations.WritePages(format[layer], layer, keys, values, evicted, block, slot);
        else
            operations.WritePageFromPacked(format[layer], layer, keys, evicted, packedValues, values, policy.SinkTokens, block, slot);
    }

    // The first layer that reaches a page makes room for it in all layers, unless it was reserved.
    private void StartPage()
    {
        var (block, slot) = (startedPages / PageBlock.Pages, startedPages % PageBlock.Pages);
        if (block == blocks.Count)
            blocks.Add(memory.TakeBlock());
        else if (blocks[block].IsShared)
            OwnBlock(block);

        using var scope = NewDisposeScope();
        blocks[block].Positions[slot].copy_(tensor(policy.PagePositions(startedPages)), nonBlocking: true);
        startedPages++;
    }

    private void OwnBlock(int block)
    {
        var own = memory.CopyOf(blocks[block]);
        blocks[block].Release();
        blocks[block] = own;
    }

    private static int Blocks(int pages) => (pages + PageBlock.Pages - 1) / PageBlock.Pages;

    // True if growing to so many pages writes to a block that holds pages already.
    private static bool WritesTo(int startedPages, int pages) => pages > startedPages && startedPages % PageBlock.Pages != 0;

    private long GrowthBytes(int length, bool isForked)
    {
        var pages = policy.MostPagesAt(length);
        var held = isForked ? Blocks(startedPages) : blocks.Count;
        var copies = WritesTo(startedPages, pages) && (isForked || blocks[startedPages / PageBlock.Pages].IsShared) ? 1 : 0;
        return (copies + Math.Max(0, Blocks(pages) - held)) * memory.BlockBytes;
    }

    private void RequireTruncatable(int length)
    {
        if (!CanTruncate(length))
        {
            throw new InvalidOperationException($"A cache of {Length} tokens, {policy.RowsAt(Length)} of them rows, cannot be truncated to {length}: "
                + (length < 0 || length > Length
                    ? "it has no such length."
                    : "tokens that were rows then are in a page now or gone. Fork at that length instead."));
        }
    }

    // All that a cache of this length holds: rows, packed values, then the pages, block by block. Blocks that are not there are made.
    private void ForEachPart(int length, Action<Tensor> use)
    {
        for (var layer = 0; layer < shape.Layers; layer++)
        {
            use(keys[layer].narrow(1, 0, policy.RowsAt(length)));
            use(values[layer].narrow(1, 0, policy.ValueRowsAt(length)));
            if (policy.PackedValueRowsAt(length) > 0)
            {
                use(packedValues!.Codes[layer]);
                use(packedValues.Scales[layer]);
            }
        }

        while (startedPages < policy.PagesAt(length))
            StartPage();
        for (var (block, left) = (0, policy.PagesAt(length)); left > 0; block++, left -= PageBlock.Pages)
        {
            foreach (var pages in blocks[block].Codes.Concat(blocks[block].Scales))
                use(pages.narrow(0, 0, Math.Min(left, PageBlock.Pages)));
        }
    }

    private void ReleaseBlocks()
    {
        foreach (var block in blocks)
            block.Release();
        blocks.Clear();
    }

    private void RequireWholeSteps()
    {
        ObjectDisposedException.ThrowIf(isDisposed, this);
        AppendCheck.RequireWholeSteps(Length, layerLengths);
    }
}
