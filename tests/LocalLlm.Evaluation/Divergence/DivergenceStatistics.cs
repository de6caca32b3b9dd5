namespace LocalLlm.Evaluation.Divergence;

/// <summary>Figures of a method over several texts.</summary>
/// <param name="Rows">Distributions compared.</param>
/// <param name="Mean">Mean divergence in nats.</param>
/// <param name="Low">Lower end of the mean's 95% interval; NaN for a single text.</param>
/// <param name="High">Upper end.</param>
/// <param name="Median">Median.</param>
/// <param name="P999">99.9th percentile.</param>
/// <param name="SameTop">Share of the rows with the same most probable token.</param>
internal sealed record DivergenceStatistics(int Rows, double Mean, double Low, double High, double Median, double P999, double SameTop)
{
    private const int Resamples = 2000;

    /// <summary>Of the rows that <paramref name="select"/> takes of each text.</summary>
    /// <returns>Null if it takes none.</returns>
    public static DivergenceStatistics? Of(IReadOnlyList<DivergenceResult> texts, Func<DivergenceResult, IEnumerable<int>> select)
    {
        var rows = texts.Select(t => (Text: t, Rows: select(t).Where(r => r >= 0 && r < t.Kl.Count).ToArray()))
            .Where(t => t.Rows.Length > 0).ToArray();
        if (rows.Length == 0)
            return null;
        var sums = rows.Select(t => t.Rows.Sum(r => (double)t.Text.Kl[r])).ToArray();
        var counts = rows.Select(t => t.Rows.Length).ToArray();
        var all = rows.SelectMany(t => t.Rows.Select(r => (double)t.Text.Kl[r])).Order().ToArray();
        var different = rows.Sum(t => t.Rows.Count(t.Text.Disagreements.ToHashSet().Contains));
        var (low, high) = Interval(sums, counts);
        var same = 1 - ((double)different / all.Length);
        return new(all.Length, sums.Sum() / all.Length, low, high, Percentile(all, 0.5), Percentile(all, 0.999), same);
    }

    /// <summary>A percentile of ascending numbers, between two of them by their distance.</summary>
    public static double Percentile(IReadOnlyList<double> ascending, double share)
    {
        var at = share * (ascending.Count - 1);
        var below = (int)at;
        var next = Math.Min(below + 1, ascending.Count - 1);
        return ascending[below] + ((at - below) * (ascending[next] - ascending[below]));
    }

    /// <summary>
    /// 95% interval of the mean over all rows, by bootstrap over texts: rows of one text depend on each other, texts do not.
    /// </summary>
    /// <param name="sums">Sum of each text's rows.</param>
    /// <param name="counts">Number of each text's rows.</param>
    public static (double Low, double High) Interval(IReadOnlyList<double> sums, IReadOnlyList<int> counts) =>
        IntervalOfRatio(sums, [.. counts.Select(c => (double)c)]);

    /// <summary>
    /// A method's mean divergence in terms of another's on the same texts, and its 95% interval by bootstrap over the texts.
    /// </summary>
    /// <returns>Null if the texts are not the same.</returns>
    public static (double Ratio, double Low, double High)? RatioOfMeans(
        IReadOnlyList<DivergenceResult> texts, IReadOnlyList<DivergenceResult> others)
    {
        if (!texts.Select(t => t.Kl.Count).SequenceEqual(others.Select(t => t.Kl.Count)))
            return null;
        var (sums, otherSums) = (Sums(texts), Sums(others));
        var (low, high) = IntervalOfRatio(sums, otherSums);
        return (sums.Sum() / otherSums.Sum(), low, high);

        static double[] Sums(IReadOnlyList<DivergenceResult> texts) => [.. texts.Select(t => t.Kl.Sum(kl => (double)kl))];
    }

    // Of the sum of numerators over the sum of denominators, both of the same draw of texts.
    private static (double Low, double High) IntervalOfRatio(IReadOnlyList<double> numerators, IReadOnlyList<double> denominators)
    {
        if (numerators.Count < 2)
            return (double.NaN, double.NaN);
        var random = new Random(1);
        var ratios = new double[Resamples];
        for (var i = 0; i < Resamples; i++)
        {
            var (above, below) = (0.0, 0.0);
            for (var draw = 0; draw < numerators.Count; draw++)
            {
                var text = random.Next(numerators.Count);
                above += numerators[text];
                below += denominators[text];
            }

            ratios[i] = above / below;
        }

        Array.Sort(ratios);
        return (Percentile(ratios, 0.025), Percentile(ratios, 0.975));
    }
}
