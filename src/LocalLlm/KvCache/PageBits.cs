namespace LocalLlm.KvCache;

/// <summary>The bits of one layer's pages.</summary>
/// <param name="Key">Bits of a key's number.</param>
/// <param name="SlowKey">Bits of a key's number in slow channels, at least <paramref name="Key"/>.</param>
/// <param name="Value">Bits of a value's number.</param>
internal readonly record struct PageBits(int Key, int SlowKey, int Value)
{
    /// <summary>The bits where neither the options nor the model folder name any.</summary>
    public static readonly PageBits Default = new(2, 3, 2);

    /// <summary>The bits of a layer that is not one of the <see cref="KvCacheOptions.BoundaryLayers"/>.</summary>
    /// <param name="options">The options.</param>
    /// <param name="shape">The model's.</param>
    /// <param name="layer">The layer, from 0.</param>
    public static PageBits Of(KvCacheOptions options, KvShape shape, int layer)
    {
        return shape.Bits is { } tuned && IsTuned(options)
            ? new PageBits(tuned.KeyBits[layer], Math.Max(tuned.KeyBits[layer], tuned.SlowKeyBits[layer]), tuned.ValueBits[layer])
            : Of(options);
    }

    /// <summary>The bits of a layer of a model whose folder names none.</summary>
    public static PageBits Of(KvCacheOptions options)
    {
        var key = options.KeyBits ?? Default.Key;
        return new PageBits(key, Math.Max(key, options.SlowKeyBits ?? Default.SlowKey), options.ValueBits ?? Default.Value);
    }

    /// <summary>True where the model folder's bits are taken if it has any.</summary>
    public static bool IsTuned(KvCacheOptions options) => (options.KeyBits, options.SlowKeyBits, options.ValueBits) is (null, null, null);

    /// <inheritdoc/>
    public override string ToString() => $"{Key}/{SlowKey}/{Value}";
}
