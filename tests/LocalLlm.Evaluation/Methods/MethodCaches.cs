using LocalLlm.KvCache;
using LocalLlm.KvCache.Policies;
using LocalLlm.Quantization;

namespace LocalLlm.Evaluation.Methods;

/// <summary>A method's caches for one model, and the bits they hold.</summary>
internal sealed class MethodCaches
{
    private readonly Method method;
    private readonly KvShape shape;
    private readonly KvCacheFactory factory;
    private readonly PageFormat? format;

    /// <summary>Checks the method's options against the model.</summary>
    /// <exception cref="ArgumentException">They do not fit.</exception>
    public MethodCaches(Method method, KvShape shape)
    {
        (this.method, this.shape) = (method, shape);
        factory = new KvCacheFactory(method.Options, shape, useKernels: true);
        var o = method.Options;
        Policy = method.ReachStep is { } step ? new LogReachPolicy(o.Window, step, o.SinkTokens) : KvCacheFactory.Policy(o);
        if (Policy is not null)
            format = new PageFormat(o, shape, Policy.PageTokens);
    }

    /// <summary>Which token is where in an empty cache; null for a dense one.</summary>
    public ResidencyPolicy? Policy { get; }

    /// <summary>An empty cache.</summary>
    public IKvCache Create()
    {
        if (method.IsReferenceCode)
            return new ReferenceLogQuantCache(shape, method.Options.Window);
        return method.ReachStep is null
            ? factory.Create()
            : new PagedKvCache(shape, Policy!, format!, new CpuCacheOperations(method.Options.ClipSearch));
    }

    /// <summary>
    /// Bits that a sequence's tokens hold: codes, scales, positions of pages, and rows at 16 bits an element. Memory reserved and not yet
    /// filled is not counted.
    /// </summary>
    public long BitsAt(int length) => BitsAt(length, Policy);

    /// <summary>Bytes that a cache of the engine reserves for so many tokens; the authors' code reserves nothing.</summary>
    public long BytesFor(int tokens) => method switch
    {
        { IsReferenceCode: true } => ReferenceLogQuantCache.BitsAt(shape, method.Options.Window, tokens) / 8,
        { ReachStep: not null } => PagedKvCache.BytesFor(shape, Policy!, format!, tokens),
        _ => factory.BytesFor(tokens),
    };

    /// <summary>Bits per element of keys and values over a run of <paramref name="tokens"/> tokens.</summary>
    /// <param name="tokens">The run's length.</param>
    /// <param name="promptEnds">Lengths at which a prompt ends, ascending; null for none.</param>
    public BitsPerElement BitsOver(int tokens, IReadOnlyList<int>? promptEnds = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(tokens, 1);
        var current = Policy;
        var (sum, peak, next) = (0.0, 0L, 0);
        for (var length = 1; length <= tokens; length++)
        {
            var bits = BitsAt(length, current);
            peak = Math.Max(peak, bits);
            if (promptEnds is not null && next < promptEnds.Count && promptEnds[next] == length)
            {
                next++;
                current = current?.AtPromptEnd(length);
                bits = BitsAt(length, current);
            }

            sum += bits;
        }

        var elements = 2.0 * shape.Layers * shape.KvHeads * shape.HeadDim;
        var average = sum / (elements * tokens * (tokens + 1.0) / 2);
        return new BitsPerElement(average, peak / (elements * tokens), BitsAt(tokens, current) / (elements * tokens));
    }

    private long BitsAt(int length, ResidencyPolicy? current)
    {
        if (method.IsReferenceCode)
            return ReferenceLogQuantCache.BitsAt(shape, method.Options.Window, length);
        var element = 16L * shape.Layers * shape.KvHeads * shape.HeadDim;
        if (current is null || format is null)
            return 2 * element * length;
        var rows = element * (current.RowsAt(length) + current.ValueRowsAt(length));
        var packed = current.PackedValueRowsAt(length) > 0 ? 8 * format.PackedValueBytes(shape.KvHeads) : 0;
        return rows + packed + (8L * current.PagesAt(length) * format.PageBytes(shape.KvHeads));
    }
}

/// <summary>Bits per element of keys and values, everything counted.</summary>
/// <param name="Average">Bits held, summed over all lengths of the run, per element of all these lengths.</param>
/// <param name="Peak">The most bits held at any length, per element of the whole run.</param>
/// <param name="Final">Bits held at the end, per element.</param>
internal readonly record struct BitsPerElement(double Average, double Peak, double Final);
