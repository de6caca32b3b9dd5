using LocalLlm.KvCache;
using LocalLlm.Loading;

namespace LocalLlm.Evaluation.Methods;

/// <summary>The methods that are compared.</summary>
internal static class MethodCatalog
{
    private const int Sinks = 4;
    private const int MostWindow = 4096;

    /// <summary>Every token in full precision.</summary>
    public static Method Dense { get; } = new("dense", "Full precision", MethodFamily.FullPrecision, new() { Kind = KvCacheKind.Dense });

    /// <summary>The engine's default cache, whose bytes the others match.</summary>
    public static Method Ours { get; } = new("ours", "This engine's default", MethodFamily.Ours, new());

    /// <summary>The paper's rule over this engine's pages.</summary>
    public static Method OursLog { get; } = new("ours-log", "LogQuant, this engine's pages", MethodFamily.Ours, OfKind(KvCacheKind.LogQuant));

    /// <summary>The default without the bits that a model's folder has for its layers.</summary>
    public static Method Alike { get; } = Variant(
        "alike", "all layers alike", o => (o.KeyBits, o.SlowKeyBits, o.ValueBits) = (PageBits.Default.Key, PageBits.Default.SlowKey, PageBits.Default.Value));

    /// <summary>Every method.</summary>
    public static IReadOnlyList<Method> All { get; } =
    [
        Dense,
        // As published: scales of the range, 16 bits each.
        new("kivi-hf", "KIVI (Hugging Face)", MethodFamily.Baseline, Published(KvCacheKind.HuggingFaceKivi)) { MatchesBytes = true },
        new("kivi", "KIVI", MethodFamily.Baseline, Published(KvCacheKind.Kivi)) { MatchesBytes = true },
        // The same pages as LogQuant of the paper: what differs is which tokens stay in full precision, and nothing else.
        new("sink-recent", "Sink + recent, paper's pages", MethodFamily.Baseline, Published(KvCacheKind.StreamingQuant, Sinks)) { MatchesBytes = true },
        new("logquant-code", "LogQuant (authors' code)", MethodFamily.LogQuant, Published(KvCacheKind.LogQuant)) { MatchesBytes = true, IsReferenceCode = true },
        new("logquant-paper", "LogQuant (paper)", MethodFamily.LogQuant, Published(KvCacheKind.LogQuant)) { MatchesBytes = true },
        new("partial", "PartialLogQuant (paper)", MethodFamily.LogQuant, Published(KvCacheKind.PartialLogQuant)) { MatchesBytes = true },
        OursLog,
        Ours,
        Variant("log4", "LogQuant with 4 sinks", o => o.Kind = KvCacheKind.LogQuant),
        Variant("partial", "PartialLogQuant", o => (o.Kind, o.SinkTokens) = (KvCacheKind.PartialLogQuant, 0)),
        Variant("sinks0", "no sinks", o => o.SinkTokens = 0),
        Variant("sinks16", "16 sinks", o => o.SinkTokens = 16),
        Variant("sinks32", "32 sinks", o => o.SinkTokens = 32),
        Variant("w32", "W = 32", o => o.Window = 32),
        Variant("w128", "W = 128", o => o.Window = 128),
        Variant("page32", "pages of 32", o => o.PageTokens = 32),
        Alike,
        Variant("k2", "2-bit keys", o => o.SlowKeyBits = 2),
        Variant("k3", "3-bit keys", o => o.KeyBits = 3),
        Variant("s4", "4-bit keys in slow channels", o => o.SlowKeyBits = 4),
        Variant("v3", "3-bit values", o => o.ValueBits = 3),
        Variant("k4", "4-bit keys", o => o.KeyBits = 4),
        Variant("half", "16-bit scales", o => o.Scales = KvScaleFormat.Half),
        Variant("minmax", "no clip search", o => o.ClipSearch = false),
        Variant("edge1", "first and last layer at 4 bits", o => o.BoundaryLayers = 1),
        Variant("reach3", "LogQuant of reach 3", o => (o.Kind, o.SinkTokens) = (KvCacheKind.LogQuant, 0)) with { ReachStep = 3 },
        Variant("reach4", "LogQuant of reach 4, W = 32", o => (o.Kind, o.SinkTokens, o.Window) = (KvCacheKind.LogQuant, 0, 32)) with { ReachStep = 4 },
        new("4bit", "4 bits", MethodFamily.Ceiling, new() { KeyBits = 4, ValueBits = 4 }),
        new("streaming-llm", "StreamingLLM", MethodFamily.Eviction, WithSinks(KvCacheKind.StreamingLlm)) { MatchesBytes = true },
        new("log-evict", "Log eviction", MethodFamily.Eviction, OfKind(KvCacheKind.LogEvict)) { MatchesBytes = true },
    ];

    /// <summary>The methods of the main comparison: no variants.</summary>
    public static IReadOnlyList<Method> Main { get; } = [.. All.Where(m => m.Family != MethodFamily.Variant)];

    /// <summary>The main comparison on a model: <see cref="Main"/>, and <see cref="Alike"/> where it is not the default.</summary>
    /// <param name="bits">The model's bits of layers; null if its folder has none.</param>
    public static IReadOnlyList<Method> MainFor(CacheBitsConfig? bits) => bits is null ? Main : [.. All.Where(m => m.Family != MethodFamily.Variant || m == Alike)];

    /// <summary>Methods by their ids.</summary>
    /// <exception cref="ArgumentException">There is no such method.</exception>
    public static IReadOnlyList<Method> Choose(IEnumerable<string> ids) =>
    [
        .. ids.Select(id => All.FirstOrDefault(m => m.Id == id)
            ?? throw new ArgumentException($"--methods: there is no method '{id}'. There are {string.Join(", ", All.Select(m => m.Id))}."))
            .Distinct(),
    ];

    /// <summary>The methods of <paramref name="methods"/> that a comparison at equal peaks has: no variants, which keep their windows.</summary>
    /// <returns>None if no window could be another.</returns>
    public static IReadOnlyList<Method> AtEqualPeaks(IReadOnlyList<Method> methods) =>
        methods.Any(m => m.MatchesBytes) ? [.. methods.Where(m => m.Family != MethodFamily.Variant)] : [];

    /// <summary>
    /// The methods with their windows chosen so that their bits over a run match the reference's as well as the windows allow.
    /// </summary>
    /// <param name="methods">The methods; those that match no bytes stay as they are.</param>
    /// <param name="shape">Of the model's caches.</param>
    /// <param name="tokens">The run's length.</param>
    /// <param name="promptEnds">Lengths at which a prompt ends; null for none.</param>
    /// <param name="matching">What is matched.</param>
    public static IReadOnlyList<Method> EqualBytes(
        IReadOnlyList<Method> methods, KvShape shape, int tokens, IReadOnlyList<int>? promptEnds = null,
        ByteMatching matching = ByteMatching.Average)
    {
        var target = Bits(Ours);
        return [.. methods.Select(m => m.MatchesBytes ? matching.Nearest(Candidates(m), Bits, target) : m)];

        BitsPerElement Bits(Method method) => method.For(shape).BitsOver(tokens, promptEnds);
    }

    /// <summary>
    /// A method with every window that it may have, ascending; pages keep their length, because it decides how good they are.
    /// </summary>
    public static IEnumerable<Method> Candidates(Method method)
    {
        var page = Ours.Options.PageTokens ?? Ours.Options.Window;
        return method.Options.Kind switch
        {
            KvCacheKind.Kivi or KvCacheKind.HuggingFaceKivi or KvCacheKind.StreamingQuant =>
                Multiples(page).Select(w => With(o => (o.Window, o.PageTokens) = (w, page))),
            KvCacheKind.StreamingLlm => Multiples(32).Select(w => With(o => o.Window = w)),
            _ => new[] { 32, 64, 128 }.Select(w => With(o => o.Window = w)),
        };

        static IEnumerable<int> Multiples(int of) => Enumerable.Range(1, MostWindow / of).Select(i => i * of);

        Method With(Action<KvCacheOptions> change) => method with { Options = Changed(method.Options, change) };
    }

    private static KvCacheOptions OfKind(KvCacheKind kind) => new() { Kind = kind, SinkTokens = 0 };

    private static KvCacheOptions Published(KvCacheKind kind, int sinks = 0) =>
        new() { Kind = kind, SinkTokens = sinks, SlowKeyBits = 2, Scales = KvScaleFormat.Half, ClipSearch = false };

    private static KvCacheOptions WithSinks(KvCacheKind kind) => new() { Kind = kind, SinkTokens = Sinks };

    private static Method Variant(string id, string label, Action<KvCacheOptions> change) =>
        new("ours-" + id, "… " + label, MethodFamily.Variant, Changed(Ours.Options, change));

    private static KvCacheOptions Changed(KvCacheOptions options, Action<KvCacheOptions> change)
    {
        var changed = options with { };
        change(changed);
        return changed;
    }
}
