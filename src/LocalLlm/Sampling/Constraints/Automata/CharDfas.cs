namespace LocalLlm.Sampling.Constraints.Automata;

/// <summary>Makes automata.</summary>
internal static class CharDfas
{
    /// <summary>Exactly these texts.</summary>
    public static CharDfa FromStrings(IReadOnlyList<string> texts)
    {
        var (edges, accepting) = (new List<SortedDictionary<int, int>> { new() }, new List<bool> { false });
        foreach (var text in texts)
        {
            var state = 0;
            foreach (var rune in text.EnumerateRunes())
            {
                if (!edges[state].TryGetValue(rune.Value, out var next))
                {
                    edges[state][rune.Value] = next = edges.Count;
                    edges.Add([]);
                    accepting.Add(false);
                }

                state = next;
            }

            accepting[state] = true;
        }

        return new CharDfa(texts.Count == 0 ? CharDfa.Dead : 0, [.. edges.Select(e => e.Select(p => new CharEdge(p.Key, p.Key, p.Value)).ToArray())], [.. accepting]);
    }
}
