namespace LocalLlm.KvCache;

/// <summary>Creates the caches that the options ask for, and says beforehand what they will hold.</summary>
internal sealed class KvCacheFactory
{
    private readonly KvCacheOptions options;

    /// <summary>Creates the factory.</summary>
    /// <exception cref="ArgumentException">Options or shape are wrong; the message lists everything.</exception>
    public KvCacheFactory(KvCacheOptions options, KvShape shape)
    {
        var errors = Errors(options).Concat(shape.Errors()).ToList();
        if (errors.Count == 0 && options.MemoryBytes is { } limit && BytesFor(options, shape, 1) is var needed && needed > limit)
        {
            errors.Add($"{nameof(KvCacheOptions.MemoryBytes)} is {limit:N0}, but the cache of one conversation holds at least {needed:N0} bytes; "
                + $"raise it, or lower {nameof(KvCacheOptions.Window)} (now {options.Window}) of a {nameof(KvCacheKind.LogQuant)} cache");
        }

        if (errors.Count > 0)
            throw new ArgumentException($"The KV cache cannot be made:{string.Concat(errors.Select(e => "\n  - " + e))}", nameof(options));
        (this.options, Shape) = (options with { }, shape);
    }

    /// <summary>What the model fixes about its caches.</summary>
    public KvShape Shape { get; }

    /// <summary>All that is wrong with the options alone, each entry naming the property; empty if nothing.</summary>
    public static IEnumerable<string> Errors(KvCacheOptions options)
    {
        if (!Enum.IsDefined(options.Kind))
            yield return $"{nameof(KvCacheOptions.Kind)} must be one of {string.Join(", ", Enum.GetNames<KvCacheKind>())}, got {options.Kind}";
        if (options.Window is not (32 or 64 or 128))
            yield return $"{nameof(KvCacheOptions.Window)} must be 32, 64 or 128, got {options.Window}";
        if (options.MemoryBytes <= 0)
            yield return $"{nameof(KvCacheOptions.MemoryBytes)} must be positive, or null for no limit, got {options.MemoryBytes}";
        if (options.RetainedConversations < 0)
            yield return $"{nameof(KvCacheOptions.RetainedConversations)} must be 0 or more, got {options.RetainedConversations}";
    }

    /// <summary>An empty cache.</summary>
    public IKvCache Create() => options.Kind == KvCacheKind.Dense ? new DenseKvCache(Shape) : new LogQuantKvCache(Shape, options.Window);

    /// <summary>Bytes that a cache of <paramref name="tokens"/> tokens holds, however they were appended.</summary>
    public long BytesFor(int tokens) => BytesFor(options, Shape, tokens);

    /// <summary>Bytes that <paramref name="tokens"/> tokens hold in an uncompressed fp16 cache.</summary>
    public long BytesForFp16(int tokens) => Shape.TokenBytesFp16 * tokens;

    private static long BytesFor(KvCacheOptions options, KvShape shape, int tokens) => options.Kind == KvCacheKind.Dense
        ? DenseKvCache.BytesFor(shape, tokens)
        : LogQuantKvCache.BytesFor(shape, options.Window, tokens);
}
