using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>
/// LogQuant's cache: old tokens in immutable 2-bit pages, a log-distributed set and the recent tokens as full-precision rows. Each token is
/// quantised once, from its full-precision value. Rows lie in the order of the policy's list; 3W are reserved for each layer.
/// </summary>
internal sealed class LogQuantKvCache : IKvCache
{
    private readonly KvShape shape;
    private readonly LogQuantPolicy policy;
    private readonly PageLayout layout;
    private readonly Tensor keys;   // [L, Hkv, 3W, D]
    private readonly Tensor values; // [L, Hkv, 3W, D]
    private readonly List<PageBlock> blocks;
    private readonly int[] layerLengths;
    private int reservedPages; // pages with storage; a layer has written those of its length
    private bool isDisposed;

    /// <summary>Creates an empty cache with window <paramref name="window"/>.</summary>
    public LogQuantKvCache(KvShape shape, int window)
        : this(shape, new LogQuantPolicy(window), new PageLayout(window, shape.HeadDim), NewRows(shape, window), NewRows(shape, window), [], 0)
    {
    }

    private LogQuantKvCache(
        KvShape shape, LogQuantPolicy policy, PageLayout layout, Tensor keys, Tensor values, List<PageBlock> blocks, int length)
    {
        (this.shape, this.policy, this.layout, this.blocks, Length) = (shape, policy, layout, blocks, length);
        (this.keys, this.values) = (keys.DetachFromDisposeScope(), values.DetachFromDisposeScope());
        reservedPages = policy.PagesAt(length);
        layerLengths = new int[shape.Layers];
        Array.Fill(layerLengths, length);
    }

    /// <inheritdoc/>
    public int Length { get; private set; }

    /// <inheritdoc/>
    public long Bytes
    {
        get
        {
            ObjectDisposedException.ThrowIf(isDisposed, this);
            return BytesOf(keys) + BytesOf(values) + blocks.Sum(b => BytesOf(b.Codes) + BytesOf(b.Scales) + BytesOf(b.Positions));
        }
    }

    /// <summary>Bytes that a cache of <paramref name="tokens"/> tokens holds, however they were appended.</summary>
    public static long BytesFor(KvShape shape, int window, int tokens)
    {
        var policy = new LogQuantPolicy(window);
        var blocks = (policy.PagesAt(tokens) + PageBlock.Pages - 1) / PageBlock.Pages;
        return shape.TokenBytes * policy.ReservedRows + blocks * PageBlock.BytesFor(new PageLayout(window, shape.HeadDim), shape);
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
            pages.Add(new KvPages(layout, block.Codes[layer].narrow(0, 0, count), block.Scales[layer].narrow(0, 0, count), block.Positions.narrow(0, 0, count)));
        }

        var rows = policy.RowsAt(length);
        return new KvView(pages, keys[layer].narrow(1, 0, rows), values[layer].narrow(1, 0, rows), policy.RowPositionsAt(length));
    }

    /// <inheritdoc/>
    public void Append(int layer, Tensor k, Tensor v, AppendPlan plan, int segment)
    {
        ObjectDisposedException.ThrowIf(isDisposed, this);
        AppendCheck.Require(shape, layer, k, v, plan, segment, layerLengths[layer]);
        FiniteCheck.Require(layer, layerLengths[layer], k, v);

        using var scope = NewDisposeScope();
        var length = layerLengths[layer];
        var count = plan.Segments[segment].Count;
        var rows = policy.RowsAt(length);
        var compacts = policy.PagesAt(length + count) > policy.PagesAt(length);
        var (layerKeys, layerValues) = (keys[layer], values[layer]);

        // Only a segment's last token compacts: those before it still fill the reserve.
        var filling = compacts ? count - 1 : count;
        Write(layerKeys, rows, k.narrow(0, 0, filling));
        Write(layerValues, rows, v.narrow(0, 0, filling));
        if (compacts)
        {
            var (oddKeys, oddValues) = (Compact(layerKeys), Compact(layerValues));
            WritePage(layer, policy.PagesAt(length), oddKeys, oddValues);
            Write(layerKeys, 2 * policy.Window, k.narrow(0, filling, 1));
            Write(layerValues, 2 * policy.Window, v.narrow(0, filling, 1));
        }

        layerLengths[layer] = length + count;
    }

    /// <inheritdoc/>
    public void Commit(AppendPlan plan)
    {
        AppendCheck.RequireAllAppended(plan, Length, layerLengths);
        Length += plan.Count;
    }

    /// <inheritdoc/>
    public IKvCache Fork()
    {
        RequireWholeSteps();
        return new LogQuantKvCache(shape, policy, layout, keys.clone(), values.clone(), [.. blocks.Select(b => b.Share())], Length);
    }

    /// <inheritdoc/>
    public bool CanTruncate(int length) =>
        length == 0 || (length > 0 && length <= Length && policy.PagesAt(length) == policy.PagesAt(Length));

    /// <inheritdoc/>
    public void Truncate(int length)
    {
        RequireWholeSteps();
        if (!CanTruncate(length))
        {
            throw new InvalidOperationException($"A LogQuant cache of {Length} tokens with window {policy.Window} cannot be truncated to {length}: "
                + (length < 0 || length > Length ? "it has no such length." : "tokens that were rows then are in a page now. Fork at that length instead."));
        }

        if (length == 0)
        {
            ReleaseBlocks();
            reservedPages = 0;
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
        keys.Dispose();
        values.Dispose();
        ReleaseBlocks();
    }

    private static Tensor NewRows(KvShape shape, int window) =>
        empty([shape.Layers, shape.KvHeads, 3 * window, shape.HeadDim], shape.Type, shape.Device);

    private static long BytesOf(Tensor tensor) => tensor.NumberOfElements * tensor.ElementSize;

    // rows: [Hkv, 3W, D]; fresh: [n, Hkv, D], n ≥ 0
    private static void Write(Tensor rows, int start, Tensor fresh)
    {
        if (fresh.shape[0] > 0)
            rows.narrow(1, start, fresh.shape[0]).copy_(fresh.transpose(0, 1));
    }

    // A[0:2W:2] ‖ A[2W:3W] moves to the front of rows [Hkv, 3W, D]; returns A[1:2W:2], [Hkv, W, D].
    private Tensor Compact(Tensor rows)
    {
        var window = policy.Window;
        var older = rows.narrow(1, 0, 2 * window).clone().reshape(shape.KvHeads, window, 2, shape.HeadDim);
        rows.narrow(1, 0, window).copy_(older.select(2, 0));
        rows.narrow(1, window, window).copy_(rows.narrow(1, 2 * window, window));
        return older.select(2, 1);
    }

    private void WritePage(int layer, int page, Tensor oddKeys, Tensor oddValues)
    {
        var (codes, scales) = PageTensors.Quantize(layout, oddKeys, oddValues, layer);
        if (page == reservedPages)
            ReservePage();
        var block = blocks[page / PageBlock.Pages];
        block.Codes[layer, page % PageBlock.Pages].copy_(codes);
        block.Scales[layer, page % PageBlock.Pages].copy_(scales);
    }

    // The first layer that reaches a page makes room for it in all layers.
    private void ReservePage()
    {
        var slot = reservedPages % PageBlock.Pages;
        if (slot == 0)
        {
            blocks.Add(new PageBlock(layout, shape));
        }
        else if (blocks[^1].IsShared)
        {
            var own = blocks[^1].Copy();
            blocks[^1].Release();
            blocks[^1] = own;
        }

        blocks[^1].Positions[slot].copy_(tensor(policy.PagePositions(reservedPages)));
        reservedPages++;
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
