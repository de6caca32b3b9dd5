namespace LocalLlm.Sampling.Constraints.Automata;

/// <summary>Explores a deterministic machine, given by its steps, into a minimal automaton.</summary>
internal static class CharDfaBuilder
{
    /// <summary>The most states that an automaton may need before it is minimised.</summary>
    public const int MaxStates = 50_000;

    /// <summary>The automaton of a machine.</summary>
    /// <param name="start">Where it starts.</param>
    /// <param name="steps">The steps from a state, in order of their ranges, which do not overlap and hold no surrogate.</param>
    /// <param name="accepts">Whether a text may end at a state.</param>
    /// <exception cref="ConstraintException">It has more than <see cref="MaxStates"/> states.</exception>
    public static CharDfa Build<TState>(TState start, Func<TState, IEnumerable<(int Low, int High, TState Next)>> steps, Func<TState, bool> accepts)
        where TState : notnull
    {
        var ids = new Dictionary<TState, int> { [start] = 0 };
        var (states, edges, accepting) = (new List<TState> { start }, new List<CharEdge[]>(), new List<bool>());
        var row = new List<CharEdge>();
        for (var i = 0; i < states.Count; i++)
        {
            row.Clear();
            foreach (var (low, high, next) in steps(states[i]))
            {
                if (!ids.TryGetValue(next, out var target))
                {
                    if (states.Count == MaxStates)
                        throw TooLarge();
                    ids[next] = target = states.Count;
                    states.Add(next);
                }

                AddMerged(row, new CharEdge(low, high, target));
            }

            edges.Add([.. row]);
            accepting.Add(accepts(states[i]));
        }

        return CharDfaMinimizer.Minimize(0, [.. edges], [.. accepting]);
    }

    /// <summary>The error of an automaton that would be too large.</summary>
    public static ConstraintException TooLarge() =>
        new("The language", [$"its automaton needs more than {MaxStates:N0} states; lower the counts of its repetitions or the lengths"]);

    /// <summary>Appends an edge, or widens the last one if they touch and lead to the same state.</summary>
    public static void AddMerged(List<CharEdge> edges, CharEdge edge)
    {
        if (edges.Count > 0 && edges[^1].Target == edge.Target && edges[^1].High + 1 == edge.Low)
            edges[^1] = edges[^1] with { High = edge.High };
        else
            edges.Add(edge);
    }
}
