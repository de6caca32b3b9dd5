namespace LocalLlm.Evaluation.Perplexity;

/// <summary>Negative log-likelihood in nats, summed over tokens.</summary>
internal readonly record struct LikelihoodSum(double Nats, int Tokens)
{
    /// <summary>Of both together.</summary>
    public static LikelihoodSum operator +(LikelihoodSum a, LikelihoodSum b) => new(a.Nats + b.Nats, a.Tokens + b.Tokens);

    /// <summary>exp of the mean; NaN of nothing.</summary>
    public double Perplexity => Math.Exp(Mean);

    /// <summary>Nats a token; NaN of nothing.</summary>
    public double Mean => Tokens == 0 ? double.NaN : Nats / Tokens;
}

/// <summary>One method on one text.</summary>
/// <param name="Series">The settings that all texts of a comparison share.</param>
/// <param name="Text">Names the text.</param>
/// <param name="AverageBits">Bits per element of keys and values, averaged over the run.</param>
/// <param name="PeakBits">The most bits at any length, per element of the whole run.</param>
/// <param name="All">Of all counted tokens.</param>
/// <param name="Written">Of those that the model writes, where that is known.</param>
/// <param name="Hits">Tokens that the model thought the most probable.</param>
/// <param name="ByPosition">Of the tokens at positions below 64, from 64 on below 128, and so on by powers of two.</param>
internal sealed record PerplexityResult(
    string Series,
    string Text,
    double AverageBits,
    double PeakBits,
    LikelihoodSum All,
    LikelihoodSum Written,
    int Hits,
    IReadOnlyList<LikelihoodSum> ByPosition)
{
    /// <summary>Where the first of <see cref="ByPosition"/> ends.</summary>
    public const int FirstOctave = 64;

    /// <summary>Which of <see cref="ByPosition"/> a position belongs to.</summary>
    public static int Octave(int position) => position < FirstOctave ? 0 : int.Log2(position / FirstOctave) + 1;
}
