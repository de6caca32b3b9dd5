namespace LocalLlm.Evaluation.Statistics;

/// <summary>
/// Wilson's interval of a share: what the true share may be when <c>successes</c> of <c>trials</c> were seen. Holds near 0 and 1 too.
/// </summary>
/// <param name="Share">The share seen.</param>
/// <param name="Low">Lower end, at least 0.</param>
/// <param name="High">Upper end, at most 1.</param>
internal readonly record struct WilsonInterval(double Share, double Low, double High)
{
    // The normal distribution's 97.5th percentile.
    private const double Z95 = 1.959963984540054;

    /// <summary>The 95% interval.</summary>
    public static WilsonInterval Of(int successes, int trials)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(trials, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(successes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(successes, trials);
        var (n, share, z2) = ((double)trials, (double)successes / trials, Z95 * Z95);
        var centre = (share + (z2 / (2 * n))) / (1 + (z2 / n));
        var reach = Z95 / (1 + (z2 / n)) * Math.Sqrt((share * (1 - share) / n) + (z2 / (4 * n * n)));
        return new(share, successes == 0 ? 0 : centre - reach, successes == trials ? 1 : centre + reach);
    }
}
