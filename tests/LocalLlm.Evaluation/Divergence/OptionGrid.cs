using System.Globalization;
using LocalLlm.Evaluation.Methods;
using LocalLlm.KvCache;

namespace LocalLlm.Evaluation.Divergence;

/// <summary>The combinations of options that a sweep tries.</summary>
internal static class OptionGrid
{
    /// <summary>What the ids of a sweep's methods begin with.</summary>
    public const string IdStart = "grid ";

    /// <summary>The methods of a sweep, each once.</summary>
    /// <param name="isQuick">One option changed at a time, instead of all combinations of those that matter most.</param>
    public static IReadOnlyList<Method> Methods(bool isQuick)
    {
        List<KvCacheOptions> all = [];
        foreach (var window in new[] { 32, 64, 128 })
        {
            // Changed one at a time.
            var one = new KvCacheOptions { Kind = KvCacheKind.LogQuant, Window = window, SinkTokens = 0, SlowKeyBits = 2 };
            all.AddRange(
            [
                one, one with { SinkTokens = 4 }, one with { SinkTokens = 16 }, one with { SinkTokens = 32 },
                one with { KeyBits = 3, SlowKeyBits = 3 }, one with { KeyBits = 4 }, one with { SlowKeyBits = 4 },
                one with { ValueBits = 3 }, one with { Scales = KvScaleFormat.Half }, one with { ClipSearch = false },
                one with { Scales = KvScaleFormat.Half, ClipSearch = false }, one with { BoundaryLayers = 1 },
                one with { BoundaryLayers = 1, BoundaryKeyBits = 3, BoundaryValueBits = 2 },
                one with { BoundaryLayers = 1, BoundaryKeyBits = 2, BoundaryValueBits = 3 },
                one with { Kind = KvCacheKind.PartialLogQuant },
                one with { Kind = KvCacheKind.StreamingQuant, SinkTokens = 4 },
            ]);
            if (isQuick)
                continue;
            all.AddRange(
                from kind in new[] { KvCacheKind.LogQuant, KvCacheKind.PartialLogQuant, KvCacheKind.StreamingQuant }
                from sinks in new[] { 0, 4, 16 }
                from keyBits in new (int All, int Slow)[] { (2, 2), (2, 3), (3, 3) }
                from valueBits in new[] { 2, 3 }
                select one with { Kind = kind, SinkTokens = sinks, KeyBits = keyBits.All, SlowKeyBits = keyBits.Slow, ValueBits = valueBits });
        }

        // Shorter and longer pages beside the window, where the two may differ.
        all.AddRange(
            from window in new[] { 64, 128 }
            from page in new[] { 32, 64, 128 }
            where window % page == 0
            select new KvCacheOptions
            {
                Window = window,
                PageTokens = page == window ? null : page,
            });

        var reaches =
            from window in new[] { 32, 64 }
            from step in window == 32 ? new[] { 3, 4, 5, 8 } : [3, 4]
            from sinks in new[] { 0, 4 }
            select Named(WithBits(new KvCacheOptions { Kind = KvCacheKind.LogQuant, Window = window, SinkTokens = sinks }), step);
        return [.. all.Select(WithBits).Distinct().Select(o => Named(o, null)).Concat(reaches)];
    }

    // Named bits, the same for all layers: a grid is of options, not of what a model's folder says.
    private static KvCacheOptions WithBits(KvCacheOptions options)
    {
        var bits = PageBits.Of(options);
        return options with { KeyBits = bits.Key, SlowKeyBits = bits.SlowKey, ValueBits = bits.Value };
    }

    private static Method Named(KvCacheOptions options, int? reach)
    {
        var method = new Method("", "", MethodFamily.Variant, options) { ReachStep = reach };
        var kind = reach is { } step ? string.Create(CultureInfo.InvariantCulture, $"LogReach{step}") : options.Kind.ToString();
        var parts = new List<string> { kind, string.Create(CultureInfo.InvariantCulture, $"W{options.Window}") };
        Add(options.PageTokens is not null, $"page{options.PageTokens}");
        Add(options.SinkTokens > 0, $"sinks{options.SinkTokens}");
        var bits = PageBits.Of(options);
        Add(true, bits.SlowKey > bits.Key ? $"k{bits.Key}+{bits.SlowKey}v{bits.Value}" : $"k{bits.Key}v{bits.Value}");
        Add(options.Scales == KvScaleFormat.Half, "half");
        Add(!options.ClipSearch, "minmax");
        Add(options.BoundaryLayers > 0, $"edge{options.BoundaryLayers}@{options.BoundaryKeyBits}/{options.BoundaryValueBits}");
        var name = string.Join(' ', parts);
        return method with { Id = IdStart + name, Label = name };

        void Add(bool isThere, string part)
        {
            if (isThere)
                parts.Add(part);
        }
    }
}
