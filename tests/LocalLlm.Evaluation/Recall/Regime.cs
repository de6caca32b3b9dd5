using LocalLlm.KvCache.Policies;

namespace LocalLlm.Evaluation.Recall;

/// <summary>Where the tokens of an answer are when it is asked for, in the LogQuant rule of the paper with W = 64; the same for every method.</summary>
internal enum Regime
{
    /// <summary>All in the recent tokens, of which none has left.</summary>
    Window,

    /// <summary>At least half among the rows, at least one of them log-distributed.</summary>
    LogSet,

    /// <summary>More than half in pages.</summary>
    Page,
}

/// <summary>Tells the regime of an answer.</summary>
internal static class Regimes
{
    private const int Window = 64;
    private static readonly LogQuantPolicy Rule = new(Window);

    /// <summary>The regime of the tokens at <paramref name="first"/> … <paramref name="first"/> + <paramref name="count"/> − 1.</summary>
    /// <param name="length">Tokens of the sequence when the answer begins.</param>
    /// <param name="first">Position of the answer's first token.</param>
    /// <param name="count">Its tokens, at least 1.</param>
    public static Regime Of(int length, int first, int count)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(first + count, length);
        var rows = Rule.RowPositionsAt(length);
        if (first >= rows.RecentStart)
            return Regime.Window;
        var kept = rows.ToArray().ToHashSet();
        return 2 * Enumerable.Range(first, count).Count(kept.Contains) >= count ? Regime.LogSet : Regime.Page;
    }
}
