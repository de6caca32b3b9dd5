using LocalLlm.Loading;

namespace LocalLlm.Models;

/// <summary>The inverse frequencies of rotary position embedding, with the scalings that Hugging Face models name.</summary>
internal static class RotaryFrequencies
{
    /// <summary>Computes the inverse frequencies, and the factor by which cosine and sine are multiplied.</summary>
    /// <param name="rope">The configuration.</param>
    /// <param name="contextTokens">The longest context that will be used.</param>
    /// <returns>RotaryDim / 2 angles per position, from the fastest to the slowest.</returns>
    /// <remarks>
    /// LongRoPE and dynamic NTK change their frequencies once a text is longer than the model's first context. Keys are cached rotated, so a
    /// change on the way would leave old and new keys on different scales. The choice is therefore made once, by the context length the
    /// engine is set to: up to the first context the frequencies are the short ones, beyond it the long ones for short texts as well.
    /// </remarks>
    public static (double[] InverseFrequencies, double AttentionFactor) Compute(RopeConfig rope, int contextTokens) => rope.Type switch
    {
        RopeType.Default => (Plain(rope.Theta, rope.RotaryDim), 1),
        RopeType.Linear => (Array.ConvertAll(Plain(rope.Theta, rope.RotaryDim), f => f / rope.Factor!.Value), 1),
        RopeType.Dynamic => (Dynamic(rope, contextTokens), 1),
        RopeType.Yarn => Yarn(rope),
        RopeType.LongRope => LongRope(rope, contextTokens),
        RopeType.Llama3 => (Array.ConvertAll(Plain(rope.Theta, rope.RotaryDim), f => Llama3(rope, f)), 1),
        _ => throw new ArgumentOutOfRangeException(nameof(rope), rope.Type, "No such rotary scaling."),
    };

    // θ^(-2i/R), i from 0 to R/2 - 1.
    private static double[] Plain(double theta, int rotaryDim) =>
        [.. Enumerable.Range(0, rotaryDim / 2).Select(i => Math.Pow(theta, -2.0 * i / rotaryDim))];

    private static double[] Dynamic(RopeConfig rope, int contextTokens)
    {
        var growth = (double)Math.Max(contextTokens, rope.MaxPositions) / rope.MaxPositions;
        var factor = rope.Factor!.Value;
        var exponent = (double)rope.RotaryDim / (rope.RotaryDim - 2);
        return Plain(rope.Theta * Math.Pow((factor * growth) - (factor - 1), exponent), rope.RotaryDim);
    }

    private static double Llama3(RopeConfig rope, double frequency)
    {
        var factor = rope.Factor!.Value;
        var rotations = rope.OriginalMaxPositions * frequency / (2 * Math.PI);   // Full turns over the original context.
        if (rotations > rope.HighFrequencyFactor)
            return frequency;
        if (rotations < rope.LowFrequencyFactor)
            return frequency / factor;
        var smooth = (rotations - rope.LowFrequencyFactor) / (rope.HighFrequencyFactor - rope.LowFrequencyFactor);
        return ((1 - smooth) * frequency / factor) + (smooth * frequency);
    }

    private static (double[] InverseFrequencies, double AttentionFactor) LongRope(RopeConfig rope, int contextTokens)
    {
        var factors = contextTokens > rope.OriginalMaxPositions ? rope.LongFactors : rope.ShortFactors;
        var growth = rope.Factor ?? (double)rope.MaxPositions / rope.OriginalMaxPositions;
        var attentionFactor = rope.AttentionFactor ?? (growth <= 1 ? 1 : Math.Sqrt(1 + (Math.Log(growth) / Math.Log(rope.OriginalMaxPositions))));
        return ([.. Plain(rope.Theta, rope.RotaryDim).Zip(factors, (f, divisor) => f / divisor)], attentionFactor);
    }

    private static (double[] InverseFrequencies, double AttentionFactor) Yarn(RopeConfig rope)
    {
        var factor = rope.Factor ?? (double)rope.MaxPositions / rope.OriginalMaxPositions;
        var low = DimensionAt(rope.BetaFast);
        var high = DimensionAt(rope.BetaSlow);
        if (rope.Truncate)
            (low, high) = (Math.Floor(low), Math.Ceiling(high));
        (low, high) = (Math.Max(low, 0), Math.Min(high, rope.RotaryDim - 1));
        if (low == high)
            high += 0.001;

        // From 0 at the last kept frequency to 1 at the first that is interpolated fully.
        var frequencies = Plain(rope.Theta, rope.RotaryDim)
            .Select((f, i) => (Frequency: f, Ramp: Math.Clamp((i - low) / (high - low), 0, 1)))
            .Select(x => (x.Frequency / factor * x.Ramp) + (x.Frequency * (1 - x.Ramp)));
        return ([.. frequencies], rope.AttentionFactor ?? YarnAttentionFactor(rope, factor));

        // The pair of channels that makes so many full turns over the original context.
        double DimensionAt(double rotations) =>
            rope.RotaryDim * Math.Log(rope.OriginalMaxPositions / (rotations * 2 * Math.PI)) / (2 * Math.Log(rope.Theta));
    }

    private static double YarnAttentionFactor(RopeConfig rope, double factor)
    {
        return rope is { Mscale: { } mscale and not 0, MscaleAllDim: { } allDim and not 0 } ? Scale(mscale) / Scale(allDim) : Scale(1);

        double Scale(double weight) => factor <= 1 ? 1 : (0.1 * weight * Math.Log(factor)) + 1;
    }
}
