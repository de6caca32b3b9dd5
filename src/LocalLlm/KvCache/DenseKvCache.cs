using LocalLlm.Kernels.Cpu;
using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>Every token in full precision: the oracle of the other caches. Grows by half octaves, so an append moves a token twice on average.</summary>
internal sealed class DenseKvCache : ISavableKvCache
{
    private const int SmallestCapacityTokens = 128;

    private readonly KvShape shape;
    private readonly Tensor[] keys;    // per layer [Hkv, capacity, D]
    private readonly Tensor[] values;  // per layer [Hkv, capacity, D]
    private readonly int[] layerLengths;
    private bool isDisposed;

    /// <summary>Creates an empty cache.</summary>
    public DenseKvCache(KvShape shape)
        : this(shape, NewRows(shape), NewRows(shape), 0)
    {
    }

    private DenseKvCache(KvShape shape, Tensor[] keys, Tensor[] values, int length)
    {
        (this.shape, this.keys, this.values, Length) = (shape, keys, values, length);
        layerLengths = new int[shape.Layers];
        Array.Fill(layerLengths, length);
    }

    /// <inheritdoc/>
    public int Length { get; private set; }

    /// <inheritdoc/>
    public long Bytes => keys.Concat(values).Sum(t => t.NumberOfElements * t.ElementSize);

    /// <summary>Bytes that a cache grown to <paramref name="tokens"/> tokens holds, however they were appended.</summary>
    public static long BytesFor(KvShape shape, int tokens) => shape.TokenBytes * CapacityTokens(tokens);

    /// <summary>Reads what <see cref="Save"/> wrote.</summary>
    /// <exception cref="InvalidDataException">The data are no cache of this shape and length.</exception>
    public static DenseKvCache Load(KvShape shape, CacheReader reader, int length)
    {
        using var scope = NewDisposeScope();
        reader.ReadNumber("length", length, length);
        var (keys, values) = (Layers(), Layers());
        foreach (var rows in keys.Concat(values))
            reader.Read(rows.narrow(1, 0, length));
        return new DenseKvCache(shape, Detached(keys), Detached(values), length);

        Tensor[] Layers() => [.. Enumerable.Range(0, shape.Layers).Select(_ =>
            empty([shape.KvHeads, CapacityTokens(length), shape.HeadDim], shape.Type, shape.Device))];

        // Only now, so that nothing stays behind where the data are wrong.
        static Tensor[] Detached(Tensor[] tensors) => [.. tensors.Select(t => t.DetachFromDisposeScope())];
    }

    /// <inheritdoc/>
    public void Save(CacheWriter writer)
    {
        RequireWholeSteps();
        using var scope = NewDisposeScope();
        writer.Write(Length);
        foreach (var rows in keys.Concat(values))
            writer.Write(rows.narrow(1, 0, Length));
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
        return new KvView([], keys[layer].narrow(1, 0, length), values[layer].narrow(1, 0, length), new RowPositions(default, 0, length));
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
                Keys = NumberTypes.Source(NumberTypes.HeadRows(keys[layer])),
                Values = NumberTypes.Source(NumberTypes.HeadRows(values[layer])),
            });
        }

        return null;
    }

    /// <inheritdoc/>
    public void Append(int layer, Tensor k, Tensor v, AppendPlan plan, int segment)
    {
        ObjectDisposedException.ThrowIf(isDisposed, this);
        AppendCheck.Require(shape, layer, k, v, plan, segment, layerLengths[layer]);
        FiniteCheck.Require(layer, layerLengths[layer], k, v);

        var length = layerLengths[layer];
        var count = plan.Segments[segment].Count;
        keys[layer] = WithRows(keys[layer], length, k);
        values[layer] = WithRows(values[layer], length, v);
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
    public IKvCache Fork()
    {
        RequireWholeSteps();
        return new DenseKvCache(shape, Copies(keys), Copies(values), Length);

        static Tensor[] Copies(Tensor[] tensors) => [.. tensors.Select(t => t.clone().DetachFromDisposeScope())];
    }

    /// <inheritdoc/>
    public bool CanTruncate(int length) => length >= 0 && length <= Length;

    /// <inheritdoc/>
    public void Truncate(int length)
    {
        RequireWholeSteps();
        if (!CanTruncate(length))
            throw new InvalidOperationException($"A cache of {Length} tokens cannot be truncated to {length}.");
        for (var layer = 0; layer < shape.Layers; layer++)
        {
            // Memory is given back, so that Bytes stays a function of the length.
            keys[layer] = WithCapacity(keys[layer], length, CapacityTokens(length));
            values[layer] = WithCapacity(values[layer], length, CapacityTokens(length));
        }

        Length = length;
        Array.Fill(layerLengths, length);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        isDisposed = true;
        foreach (var tensor in keys.Concat(values))
            tensor.Dispose();
    }

    // 128, 192, 256, 384, 512, 768, …: at most half is unused, and the bytes are a function of the length alone.
    private static int CapacityTokens(int tokens)
    {
        if (tokens == 0)
            return 0;
        var octave = SmallestCapacityTokens;
        while (octave < tokens)
            octave *= 2;
        return octave > SmallestCapacityTokens && octave / 4 * 3 >= tokens ? octave / 4 * 3 : octave;
    }

    private static Tensor[] NewRows(KvShape shape) =>
        [.. Enumerable.Range(0, shape.Layers).Select(_ =>
            empty([shape.KvHeads, 0, shape.HeadDim], shape.Type, shape.Device).DetachFromDisposeScope())];

    // rows: [Hkv, capacity, D] of which `length` are filled; fresh: [n, Hkv, D]
    private Tensor WithRows(Tensor rows, int length, Tensor fresh)
    {
        using var scope = NewDisposeScope();
        var needed = length + (int)fresh.shape[0];
        if (needed > rows.shape[1])
            rows = WithCapacity(rows, length, CapacityTokens(needed));
        rows.narrow(1, length, fresh.shape[0]).copy_(fresh.transpose(0, 1));
        return rows;
    }

    // Takes the place of `rows`, of which the first `length` are kept.
    private Tensor WithCapacity(Tensor rows, int length, int capacity)
    {
        if (rows.shape[1] == capacity)
            return rows;
        using var scope = NewDisposeScope();
        var resized = empty([shape.KvHeads, capacity, shape.HeadDim], shape.Type, shape.Device).DetachFromDisposeScope();
        resized.narrow(1, 0, length).copy_(rows.narrow(1, 0, length));
        rows.Dispose();
        return resized;
    }

    private void RequireWholeSteps()
    {
        ObjectDisposedException.ThrowIf(isDisposed, this);
        AppendCheck.RequireWholeSteps(Length, layerLengths);
    }
}
