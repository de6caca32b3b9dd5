namespace LocalLlm.Evaluation.Recall;

/// <summary>Right of asked.</summary>
internal readonly record struct Proportion(int Right, int Asked)
{
    private const double Z = 1.959963984540054; // 97.5 % of the standard normal distribution lie below

    /// <summary>The share; NaN if nothing was asked.</summary>
    public double Share => (double)Right / Asked;

    /// <summary>Wilson's 95 % interval of the share (E. B. Wilson, 1927); NaN if nothing was asked.</summary>
    public (double Low, double High) Interval
    {
        get
        {
            double n = Asked, center = Share + (Z * Z / (2 * n));
            var half = Z * Math.Sqrt((Share * (1 - Share) / n) + (Z * Z / (4 * n * n)));
            var scale = 1 + (Z * Z / n);
            return (Math.Max(0, (center - half) / scale), Math.Min(1, (center + half) / scale));
        }
    }

    /// <summary>Counts answers.</summary>
    public static Proportion Of(IEnumerable<RecallAnswer> answers) =>
        answers.Aggregate(default(Proportion), (sum, a) => new Proportion(sum.Right + (a.IsRight ? 1 : 0), sum.Asked + 1));
}
