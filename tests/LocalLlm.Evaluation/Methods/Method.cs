using System.Globalization;
using LocalLlm.KvCache;
using LocalLlm.KvCache.Policies;
using LocalLlm.Quantization;

namespace LocalLlm.Evaluation.Methods;

/// <summary>What a method is to a comparison.</summary>
internal enum MethodFamily
{
    /// <summary>Every token in full precision: what the others are compared with.</summary>
    FullPrecision,

    /// <summary>Methods of others.</summary>
    Baseline,

    /// <summary>LogQuant as its authors have it.</summary>
    LogQuant,

    /// <summary>LogQuant with this engine's pages.</summary>
    Ours,

    /// <summary>This engine's LogQuant with one option changed.</summary>
    Variant,

    /// <summary>Methods that forget tokens.</summary>
    Eviction,

    /// <summary>More bits: what quantisation could reach.</summary>
    Ceiling,
}

/// <summary>A way to hold keys and values.</summary>
/// <param name="Id">Short, for the command line and the store.</param>
/// <param name="Label">For tables and charts.</param>
/// <param name="Family">What it is to a comparison.</param>
/// <param name="Options">Its options; for a method that exists only here, those of the nearest cache.</param>
internal sealed record Method(string Id, string Label, MethodFamily Family, KvCacheOptions Options)
{
    /// <summary>True if its window may be chosen so that its bytes match the reference method's.</summary>
    public bool MatchesBytes { get; init; }

    /// <summary>Which cache that exists only here holds the tokens; None for the engine's.</summary>
    public LocalCache Local { get; init; }

    /// <summary>All that decides what it does, for the store.</summary>
    public string Parameters
    {
        get
        {
            var o = Options;
            return o.Kind == KvCacheKind.Dense ? "dense" : string.Create(CultureInfo.InvariantCulture,
                $"{(Local == LocalCache.None ? o.Kind : Local)} W={o.Window} sinks={o.SinkTokens} page={o.PageTokens ?? o.Window} bits={o.KeyBits}/{o.ValueBits} scales={o.Scales} "
                + $"clip={o.ClipSearch ?? true} boundary={o.BoundaryLayers}@{o.BoundaryBits}");
        }
    }

    /// <summary>Makes caches for a model.</summary>
    public MethodCaches For(KvShape shape) => new(this, shape);
}

/// <summary>A cache that exists only in this project.</summary>
internal enum LocalCache
{
    /// <summary>None: the engine's own.</summary>
    None,

    /// <summary>LogQuant as its authors' code runs it.</summary>
    ReferenceLogQuant,
}

/// <summary>A method's caches for one model, and the bits they hold.</summary>
internal sealed class MethodCaches
{
    private readonly Method method;
    private readonly KvShape shape;
    private readonly KvCacheFactory factory;
    private readonly ResidencyPolicy? policy;
    private readonly PageFormat? format;

    /// <summary>Checks the method's options against the model.</summary>
    /// <exception cref="ArgumentException">They do not fit.</exception>
    public MethodCaches(Method method, KvShape shape)
    {
        (this.method, this.shape) = (method, shape);
        factory = new KvCacheFactory(method.Options, shape, useKernels: true);
        policy = KvCacheFactory.Policy(method.Options);
        if (policy is null)
            return;
        var o = method.Options;
        format = new PageFormat(
            shape.Layers,
            new PageLayout(policy.PageTokens, shape.HeadDim, o.KeyBits, o.ValueBits, o.Scales),
            new PageLayout(policy.PageTokens, shape.HeadDim, o.BoundaryBits, o.BoundaryBits, o.Scales),
            o.BoundaryLayers);
    }

    /// <summary>An empty cache.</summary>
    public IKvCache Create() => method.Local switch
    {
        LocalCache.None => factory.Create(),
        _ => throw new NotImplementedException(method.Local.ToString()),
    };

    /// <summary>Which token is where in an empty cache; null for a dense one.</summary>
    public ResidencyPolicy? Policy => policy;

    /// <summary>
    /// Bits that a sequence's tokens hold: codes, scales, positions of pages, and rows at 16 bits an element. Memory reserved and not yet
    /// filled is not counted.
    /// </summary>
    public long BitsAt(int length) => BitsAt(length, policy);

    /// <summary>As <see cref="BitsAt(int)"/>, with the policy of a sequence whose prompts have ended somewhere.</summary>
    public long BitsAt(int length, ResidencyPolicy? current)
    {
        var element = 16L * shape.Layers * shape.KvHeads * shape.HeadDim;
        if (current is null || format is null)
            return 2 * element * length;
        var rows = element * (current.RowsAt(length) + current.ValueRowsAt(length));
        var packed = current.PackedValueRowsAt(length) > 0 ? 8 * format.PackedValueBytes(shape.KvHeads) : 0;
        return rows + packed + (8L * current.PagesAt(length) * format.PageBytes(shape.KvHeads));
    }

    /// <summary>Bits per element of keys and values over a run of <paramref name="tokens"/> tokens.</summary>
    /// <param name="tokens">The run's length.</param>
    /// <param name="promptEnds">Lengths at which a prompt ends, ascending; null for none.</param>
    public BitsPerElement BitsOver(int tokens, IReadOnlyList<int>? promptEnds = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(tokens, 1);
        var current = policy;
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
        return new BitsPerElement(sum / (elements * tokens * (tokens + 1.0) / 2), peak / (elements * tokens), BitsAt(tokens, current) / (elements * tokens));
    }
}

/// <summary>Bits per element of keys and values, everything counted.</summary>
/// <param name="Average">Bits held, summed over all lengths of the run, per element of all these lengths.</param>
/// <param name="Peak">The most bits held at any length, per element of the whole run.</param>
/// <param name="Final">Bits held at the end, per element.</param>
internal readonly record struct BitsPerElement(double Average, double Peak, double Final);
