namespace LocalLlm.Evaluation.Tuning;

/// <summary>Chooses for each layer one of several choices so that the sum of their costs is least within a budget of bits.</summary>
internal static class BitAllocation
{
    /// <summary>
    /// The exact optimum of the multiple-choice knapsack, by dynamic programming over the bits spent; bits are whole numbers, so that equal sums are equal. Of several
    /// optima, one with the fewest bits.
    /// </summary>
    /// <param name="bits">Bits of each choice, in any unit; the same for all layers.</param>
    /// <param name="costs">[layer][choice].</param>
    /// <param name="budget">The most bits of all layers together.</param>
    /// <returns>The choice of each layer.</returns>
    /// <exception cref="ArgumentException">Even the fewest bits are more than the budget.</exception>
    public static int[] Choose(IReadOnlyList<int> bits, IReadOnlyList<IReadOnlyList<double>> costs, int budget)
    {
        var least = bits.Min();
        if ((long)least * costs.Count > budget)
            throw new ArgumentException($"The budget is {budget} bits; {costs.Count} layers need at least {(long)least * costs.Count}.", nameof(budget));

        // Bits spent by the layers so far -> the least cost, and the choices that lead to it.
        var states = new SortedDictionary<int, (double Cost, int[] Choices)> { [0] = (0, []) };
        for (var layer = 0; layer < costs.Count; layer++)
        {
            var next = new SortedDictionary<int, (double Cost, int[] Choices)>();
            var left = least * (costs.Count - layer - 1);
            foreach (var (spent, state) in states)
            {
                for (var choice = 0; choice < bits.Count; choice++)
                {
                    var (sum, cost) = (spent + bits[choice], state.Cost + costs[layer][choice]);
                    if (sum + left <= budget && (!next.TryGetValue(sum, out var known) || cost < known.Cost))
                        next[sum] = (cost, [.. state.Choices, choice]);
                }
            }

            states = next;
        }

        return states.Values.MinBy(s => s.Cost).Choices;
    }
}
