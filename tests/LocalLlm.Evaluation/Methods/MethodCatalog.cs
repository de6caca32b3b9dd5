namespace LocalLlm.Evaluation.Methods;

/// <summary>The methods that are compared.</summary>
internal static class MethodCatalog
{
    /// <summary>Every token in full precision.</summary>
    public static Method Dense { get; } = new("dense", "full precision", MethodFamily.FullPrecision, new() { Kind = KvCacheKind.Dense });

    /// <summary>The engine's default cache, whose bytes the others match.</summary>
    public static Method Ours { get; } = new("ours", "LogQuant (ours)", MethodFamily.Ours, new());

    /// <summary>Every method.</summary>
    public static IReadOnlyList<Method> All { get; } =
    [
        Dense,
        new("kivi-hf", "KIVI (Hugging Face)", MethodFamily.Baseline, new() { Kind = KvCacheKind.HuggingFaceKivi }) { MatchesBytes = true },
        new("kivi", "KIVI", MethodFamily.Baseline, new() { Kind = KvCacheKind.Kivi }) { MatchesBytes = true },
        new("sink-recent", "sink + recent", MethodFamily.Baseline, new() { Kind = KvCacheKind.StreamingQuant }) { MatchesBytes = true },
        Ours,
    ];

    /// <summary>The methods of the main comparison: no variants.</summary>
    public static IReadOnlyList<Method> Main { get; } = [.. All.Where(m => m.Family != MethodFamily.Variant)];

    /// <summary>Methods by their ids.</summary>
    /// <exception cref="ArgumentException">There is no such method.</exception>
    public static IReadOnlyList<Method> Choose(IEnumerable<string> ids) =>
    [
        .. ids.Select(id => All.FirstOrDefault(m => m.Id == id)
            ?? throw new ArgumentException($"--methods: there is no method '{id}'. There are {string.Join(", ", All.Select(m => m.Id))}.")),
    ];
}
