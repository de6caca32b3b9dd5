namespace LocalLlm.Loading;

/// <summary>How rotary frequencies are scaled to contexts longer than those of the first training.</summary>
internal enum RopeType
{
    /// <summary>Not at all.</summary>
    Default,

    /// <summary>All frequencies divided by the factor.</summary>
    Linear,

    /// <summary>NTK-aware: the base grows with the context.</summary>
    Dynamic,

    /// <summary>YaRN (arXiv 2309.00071): low frequencies are interpolated, high ones kept.</summary>
    Yarn,

    /// <summary>LongRoPE (arXiv 2402.13753): a factor per frequency, one list for short and one for long contexts.</summary>
    LongRope,

    /// <summary>Llama 3.1's: low frequencies are divided by the factor, those between smoothly.</summary>
    Llama3,
}

/// <summary>Rotary position embedding as config.json describes it.</summary>
internal sealed record RopeConfig
{
    /// <summary>How frequencies are scaled.</summary>
    public RopeType Type { get; init; }

    /// <summary>The base of the frequencies.</summary>
    public double Theta { get; init; } = 10_000;

    /// <summary>Channels of a head that are rotated, the first ones; even.</summary>
    public required int RotaryDim { get; init; }

    /// <summary>The context's growth; null for the ratio of the two context lengths.</summary>
    public double? Factor { get; init; }

    /// <summary>Factor of cosine and sine; null for the type's own formula.</summary>
    public double? AttentionFactor { get; init; }

    /// <summary>The context length of the first training.</summary>
    public int OriginalMaxPositions { get; init; }

    /// <summary>The context length after scaling: <c>max_position_embeddings</c>.</summary>
    public int MaxPositions { get; init; }

    /// <summary>Llama 3: original context / this is the longest wavelength that is scaled only in part.</summary>
    public double LowFrequencyFactor { get; init; } = 1;

    /// <summary>Llama 3: original context / this is the longest wavelength that is kept.</summary>
    public double HighFrequencyFactor { get; init; } = 4;

    /// <summary>YaRN: rotations over the original context above which a frequency is kept.</summary>
    public double BetaFast { get; init; } = 32;

    /// <summary>YaRN: rotations over the original context below which a frequency is interpolated fully.</summary>
    public double BetaSlow { get; init; } = 1;

    /// <summary>YaRN: weight of the logarithm in the attention factor.</summary>
    public double? Mscale { get; init; }

    /// <summary>YaRN: weight of the logarithm in the divisor of the attention factor.</summary>
    public double? MscaleAllDim { get; init; }

    /// <summary>YaRN: whether the borders of the ramp are rounded to whole dimensions.</summary>
    public bool Truncate { get; init; } = true;

    /// <summary>LongRoPE: divisor of each frequency up to the original context; RotaryDim / 2 of them.</summary>
    public IReadOnlyList<double> ShortFactors { get; init; } = [];

    /// <summary>LongRoPE: divisor of each frequency beyond the original context; RotaryDim / 2 of them.</summary>
    public IReadOnlyList<double> LongFactors { get; init; } = [];

    /// <summary>Reads <c>rope_theta</c>, <c>rope_scaling</c> and <c>rope_parameters</c> (the newer form, which holds the base as well).</summary>
    public static RopeConfig Read(JsonFields config, Architecture architecture, int headDim, int maxPositions)
    {
        // Older files have rope_theta and partial_rotary_factor beside rope_scaling, newer ones have all of it in rope_parameters.
        if (config.Has("rope_scaling") && config.Has("rope_parameters"))
            config.Fail("rope_parameters", "and rope_scaling are both there; keep rope_parameters.");
        var scaling = config.Object("rope_parameters") ?? config.Object("rope_scaling");
        if (scaling is { HasObjects: true })
        {
            config.Fail("rope_parameters", "holds an object for each type of layer; only one set for all layers is supported.");
            scaling = null;
        }

        var partialFactor = Partial(scaling) ?? Partial(config) ?? 1;
        if (partialFactor != 1 && !architecture.HasPartialRotary)
            config.Fail("partial_rotary_factor", FormattableString.Invariant($"is {partialFactor}; {architecture.Name} rotates whole heads: it must be 1 or absent."));
        var rotaryDim = (int)(headDim * partialFactor);
        if (rotaryDim < 2 || rotaryDim % 2 != 0)
            config.Fail("partial_rotary_factor", $"gives {rotaryDim} rotated channels of {headDim}; it must be an even number of at least 2.");

        var original = config.Int("original_max_position_embeddings", 1, int.MaxValue);
        var rope = new RopeConfig
        {
            Theta = scaling?.PositiveNumber("rope_theta") ?? config.PositiveNumber("rope_theta") ?? 10_000,
            RotaryDim = Math.Max(rotaryDim, 2),
            MaxPositions = maxPositions,
            OriginalMaxPositions = original ?? maxPositions,
        };
        return scaling is null ? rope : ReadScaling(rope, scaling, architecture, original is not null);
    }

    private static double? Partial(JsonFields? fields) =>
        fields?.Number("partial_rotary_factor", x => x is > 0 and <= 1, "a number greater than 0 and at most 1");

    private static RopeConfig ReadScaling(RopeConfig rope, JsonFields scaling, Architecture architecture, bool hasOriginal)
    {
        var typeName = scaling.Text("rope_type") ?? scaling.Text("type") ?? "default";
        RopeType? type = typeName switch
        {
            "default" => RopeType.Default,
            "linear" => RopeType.Linear,
            "dynamic" => RopeType.Dynamic,
            // The first Phi-3 files call LongRoPE "su", and some "yarn".
            "yarn" => architecture.IsFused && scaling.Has("long_factor") ? RopeType.LongRope : RopeType.Yarn,
            "longrope" or "su" => RopeType.LongRope,
            "llama3" => RopeType.Llama3,
            _ => null,
        };
        if (type is null)
        {
            scaling.Fail("rope_type", $"is {LoadErrors.Quote(typeName)}; supported are default, linear, dynamic, yarn, longrope (su), llama3.");
            return rope;
        }

        rope = rope with
        {
            Type = type.Value,
            Factor = scaling.Number("factor", x => x >= 1, "a number of at least 1"),
            AttentionFactor = scaling.PositiveNumber("attention_factor"),
            OriginalMaxPositions = scaling.Int("original_max_position_embeddings", 1, int.MaxValue) ?? rope.OriginalMaxPositions,
            LowFrequencyFactor = scaling.PositiveNumber("low_freq_factor") ?? rope.LowFrequencyFactor,
            HighFrequencyFactor = scaling.PositiveNumber("high_freq_factor") ?? rope.HighFrequencyFactor,
            BetaFast = scaling.PositiveNumber("beta_fast") ?? rope.BetaFast,
            BetaSlow = scaling.PositiveNumber("beta_slow") ?? rope.BetaSlow,
            Mscale = scaling.Number("mscale", _ => true, "a number"),
            MscaleAllDim = scaling.Number("mscale_all_dim", _ => true, "a number"),
            Truncate = scaling.Bool("truncate") ?? rope.Truncate,
            ShortFactors = scaling.PositiveNumbers("short_factor") ?? [],
            LongFactors = scaling.PositiveNumbers("long_factor") ?? [],
        };
        Check(rope, scaling, hasOriginal || scaling.Has("original_max_position_embeddings"));
        return rope;
    }

    private static void Check(RopeConfig rope, JsonFields scaling, bool hasOriginal)
    {
        var needsFactor = rope.Type is RopeType.Linear or RopeType.Dynamic or RopeType.Llama3 || (rope.Type is RopeType.Yarn or RopeType.LongRope && !hasOriginal);
        if (needsFactor && !scaling.Has("factor"))
            scaling.Fail("factor", $"is missing; {rope.Type} scaling needs it.");
        if (rope.Type is RopeType.Dynamic && rope.RotaryDim <= 2)
            scaling.Fail("rope_type", "dynamic needs more than 2 rotated channels.");
        if (rope.Type is RopeType.Yarn && rope.Theta <= 1)
            scaling.Fail("rope_theta", FormattableString.Invariant($"is {rope.Theta}; yarn needs more than 1."));
        if (rope.Type is RopeType.LongRope)
        {
            CheckCount("short_factor", rope.ShortFactors.Count);
            CheckCount("long_factor", rope.LongFactors.Count);
            if (rope.OriginalMaxPositions <= 1)
                scaling.Fail("original_max_position_embeddings", $"is {rope.OriginalMaxPositions}; longrope needs more than 1.");
        }

        if (rope.Type is RopeType.Llama3)
        {
            if (!hasOriginal)
                scaling.Fail("original_max_position_embeddings", "is missing; llama3 scaling needs it.");
            foreach (var name in new[] { "low_freq_factor", "high_freq_factor" })
            {
                if (!scaling.Has(name))
                    scaling.Fail(name, "is missing; llama3 scaling needs it.");
            }

            if (rope.HighFrequencyFactor <= rope.LowFrequencyFactor)
                scaling.Fail("high_freq_factor", FormattableString.Invariant($"is {rope.HighFrequencyFactor}; it must be greater than low_freq_factor, {rope.LowFrequencyFactor}."));
        }

        void CheckCount(string name, int count)
        {
            if (count != rope.RotaryDim / 2)
                scaling.Fail(name, $"has {count} numbers; it must have {rope.RotaryDim / 2}, one for each pair of rotated channels.");
        }
    }
}
