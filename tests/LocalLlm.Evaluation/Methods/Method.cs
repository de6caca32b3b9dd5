using System.Globalization;
using LocalLlm.KvCache;

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

    /// <summary>LogQuant as this engine has it.</summary>
    Ours,

    /// <summary>This engine's LogQuant with an option changed.</summary>
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
/// <param name="Options">Its options.</param>
internal sealed record Method(string Id, string Label, MethodFamily Family, KvCacheOptions Options)
{
    /// <summary>True if its window may be chosen so that its bytes match the reference method's.</summary>
    public bool MatchesBytes { get; init; }

    /// <summary>True for the authors' code, which is simulated here; of the options the window alone counts.</summary>
    public bool IsReferenceCode { get; init; }

    /// <summary>For LogQuant with a longer reach: s of <see cref="LogReachPolicy"/>; null otherwise.</summary>
    public int? ReachStep { get; init; }

    /// <summary>All that decides what it does, for the store.</summary>
    public string Parameters
    {
        get
        {
            var o = Options;
            if (o.Kind == KvCacheKind.Dense)
                return "dense";
            if (IsReferenceCode)
                return string.Create(CultureInfo.InvariantCulture, $"reference code 1 W={o.Window}");
            var uniform = PageBits.Of(o);
            var bits = PageBits.IsTuned(o) ? "model's" : $"{uniform.Key}{(uniform.SlowKey > uniform.Key ? $"+{uniform.SlowKey}" : "")}/{uniform.Value}";
            var kind = ReachStep is { } step ? string.Create(CultureInfo.InvariantCulture, $"{o.Kind} reach={step}") : o.Kind.ToString();
            return string.Create(CultureInfo.InvariantCulture,
                $"{kind} W={o.Window} sinks={o.SinkTokens} page={o.PageTokens ?? o.Window} bits={bits} "
                + $"scales={o.Scales} clip={o.ClipSearch} boundary={o.BoundaryLayers}@{o.BoundaryKeyBits}/{o.BoundaryValueBits}");
        }
    }

    /// <summary>Makes caches for a model.</summary>
    /// <exception cref="ArgumentException">The options do not fit the model.</exception>
    public MethodCaches For(KvShape shape) => new(this, shape);
}
