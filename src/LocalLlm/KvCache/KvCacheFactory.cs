using System.Globalization;
using LocalLlm.KvCache.Policies;
using LocalLlm.Quantization;

namespace LocalLlm.KvCache;

/// <summary>Creates the caches that the options ask for, and says beforehand what they will hold.</summary>
internal sealed class KvCacheFactory
{
    private readonly KvCacheOptions options;
    private readonly ResidencyPolicy? policy; // null for a dense cache
    private readonly PageFormat? format;
    private readonly PagedMemory? pagedMemory;
    private readonly DenseMemory? denseMemory;

    /// <summary>Creates the factory.</summary>
    /// <param name="options">The options; later changes to them have no effect.</param>
    /// <param name="shape">What the model fixes.</param>
    /// <param name="useKernels">True where the CPU kernels write rows and pages, false for torch operations; the bits are the same.</param>
    /// <param name="pool">Where the caches' memory comes from, and its limit; null for a pool of its own without one.</param>
    /// <param name="queue">Where the CUDA kernels write rows and pages; null for the others.</param>
    /// <exception cref="ArgumentException">Options or shape are wrong, or the pool has no room for one cache; the message lists everything.</exception>
    public KvCacheFactory(KvCacheOptions options, KvShape shape, bool useKernels = false, KvPool? pool = null, CudaQueue? queue = null)
    {
        var errors = KvCacheOptionsCheck.Errors(options).Concat(shape.Errors()).ToList();
        if (shape.Layers >= 1 && options.BoundaryLayers > shape.Layers / 2)
        {
            errors.Add($"{nameof(KvCacheOptions.BoundaryLayers)} must be 0 to {shape.Layers / 2} for a model of {shape.Layers} layers, "
                + $"got {options.BoundaryLayers}");
        }

        (this.options, Shape) = (options with { }, shape);
        Operations = queue is not null ? new CudaCacheOperations(queue, options.ClipSearch)
            : useKernels ? new CpuCacheOperations(options.ClipSearch) : new TorchCacheOperations(options.ClipSearch);
        if (errors.Count == 0)
        {
            policy = Policy(options);
            format = policy is null ? null : new PageFormat(options, shape, policy.PageTokens);
            var limit = pool?.LimitBytes ?? options.MemoryBytes?.Bytes;
            if (PeakBytesFor(1) is var needed && needed > limit)
            {
                errors.Add($"{nameof(KvCacheOptions.MemoryBytes)} is {limit:N0}{(options.MemoryBytes is { Share: not null } share ? $" ({share})" : "")}, but the cache of one conversation holds at least "
                    + $"{needed:N0} bytes; raise it, or lower {nameof(KvCacheOptions.Window)} (now {options.Window}) of a cache with pages");
            }
        }

        if (errors.Count > 0)
            throw new ArgumentException($"The KV cache cannot be made:{string.Concat(errors.Select(e => "\n  - " + e))}", nameof(options));
        pool ??= new KvPool();
        denseMemory = policy is null ? new DenseMemory(pool, shape) : null;
        pagedMemory = policy is null ? null : new PagedMemory(pool, shape, policy, format!);
    }

    /// <summary>What the model fixes about its caches.</summary>
    public KvShape Shape { get; }

    /// <summary>What its caches do to their tensors.</summary>
    public ICacheOperations Operations { get; }

    /// <summary>
    /// Bits of a number of an old token, scales not counted; the more where keys and values differ, those of most layers where layers differ, slow channels and boundary
    /// layers left out.
    /// </summary>
    public int KvBits => policy is { KeepsEvicted: true }
        ? LayerBits.Select(b => Math.Max(b.Key, b.Value)).CountBy(bits => bits).MaxBy(count => count.Value).Key
        : 8 * Shape.ElementBytes;

    /// <summary>True where each layer has the bits that the model folder names.</summary>
    public bool IsTuned => policy is { KeepsEvicted: true } && Shape.Bits is not null && PageBits.IsTuned(options);

    /// <summary>All that a saved cache depends on, but for the model: caches of factories with the same text can be read by each other.</summary>
    public string Fingerprint => string.Create(CultureInfo.InvariantCulture,
        $"{options.Kind}, window {options.Window}, sinks {options.SinkTokens}, page {policy?.PageTokens}, bits {string.Join(' ', LayerBits)}, ")
        + string.Create(CultureInfo.InvariantCulture, $"scales {options.Scales}, clip search {options.ClipSearch}, boundary {options.BoundaryLayers}: {options.BoundaryKeyBits}/")
        + string.Create(CultureInfo.InvariantCulture, $"{options.BoundaryValueBits}, shape {Shape.Layers}/{Shape.KvHeads}/{Shape.HeadDim} {Shape.Type}");

    private IEnumerable<PageBits> LayerBits => Enumerable.Range(0, Shape.Layers).Select(layer => PageBits.Of(options, Shape, layer));

    /// <summary>An empty cache.</summary>
    /// <exception cref="KvMemoryException">The pool has no room for it.</exception>
    public IKvCache Create() => policy is null
        ? new DenseKvCache(Shape, denseMemory, Operations)
        : new PagedKvCache(Shape, policy, format!, Operations, pagedMemory);

    /// <summary>Reads a cache that was written by <see cref="ISavableKvCache.Save"/> under the same options and shape.</summary>
    /// <param name="data">What was written.</param>
    /// <param name="length">The tokens that the cache is known to hold.</param>
    /// <exception cref="InvalidDataException">The data are no such cache; nothing stays behind.</exception>
    /// <exception cref="KvMemoryException">The pool has less than <see cref="PeakBytesFor"/> free; nothing stays behind.</exception>
    public IKvCache Load(Stream data, int length)
    {
        var reader = new CacheReader(data);
        var cache = Create();
        try
        {
            if (cache is DenseKvCache dense)
                dense.Load(reader, length);
            else
                ((PagedKvCache)cache).Load(reader, length);
            reader.RequireEnd();
            return cache;
        }
        catch
        {
            cache.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Bytes that a cache of <paramref name="tokens"/> tokens holds, however they were appended and wherever prompts ended: the most
    /// where that matters.
    /// </summary>
    public long BytesFor(int tokens) =>
        policy is null ? DenseKvCache.BytesFor(Shape, tokens) : PagedKvCache.BytesFor(Shape, policy, format!, tokens);

    /// <summary>The most bytes that a cache alone takes at any moment on its way to <paramref name="tokens"/> tokens.</summary>
    public long PeakBytesFor(int tokens) => policy is null ? DenseKvCache.PeakBytesFor(Shape, tokens) : BytesFor(tokens);

    /// <summary>
    /// Whether a cache of so many tokens can go back to a length. Where prompts' ends are part of a cache's state it may still turn out not to.
    /// </summary>
    public bool CanTruncate(int tokens, int length) => policy is null
        || (policy.EvictedAt(length) == policy.EvictedAt(tokens) && policy.PackedValueRowsAt(length) == policy.PackedValueRowsAt(tokens));

    /// <summary>Bytes that <paramref name="tokens"/> tokens hold in an uncompressed fp16 cache.</summary>
    public long BytesForFp16(int tokens) => Shape.TokenBytesFp16 * tokens;

    /// <summary>The policy of valid options; null for a dense cache.</summary>
    public static ResidencyPolicy? Policy(KvCacheOptions options)
    {
        var (window, sinks, pageTokens) = (options.Window, options.SinkTokens, options.PageTokens ?? options.Window);
        return options.Kind switch
        {
            KvCacheKind.LogQuant => new LogQuantPolicy(window, sinks),
            KvCacheKind.PartialLogQuant => new LogQuantPolicy(window, sinks, packsSparseValues: true),
            KvCacheKind.LogEvict => new LogQuantPolicy(window, sinks, keepsEvicted: false),
            KvCacheKind.StreamingQuant => new StreamingPolicy(window, sinks, pageTokens),
            KvCacheKind.StreamingLlm => new StreamingPolicy(window, sinks, window, keepsEvicted: false),
            KvCacheKind.Kivi => new KiviPolicy(window, sinks, pageTokens),
            KvCacheKind.HuggingFaceKivi => new HuggingFaceKiviPolicy(window, sinks, pageTokens),
            _ => null,
        };
    }
}
