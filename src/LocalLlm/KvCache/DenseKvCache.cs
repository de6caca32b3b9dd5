using LocalLlm.Kernels.Cpu;
using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>Every token in full precision: the oracle of the other caches. Grows by half octaves, so an append moves a token twice on average.</summary>
internal sealed class DenseKvCache : ISavableKvCache
{
    private readonly KvShape shape;
    private readonly DenseMemory memory;
    private readonly ICacheOperations operations;
    private readonly DenseRows[] rows; // per layer, all of the same capacity between steps
    private readonly int[] layerLengths;
    private bool isDisposed;

    /// <summary>Creates an empty cache.</summary>
    /// <param name="shape">What the model fixes.</param>
    /// <param name="memory">Where the memory comes from, for this shape; null for a pool of its own without a limit.</param>
    /// <param name="operations">What is done to the tensors; null for torch operations.</param>
    public DenseKvCache(KvShape shape, DenseMemory? memory = null, ICacheOperations? operations = null)
    {
        (this.shape, this.memory) = (shape, memory ?? new DenseMemory(new KvPool(), shape));
        this.operations = operations ?? new TorchCacheOperations();
        rows = new DenseRows[shape.Layers];
        for (var layer = 0; layer < rows.Length; layer++)
            rows[layer] = this.memory.Take(0);
        layerLengths = new int[shape.Layers];
    }

    private DenseKvCache(DenseKvCache other, int length)
    {
        (shape, memory, operations, Length) = (other.shape, other.memory, other.operations, length);
        rows = new DenseRows[shape.Layers];
        layerLengths = new int[shape.Layers];
        Array.Fill(layerLengths, length);
        try
        {
            for (var layer = 0; layer < rows.Length; layer++)
                rows[layer] = memory.CopyOf(other.rows[layer], length, DenseMemory.CapacityTokens(length));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public int Length { get; private set; }

    /// <inheritdoc/>
    public IEnumerable<KvUnit> Units
    {
        get
        {
            ObjectDisposedException.ThrowIf(isDisposed, this);
            return rows;
        }
    }

    /// <summary>Bytes that a cache grown to <paramref name="tokens"/> tokens holds, however they were appended.</summary>
    public static long BytesFor(KvShape shape, int tokens) => shape.TokenBytes * DenseMemory.CapacityTokens(tokens);

    /// <summary>The most bytes that a cache takes on its way to <paramref name="tokens"/> tokens: one layer is held twice while it grows.</summary>
    public static long PeakBytesFor(KvShape shape, int tokens) =>
        BytesFor(shape, tokens) + (shape.TokenBytes / shape.Layers * DenseMemory.CapacityBefore(tokens));

    /// <summary>Reads what <see cref="Save"/> wrote into this cache, which is empty.</summary>
    /// <exception cref="InvalidDataException">The data are no cache of this shape and length; the cache is to be disposed of.</exception>
    public void Load(CacheReader reader, int length)
    {
        if (Length != 0)
            throw new InvalidOperationException($"The cache holds {Length} tokens already.");
        using var scope = NewDisposeScope();
        reader.ReadNumber("length", length, length);
        Reserve(length);
        foreach (var layer in rows)
            reader.Read(layer.Keys.narrow(1, 0, length));
        foreach (var layer in rows)
            reader.Read(layer.Values.narrow(1, 0, length));
        Length = length;
        Array.Fill(layerLengths, length);
    }

    /// <inheritdoc/>
    public void Save(CacheWriter writer)
    {
        RequireWholeSteps();
        using var scope = NewDisposeScope();
        writer.Write(Length);
        foreach (var tensor in rows.Select(r => r.Keys).Concat(rows.Select(r => r.Values)))
            writer.Write(tensor.narrow(1, 0, Length));
    }

    /// <inheritdoc/>
    public long GrowthBytes(int length)
    {
        RequireWholeSteps();
        return memory.ResizeBytes(rows[0].CapacityTokens, Math.Max(rows[0].CapacityTokens, DenseMemory.CapacityTokens(length)));
    }

    /// <inheritdoc/>
    public void Reserve(int length)
    {
        RequireWholeSteps();
        for (var layer = 0; layer < rows.Length; layer++)
            Reserve(layer, length);
    }

    /// <inheritdoc/>
    public long ForkBytes(int length, int grownTo)
    {
        RequireWholeSteps();
        var (forked, grown) = (DenseMemory.CapacityTokens(length), DenseMemory.CapacityTokens(Math.Max(length, grownTo)));
        return (shape.Layers * memory.LayerBytes(forked)) + memory.ResizeBytes(forked, grown);
    }

    /// <inheritdoc/>
    public AppendPlan PlanAppend(int count)
    {
        RequireWholeSteps();
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        return new AppendPlan(Length, count, [new AppendSegment(0, count)]);
    }

    /// <inheritdoc/>
    public KvView View(int layer)
    {
        ObjectDisposedException.ThrowIf(isDisposed, this);
        var length = layerLengths[layer];
        return new KvView([], rows[layer].Keys.narrow(1, 0, length), rows[layer].Values.narrow(1, 0, length), new RowPositions(default, 0, length));
    }

    /// <inheritdoc/>
    public PageLayout? AddRuns(int layer, bool withPositions, List<KvRun> runs)
    {
        ObjectDisposedException.ThrowIf(isDisposed, this);
        if (layerLengths[layer] > 0)
        {
            runs.Add(new KvRun
            {
                TileTokens = AttentionKernel.RowTileTokens,
                Tokens = layerLengths[layer],
                Keys = NumberTypes.Source(NumberTypes.HeadRows(rows[layer].Keys)),
                Values = NumberTypes.Source(NumberTypes.HeadRows(rows[layer].Values)),
            });
        }

        return null;
    }

    /// <inheritdoc/>
    public void Append(int layer, Tensor k, Tensor v, AppendPlan plan, int segment)
    {
        ObjectDisposedException.ThrowIf(isDisposed, this);
        AppendCheck.Require(shape, layer, k, v, plan, segment, layerLengths[layer]);
        operations.RequireFinite(layer, layerLengths[layer], k, v);

        var length = layerLengths[layer];
        var count = plan.Segments[segment].Count;
        Reserve(layer, length + count);
        using var scope = NewDisposeScope();
        operations.WriteRows(rows[layer].Keys.unsqueeze(0), 0, length, k, 0, count);
        operations.WriteRows(rows[layer].Values.unsqueeze(0), 0, length, v, 0, count);
        layerLengths[layer] = length + count;
    }

    /// <inheritdoc/>
    public void Commit(AppendPlan plan)
    {
        AppendCheck.RequireAllAppended(plan, Length, layerLengths);
        Length += plan.Count;
    }

    /// <inheritdoc/>
    public void EndPrompt() => RequireWholeSteps();

    /// <inheritdoc/>
    public IKvCache Fork(int length)
    {
        RequireWholeSteps();
        RequireTruncatable(length);
        return new DenseKvCache(this, length);
    }

    /// <inheritdoc/>
    public bool CanTruncate(int length) => length >= 0 && length <= Length;

    /// <inheritdoc/>
    public void Truncate(int length)
    {
        RequireWholeSteps();
        RequireTruncatable(length);
        // Memory is given back where there is room for the copy that it takes.
        var capacity = DenseMemory.CapacityTokens(length);
        for (var layer = 0; layer < shape.Layers && rows[layer].CapacityTokens > capacity && memory.LayerBytes(capacity) <= memory.Pool.FreeBytes; layer++)
            Resize(layer, length, capacity);
        Length = length;
        Array.Fill(layerLengths, length);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (isDisposed)
            return;
        isDisposed = true;
        foreach (var layer in rows)
            layer?.Release(); // null where a fork failed on the way
    }

    private void Reserve(int layer, int length)
    {
        if (length > rows[layer].CapacityTokens)
            Resize(layer, layerLengths[layer], DenseMemory.CapacityTokens(length));
    }

    private void Resize(int layer, int length, int capacity)
    {
        var resized = memory.CopyOf(rows[layer], length, capacity);
        rows[layer].Release();
        rows[layer] = resized;
    }

    private void RequireTruncatable(int length)
    {
        if (!CanTruncate(length))
            throw new InvalidOperationException($"A cache of {Length} tokens cannot be truncated to {length}.");
    }

    private void RequireWholeSteps()
    {
        ObjectDisposedException.ThrowIf(isDisposed, this);
        AppendCheck.RequireWholeSteps(Length, layerLengths);
    }
}
