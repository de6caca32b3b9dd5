using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>The keys and values of one layer of a dense cache.</summary>
/// <param name="keys">[Hkv, capacity, D].</param>
/// <param name="values">[Hkv, capacity, D].</param>
internal sealed class DenseRows(Tensor keys, Tensor values) : KvUnit
{
    /// <summary>[Hkv, capacity, D].</summary>
    public Tensor Keys => keys;

    /// <summary>[Hkv, capacity, D].</summary>
    public Tensor Values => values;

    /// <summary>Tokens that there is room for.</summary>
    public int CapacityTokens => (int)keys.size(1);

    /// <inheritdoc/>
    public override void Free()
    {
        keys.Dispose();
        values.Dispose();
    }
}

/// <summary>What dense caches of one shape take from a pool: for each layer rows of a capacity.</summary>
/// <param name="pool">Whose memory it is.</param>
/// <param name="shape">What the model fixes.</param>
internal sealed class DenseMemory(KvPool pool, KvShape shape)
{
    private const int SmallestCapacityTokens = 128;

    private readonly Dictionary<int, KvUnitKind<DenseRows>> kinds = [];

    /// <summary>Whose memory it is.</summary>
    public KvPool Pool => pool;

    /// <summary>Bytes of one layer's rows with room for <paramref name="capacity"/> tokens.</summary>
    public long LayerBytes(int capacity) => shape.TokenBytes / shape.Layers * capacity;

    /// <summary>Rows of one layer with room for <paramref name="capacity"/> tokens, their content undefined.</summary>
    public DenseRows Take(int capacity)
    {
        if (!kinds.TryGetValue(capacity, out var kind))
            kinds.Add(capacity, kind = new($"a layer's {capacity:N0} tokens", LayerBytes(capacity), () => new DenseRows(Rows(), Rows())));
        return pool.Take(kind);

        Tensor Rows() => empty([shape.KvHeads, capacity, shape.HeadDim], shape.Type, shape.Device).DetachFromDisposeScope();
    }

    /// <summary>The first <paramref name="length"/> tokens of other rows in rows of their own.</summary>
    public DenseRows CopyOf(DenseRows rows, int length, int capacity)
    {
        var copy = Take(capacity);
        using var scope = NewDisposeScope();
        copy.Keys.narrow(1, 0, length).copy_(rows.Keys.narrow(1, 0, length));
        copy.Values.narrow(1, 0, length).copy_(rows.Values.narrow(1, 0, length));
        return copy;
    }

    /// <summary>128, 192, 256, 384, 512, 768, …: at most half is unused, and the bytes are a function of the length alone.</summary>
    public static int CapacityTokens(int tokens)
    {
        if (tokens == 0)
            return 0;
        var octave = SmallestCapacityTokens;
        while (octave < tokens)
            octave *= 2;
        return octave > SmallestCapacityTokens && octave / 4 * 3 >= tokens ? octave / 4 * 3 : octave;
    }

    /// <summary>The largest capacity that is too small for <paramref name="tokens"/>; 0 if there is none.</summary>
    public static int CapacityBefore(int tokens)
    {
        var capacity = CapacityTokens(tokens);
        if (capacity <= SmallestCapacityTokens)
            return 0;
        return int.IsPow2(capacity) ? Math.Max(SmallestCapacityTokens, capacity / 4 * 3) : capacity / 3 * 2;
    }

    /// <summary>
    /// Bytes that must be free to go from one capacity to another, layer by layer: the last layer's rows are held twice while they are copied.
    /// </summary>
    public long ResizeBytes(int from, int to) => from == to ? 0 : Math.Max(0, (shape.Layers * (LayerBytes(to) - LayerBytes(from))) + LayerBytes(from));
}
