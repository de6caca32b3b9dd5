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
        var rows = texts.Select(t => (Text: t, Rows: select(t).Where(r => r >= 0 && r < t.Kl.Count).ToArray())).Where(t => t.Rows.Length > 0).ToArray();
        if (rows.Length == 0)
            return null;
        var sums = rows.Select(t => t.Rows.Sum(r => (double)t.Text.Kl[r])).ToArray();
        var counts = rows.Select(t => t.Rows.Length).ToArray();
        var all = rows.SelectMany(t => t.Rows.Select(r => (double)t.Text.Kl[r])).Order().ToArray();
        var different = rows.Sum(t => t.Rows.Count(t.Text.Disagreements.ToHashSet().Contains));
        var (low, high) = Interval(sums, counts);
        return new(all.Length, sums.Sum() / all.Length, low, high, Percentile(all, 0.5), Percentile(all, 0.999), 1 - ((double)different / all.Length));
    }

    /// <summary>A percentile of ascending numbers, between two of them by their distance.</summary>
    public static double Percentile(IReadOnlyList<double> ascending, double share)
    {
        var at = share * (ascending.Count - 1);
        var below = (int)at;
        return below + 1 < ascending.Count ? ascending[below] + ((at - below) * (ascending[below + 1] - ascending[below])) : ascending[below];
    }

    /// <summary>
    /// 95% interval of the mean over all rows, by bootstrap over texts: rows of one text depend on each other, texts do not.
    /// </summary>
    /// <param name="sums">Sum of each text's rows.</param>
    /// <param name="counts">Number of each text's rows.</param>
    public static (double Low, double High) Interval(IReadOnlyList<double> sums, IReadOnlyList<int> counts)
    {
        if (sums.Count < 2)
            return (double.NaN, double.NaN);
        var random = new Random(1);
        var means = new double[Resamples];
        for (var i = 0; i < Resamples; i++)
        {
            var (sum, count) = (0.0, 0);
            for (var draw = 0; draw < sums.Count; draw++)
            {
                var text = random.Next(sums.Count);
                sum += sums[text];
                count += counts[text];
            }

            means[i] = sum / count;
        }

        Array.Sort(means);
        return (Percentile(means, 0.025), Percentile(means, 0.975));
    }
}
