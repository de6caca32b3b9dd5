using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints.Machines;

/// <summary>How freely a language takes plain characters: all but controls, quotation mark and backslash.</summary>
internal static class PlainCharacters
{
    private static readonly (int Low, int High)[] Ranges = [(0x20, '"' - 1), ('"' + 1, '\\' - 1), ('\\' + 1, 0xD7FF), (0xE000, 0x10FFFF)];

    /// <summary>
    /// [states] How many plain characters may follow, whichever they are, where not one more may; <see cref="int.MaxValue"/> for any number; 0 where
    /// it is not as simple as that.
    /// </summary>
    public static int[] Reach(CharDfa language)
    {
        var before = new List<int>[language.StateCount];
        var outgoing = new int[language.StateCount];
        var (free, most) = (new int[language.StateCount], new int[language.StateCount]);
        var (restricted, ended) = (new Queue<int>(), new Queue<int>());
        for (var state = 0; state < language.StateCount; state++)
            before[state] = [];
        for (var state = 0; state < language.StateCount; state++)
        {
            foreach (var edge in language.Edges(state))
            {
                if (IsPlain(edge))
                {
                    before[edge.Target].Add(state);
                    outgoing[state]++;
                }
            }

            (free[state], most[state]) = (int.MaxValue, int.MaxValue);
            if (!TakesAll(language.Edges(state)))
            {
                free[state] = 0;
                restricted.Enqueue(state);
            }

            if (outgoing[state] == 0)
            {
                most[state] = 0;
                ended.Enqueue(state);
            }
        }

        // The shortest way to a state that refuses some character: so many may follow whichever they are.
        while (restricted.TryDequeue(out var state))
        {
            foreach (var earlier in before[state].Where(s => free[s] == int.MaxValue))
            {
                free[earlier] = free[state] + 1;
                restricted.Enqueue(earlier);
            }
        }

        // The longest way at all, of states that lead into no cycle: a state is ready once all that follow it are.
        var longest = new int[language.StateCount];
        while (ended.TryDequeue(out var state))
        {
            most[state] = longest[state];
            foreach (var earlier in before[state])
            {
                longest[earlier] = Math.Max(longest[earlier], longest[state] + 1);
                if (--outgoing[earlier] == 0)
                    ended.Enqueue(earlier);
            }
        }

        return [.. free.Zip(most, (f, m) => f == m ? f : 0)];
    }

    private static bool IsPlain(CharEdge edge) => Array.Exists(Ranges, r => edge.Low <= r.High && edge.High >= r.Low);

    private static bool TakesAll(ReadOnlySpan<CharEdge> edges)
    {
        foreach (var (low, high) in Ranges)
        {
            var next = low;
            foreach (var edge in edges)
            {
                if (edge.Low <= next && edge.High >= next)
                    next = edge.High + 1;
            }

            if (next <= high)
                return false;
        }

        return true;
    }
}
