using LocalLlm.Evaluation.Statistics;

namespace LocalLlm.Evaluation.Recall;

/// <summary>Right of asked.</summary>
internal readonly record struct Proportion(int Right, int Asked)
{
    /// <summary>The share; NaN if nothing was asked.</summary>
    public double Share => (double)Right / Asked;

    /// <summary>The 95 % interval of the share.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Nothing was asked.</exception>
    public WilsonInterval Interval => WilsonInterval.Of(Right, Asked);

    /// <summary>Counts answers.</summary>
    public static Proportion Of(IEnumerable<RecallAnswer> answers) =>
        answers.Aggregate(default(Proportion), (sum, a) => new Proportion(sum.Right + (a.IsRight ? 1 : 0), sum.Asked + 1));
}
