namespace LocalLlm.Scheduling;

/// <summary>A sequence as the planner sees it.</summary>
/// <param name="PendingTokens">Tokens whose keys and values are not in the cache yet: the rest of the prompt, or the one token sampled last.</param>
/// <param name="IsPrompt">True while more than the token sampled last is to be computed.</param>
/// <param name="LastStep">The step in which a prompt was last given tokens; the lower the longer ago.</param>
/// <param name="Pieces">The sizes of the pieces in which a prompt's tokens are computed, as far as a step can reach; null where any cut will do.</param>
internal readonly record struct SequenceDemand(int PendingTokens, bool IsPrompt, long LastStep = 0, IReadOnlyList<int>? Pieces = null);

/// <summary>Decides what one step runs. Pure arithmetic.</summary>
internal static class StepPlanner
{
    /// <summary>
    /// Every decoding sequence gets its one token; the prompts share <paramref name="prefillTokens"/> evenly, in whole pieces, what one leaves going to the others.
    /// Where there are not enough for all, those go first that have waited longest: each has its turn after at most as many steps as there are prompts.
    /// </summary>
    /// <param name="demands">The running sequences, in order of arrival.</param>
    /// <param name="prefillTokens">The most prompt tokens of a step, at least 1 and no less than any piece.</param>
    /// <returns>For each sequence the tokens it gets, 0 for none.</returns>
    public static int[] Plan(ReadOnlySpan<SequenceDemand> demands, int prefillTokens)
    {
        var counts = new int[demands.Length];
        var prompts = new List<int>();
        for (var i = 0; i < demands.Length; i++)
        {
            if (demands[i].IsPrompt)
                prompts.Add(i);
            else
                counts[i] = demands[i].PendingTokens;
        }

        // Shortest first, so that what a short prompt leaves of its share is known when the longer ones divide the rest.
        var pending = demands.ToArray();
        prompts.Sort((a, b) => (pending[a].PendingTokens, a).CompareTo((pending[b].PendingTokens, b)));
        var left = prefillTokens;
        var first = prompts.Count == 0 ? -1 : prompts.MinBy(i => (pending[i].LastStep, i));
        if (first >= 0)
        {
            counts[first] = NextPiece(pending[first], 0);
            left -= counts[first];
        }

        var undivided = prefillTokens;
        for (var n = 0; n < prompts.Count; n++)
        {
            var i = prompts[n];
            var share = Math.Min(undivided / (prompts.Count - n), left + counts[i]);
            var count = Math.Max(counts[i], WholePieces(pending[i], share));
            left -= count - counts[i];
            undivided -= count;
            counts[i] = count;
        }

        // What the shares were too small for, piece by piece: first those that got nothing, and have got nothing for the longest time.
        prompts.Sort((a, b) => (counts[a] > 0, pending[a].LastStep, a).CompareTo((counts[b] > 0, pending[b].LastStep, b)));
        for (var grew = true; grew;)
        {
            grew = false;
            foreach (var i in prompts)
            {
                if (NextPiece(pending[i], counts[i]) is > 0 and var piece && piece <= left)
                    (counts[i], left, grew) = (counts[i] + piece, left - piece, true);
            }
        }

        return counts;
    }

    /// <summary>Cuts the rest of a prompt into pieces: the segments of its cache, those that are long cut again.</summary>
    /// <param name="segments">Sizes of the segments.</param>
    /// <param name="longest">The longest piece.</param>
    public static List<int> Pieces(IEnumerable<int> segments, int longest)
    {
        var pieces = new List<int>();
        foreach (var segment in segments)
        {
            for (var left = segment; left > 0; left -= longest)
                pieces.Add(Math.Min(left, longest));
        }

        return pieces;
    }

    private static int WholePieces(SequenceDemand demand, int share)
    {
        if (demand.Pieces is null)
            return Math.Min(demand.PendingTokens, share);
        var taken = 0;
        foreach (var piece in demand.Pieces)
        {
            if (taken + piece > share)
                break;
            taken += piece;
        }

        return taken;
    }

    // 0 where all is taken.
    private static int NextPiece(SequenceDemand demand, int taken)
    {
        if (demand.Pieces is null)
            return taken < demand.PendingTokens ? 1 : 0;
        foreach (var piece in demand.Pieces)
        {
            if (taken == 0)
                return piece;
            taken -= piece;
        }

        return 0;
    }
}
