using LocalLlm.KvCache;

namespace LocalLlm.Tests.KvCache;

/// <summary>Options that differ in all that a cache can differ in, by name, for tests that hold for every cache.</summary>
internal static class CacheCases
{
    private static readonly Dictionary<string, KvCacheOptions> Options = new()
    {
        ["LogQuant"] = new() { Window = 32 },
        ["LogQuant, window 64"] = new() { Window = 64 },
        ["LogQuant, sinks"] = new() { Window = 32, SinkTokens = 5 },
        ["LogQuant, 3-bit keys, fp16 scales"] = new() { Window = 32, KeyBits = 3, Scales = KvScaleFormat.Half },
        ["LogQuant, boundary layers, clip search"] = new() { Window = 32, BoundaryLayers = 1, ClipSearch = true },
        ["PartialLogQuant"] = new() { Kind = KvCacheKind.PartialLogQuant, Window = 32 },
        ["PartialLogQuant, sinks, 3 bits, boundary layers"] = new()
        {
            Kind = KvCacheKind.PartialLogQuant,
            Window = 32,
            SinkTokens = 3,
            KeyBits = 4,
            ValueBits = 3,
            BoundaryLayers = 1,
            BoundaryKeyBits = 4,
            BoundaryValueBits = 3,
        },
        ["PartialLogQuant, fp16 scales, clip search"] = new()
        {
            Kind = KvCacheKind.PartialLogQuant,
            Window = 64,
            Scales = KvScaleFormat.Half,
            ClipSearch = true,
        },
        ["StreamingQuant"] = new() { Kind = KvCacheKind.StreamingQuant, Window = 32, SinkTokens = 4 },
        ["StreamingQuant, several pages at a time"] = new()
        {
            Kind = KvCacheKind.StreamingQuant,
            Window = 96,
            PageTokens = 32,
            ValueBits = 4,
        },
        ["Kivi"] = new() { Kind = KvCacheKind.Kivi, Window = 64 },
        ["Kivi, sinks, several pages at a time"] = new()
        {
            Kind = KvCacheKind.Kivi,
            Window = 96,
            PageTokens = 32,
            SinkTokens = 2,
            BoundaryLayers = 1,
        },
        ["HuggingFaceKivi"] = new() { Kind = KvCacheKind.HuggingFaceKivi, Window = 128, PageTokens = 32 },
        ["Dense"] = new() { Kind = KvCacheKind.Dense },
        ["StreamingLlm"] = new() { Kind = KvCacheKind.StreamingLlm, Window = 32, SinkTokens = 4 },
        ["LogEvict"] = new() { Kind = KvCacheKind.LogEvict, Window = 32 },
    };

    /// <summary>All of them.</summary>
    public static TheoryData<string> All => [.. Options.Keys];

    /// <summary>All of them, with torch operations and with the CPU kernels.</summary>
    public static MatrixTheoryData<string, bool> OnTorchAndKernels => new(Options.Keys, [false, true]);

    /// <summary>The options of a case.</summary>
    public static KvCacheOptions Named(string name) => Options[name];

    /// <summary>The factory of a case.</summary>
    public static KvCacheFactory Factory(string name, KvShape shape) => new(Options[name], shape);

    /// <summary>A LogQuant cache without options.</summary>
    public static IKvCache LogQuant(KvShape shape, int window) =>
        new KvCacheFactory(new KvCacheOptions { Window = window }, shape).Create();
}
