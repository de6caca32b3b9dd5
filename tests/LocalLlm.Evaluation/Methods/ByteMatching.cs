using LocalLlm.Evaluation.Results;

namespace LocalLlm.Evaluation.Methods;

/// <summary>Which of a run's bytes are made equal to those of the reference.</summary>
internal enum ByteMatching
{
    /// <summary>The average over all lengths of the run, as near as windows allow.</summary>
    Average,

    /// <summary>The most held at any length: no more than the reference's, and as near to it as windows allow.</summary>
    Peak,
}

/// <summary>How windows are chosen, and how results of the two choices are told apart in the store.</summary>
internal static class ByteMatchings
{
    private const string PeakMark = " equal=peak";

    /// <summary>Sums in another order differ in the last digits; that makes no peak larger than another.</summary>
    private const double Same = 1 + 1e-9;

    /// <summary>
    /// The candidate whose bytes match the target's. By peak, of equal peaks the one that holds most on average; if every peak
    /// exceeds the target, the lowest.
    /// </summary>
    /// <exception cref="ArgumentException">There is no candidate.</exception>
    public static T Nearest<T>(this ByteMatching matching, IEnumerable<T> candidates, Func<T, BitsPerElement> bits, BitsPerElement target)
    {
        var all = candidates.Select(c => (Candidate: c, Bits: bits(c))).ToList();
        if (all.Count == 0)
            throw new ArgumentException("There must be a candidate.", nameof(candidates));
        if (matching == ByteMatching.Average)
            return all.MinBy(c => Math.Abs(c.Bits.Average - target.Average)).Candidate;
        var within = all.Where(c => c.Bits.Peak <= target.Peak * Same).ToList();
        return within.Count > 0
            ? within.MaxBy(c => (c.Bits.Peak, c.Bits.Average)).Candidate
            : all.MinBy(c => (c.Bits.Peak, -c.Bits.Average)).Candidate;
    }

    /// <summary>A unit's key under a matching; that by average has no mark, so that results of before the other keep their keys.</summary>
    public static ResultKey Under(this ResultKey key, ByteMatching matching) =>
        matching == ByteMatching.Peak ? key with { Settings = key.Settings + PeakMark } : key;

    /// <summary>The matching under which a result is stored.</summary>
    public static ByteMatching Matching(this ResultKey key) =>
        key.Settings.EndsWith(PeakMark, StringComparison.Ordinal) ? ByteMatching.Peak : ByteMatching.Average;

    /// <summary>
    /// The value of a unit of work under a matching. A window that both matchings choose is measured once.
    /// </summary>
    /// <param name="store">The store.</param>
    /// <param name="key">The unit's key, without a matching.</param>
    /// <param name="matching">The matching.</param>
    /// <returns>Null if it is not done yet.</returns>
    public static T? Find<T>(this ResultStore store, ResultKey key, ByteMatching matching)
        where T : class
    {
        var own = key.Under(matching);
        if (store.Find<T>(own) is { } known)
            return known;
        var other = key.Under(matching == ByteMatching.Peak ? ByteMatching.Average : ByteMatching.Peak);
        if (store.Find<T>(other) is not { } same)
            return null;
        store.Add(own, same);
        return same;
    }
}
