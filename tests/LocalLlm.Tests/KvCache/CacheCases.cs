using LocalLlm.KvCache;
using LocalLlm.Tests.Attention;

namespace LocalLlm.Tests.KvCache;

/// <summary>Options that differ in all that a cache can differ in, by name, for tests that hold for every cache.</summary>
internal static class CacheCases
{
    /// <summary>The rule of the paper and pages of 2 bits, without any option.</summary>
    public static readonly KvCacheOptions Plain = new() { Kind = KvCacheKind.LogQuant, SinkTokens = 0, SlowKeyBits = 2, ClipSearch = false };

    private static readonly Dictionary<string, KvCacheOptions> Options = new()
    {
        ["default, window 32"] = new() { Window = 32 },
        ["LogQuant"] = Plain with { Window = 32 },
        ["LogQuant, window 64"] = Plain with { Window = 64 },
        ["LogQuant, sinks, slow key bits"] = Plain with { Window = 32, SinkTokens = 5, SlowKeyBits = 4 },
        ["LogQuant, 3-bit keys, fp16 scales"] = Plain with { Window = 32, KeyBits = 3, Scales = KvScaleFormat.Half },
        ["LogQuant, boundary layers, clip search"] = Plain with { Window = 32, BoundaryLayers = 1, ClipSearch = true },
        ["PartialLogQuant"] = Plain with { Kind = KvCacheKind.PartialLogQuant, Window = 32 },
        ["PartialLogQuant, sinks, 3 bits, boundary layers"] = Plain with
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
        ["PartialLogQuant, fp16 scales, clip search"] = Plain with
        {
            Kind = KvCacheKind.PartialLogQuant,
            Window = 64,
            Scales = KvScaleFormat.Half,
            ClipSearch = true,
        },
        ["StreamingQuant"] = Plain with { Kind = KvCacheKind.StreamingQuant, Window = 32, SinkTokens = 4 },
        ["StreamingQuant, several pages at a time"] = Plain with
        {
            Kind = KvCacheKind.StreamingQuant,
            Window = 96,
            PageTokens = 32,
            ValueBits = 4,
        },
        ["Kivi"] = Plain with { Kind = KvCacheKind.Kivi, Window = 64 },
        ["Kivi, sinks, several pages at a time"] = Plain with
        {
            Kind = KvCacheKind.Kivi,
            Window = 96,
            PageTokens = 32,
            SinkTokens = 2,
            BoundaryLayers = 1,
        },
        ["HuggingFaceKivi"] = Plain with { Kind = KvCacheKind.HuggingFaceKivi, Window = 128, PageTokens = 32 },
        ["Dense"] = Plain with { Kind = KvCacheKind.Dense },
        ["StreamingLlm"] = Plain with { Kind = KvCacheKind.StreamingLlm, Window = 32, SinkTokens = 4 },
        ["LogEvict"] = Plain with { Kind = KvCacheKind.LogEvict, Window = 32 },
    };

    /// <summary>All of them.</summary>
    public static TheoryData<string> All => [.. Options.Keys];

    /// <summary>All of them, with every <see cref="TestBackend"/>.</summary>
    public static MatrixTheoryData<string, string> OnEveryBackend => new(Options.Keys, TestBackend.All.Select(b => (string)b.Data));

    /// <summary>The options of a case.</summary>
    public static KvCacheOptions Named(string name) => Options[name];

    /// <summary>The factory of a case.</summary>
    public static KvCacheFactory Factory(string name, KvShape shape) => new(Options[name], shape);

    /// <summary>A LogQuant cache without options.</summary>
    public static IKvCache LogQuant(KvShape shape, int window) =>
        new KvCacheFactory(Plain with { Window = window }, shape).Create();
}
