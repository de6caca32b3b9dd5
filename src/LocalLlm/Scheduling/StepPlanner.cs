namespace LocalLlm.Scheduling;

/// <summary>A sequence as the planner sees it.</summary>
/// <param name="PendingTokens">Tokens whose keys and values are not in the cache yet: the rest of the prompt, or the one token sampled last.</param>
/// <param name="IsPrompt">True while the prompt is not complete.</param>
internal readonly record struct SequenceDemand(int PendingTokens, bool IsPrompt);

/// <summary>Decides what one step runs. Pure arithmetic.</summary>
internal static class StepPlanner
{
    /// <summary>
    /// Every decoding sequence gets its one token; the prompts share <paramref name="prefillTokens"/> evenly, what one leaves going to the others.
    /// </summary>
    /// <param name="demands">The running sequences, in order of arrival.</param>
    /// <param name="prefillTokens">The most prompt tokens of a step, at least 1.</param>
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
        for (var n = 0; n < prompts.Count && left > 0; n++)
        {
            var share = Math.Max(1, left / (prompts.Count - n));
            counts[prompts[n]] = Math.Min(pending[prompts[n]].PendingTokens, share);
            left -= counts[prompts[n]];
        }

        return counts;
    }
}
