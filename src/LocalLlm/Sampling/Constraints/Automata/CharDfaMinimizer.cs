namespace LocalLlm.Sampling.Constraints.Automata;

/// <summary>
/// Trims an automaton and merges the states that accept the same texts: partition refinement, in which the largest part of a split block keeps its
/// number, so that a state changes its block at most log n times and chains of thousands of states (lengths) cost no quadratic time.
/// </summary>
internal sealed class CharDfaMinimizer
{
    private readonly CharEdge[][] edges;
    private readonly int[][] predecessors;
    private readonly int[] members; // states, block by block
    private readonly int[] position; // of a state in members
    private readonly int[] block; // of a state
    private readonly List<(int First, int End)> blocks = [];
    private readonly List<CharEdge> signature = [];
    private readonly bool[] isDirty;
    private readonly Dictionary<int, List<int>> dirty = []; // by block: states to look at
    private readonly Queue<int> open = new(); // blocks that have such

    private CharDfaMinimizer(CharEdge[][] edges, bool[] accepting)
    {
        this.edges = edges;
        predecessors = Predecessors(edges);
        (members, position, block) = (new int[edges.Length], new int[edges.Length], new int[edges.Length]);
        isDirty = new bool[edges.Length];
        var next = 0;
        foreach (var part in (bool[])[true, false])
        {
            var first = next;
            for (var state = 0; state < edges.Length; state++)
            {
                if (accepting[state] != part)
                    continue;
                (members[next], position[state], block[state]) = (state, next, blocks.Count);
                next++;
                MarkDirty(state);
            }

            if (next > first)
                blocks.Add((first, next));
        }
    }

    /// <summary>The minimal trim automaton of the same language.</summary>
    public static CharDfa Minimize(int start, CharEdge[][] edges, bool[] accepting)
    {
        var (trimStart, trimEdges, trimAccepting) = Trim(start, edges, accepting);
        if (trimStart == CharDfa.Dead)
            return new CharDfa(CharDfa.Dead, [], []);
        var minimizer = new CharDfaMinimizer(trimEdges, trimAccepting);
        minimizer.Refine();
        return minimizer.Quotient(trimStart, trimAccepting);
    }

    private static (int Start, CharEdge[][] Edges, bool[] Accepting) Trim(int start, CharEdge[][] edges, bool[] accepting)
    {
        if (start == CharDfa.Dead)
            return (CharDfa.Dead, [], []);
        var reachable = Reach([start], s => edges[s].Select(e => e.Target), edges.Length);
        var predecessors = Predecessors(edges);
        var live = Reach(Enumerable.Range(0, edges.Length).Where(s => accepting[s]), s => predecessors[s], edges.Length);
        var (ids, kept) = (new int[edges.Length], new List<int>());
        for (var state = 0; state < edges.Length; state++)
        {
            ids[state] = CharDfa.Dead;
            if (!reachable[state] || !live[state])
                continue;
            ids[state] = kept.Count;
            kept.Add(state);
        }

        var keptEdges = kept.Select(s => edges[s].Where(e => ids[e.Target] != CharDfa.Dead).Select(e => e with { Target = ids[e.Target] }).ToArray());
        return (ids[start], [.. keptEdges], [.. kept.Select(s => accepting[s])]);
    }

    private static bool[] Reach(IEnumerable<int> from, Func<int, IEnumerable<int>> next, int count)
    {
        var seen = new bool[count];
        var open = new Stack<int>();
        foreach (var state in from)
        {
            seen[state] = true;
            open.Push(state);
        }

        while (open.TryPop(out var state))
        {
            foreach (var other in next(state))
            {
                if (seen[other])
                    continue;
                seen[other] = true;
                open.Push(other);
            }
        }

        return seen;
    }

    private static int[][] Predecessors(CharEdge[][] edges)
    {
        var lists = new List<int>[edges.Length];
        for (var state = 0; state < edges.Length; state++)
        {
            foreach (var edge in edges[state])
            {
                var list = lists[edge.Target] ??= [];
                if (list.Count == 0 || list[^1] != state)
                    list.Add(state);
            }
        }

        return [.. lists.Select(l => l?.ToArray() ?? [])];
    }

    /// <summary>
    /// Splits blocks until the states of each have the same steps between blocks. Only states with a renamed successor are looked at again; all other
    /// states of their block have the same steps.
    /// </summary>
    private void Refine()
    {
        while (open.TryDequeue(out var number))
        {
            dirty.Remove(number, out var states);
            foreach (var state in states!)
                isDirty[state] = false;
            Split(number, states);
        }
    }

    private void MarkDirty(int state)
    {
        if (isDirty[state])
            return;
        isDirty[state] = true;
        if (!dirty.TryGetValue(block[state], out var states))
        {
            dirty[block[state]] = states = [];
            open.Enqueue(block[state]);
        }

        states.Add(state);
    }

    private void Split(int number, List<int> states)
    {
        var (first, end) = blocks[number];
        for (var i = 0; i < states.Count; i++) // looked at again: to the front of the block
            Swap(states[i], first + i);
        var parts = new Dictionary<CharEdge[], List<int>>(EdgeComparer.Instance);
        foreach (var state in states)
        {
            var key = Signature(state);
            if (!parts.TryGetValue(key, out var part))
                parts[key] = part = [];
            part.Add(state);
        }

        // The others of the block are still alike; one of them stands for all.
        var others = end - first - states.Count;
        var keeping = others > 0 && parts.TryGetValue(Signature(members[end - 1]), out var same) ? same : null;
        if (parts.Count == 1 && (others == 0 || keeping is not null))
            return;
        var largest = parts.Values.MaxBy(p => p.Count)!;
        var moved = parts.Values.Where(p => p != (others > 0 ? keeping : largest)).ToList();
        foreach (var part in moved)
            Move(number, part);
        var (rest, restEnd) = blocks[number];
        if (restEnd - rest < moved.Max(p => p.Count))
            ExchangeWithLargest(number, moved.Count);
        for (var i = blocks.Count - moved.Count; i < blocks.Count; i++)
        {
            for (var member = blocks[i].First; member < blocks[i].End; member++)
                Array.ForEach(predecessors[members[member]], MarkDirty);
        }
    }

    /// <summary>Makes states of a block, which stand in any place of it, a block of their own.</summary>
    private void Move(int number, List<int> states)
    {
        var (first, end) = blocks[number];
        foreach (var state in states)
            Swap(state, first++);
        blocks[number] = (first, end);
        foreach (var state in states)
            block[state] = blocks.Count;
        blocks.Add((first - states.Count, first));
    }

    /// <summary>Gives the old number, which costs nothing, to the largest of the newest blocks.</summary>
    private void ExchangeWithLargest(int number, int newest)
    {
        var largest = Enumerable.Range(blocks.Count - newest, newest).MaxBy(b => blocks[b].End - blocks[b].First);
        (blocks[number], blocks[largest]) = (blocks[largest], blocks[number]);
        foreach (var changed in (int[])[number, largest])
        {
            for (var member = blocks[changed].First; member < blocks[changed].End; member++)
                block[members[member]] = changed;
        }
    }

    private void Swap(int state, int place)
    {
        var (other, from) = (members[place], position[state]);
        (members[place], members[from]) = (state, other);
        (position[state], position[other]) = (place, from);
    }

    private CharEdge[] Signature(int state)
    {
        signature.Clear();
        foreach (var edge in edges[state])
            CharDfaBuilder.AddMerged(signature, edge with { Target = block[edge.Target] });
        return [.. signature];
    }

    private CharDfa Quotient(int start, bool[] accepting)
    {
        var rows = new CharEdge[blocks.Count][];
        var ends = new bool[blocks.Count];
        for (var i = 0; i < rows.Length; i++)
        {
            var state = members[blocks[i].First];
            (rows[i], ends[i]) = (Signature(state), accepting[state]);
        }

        return new CharDfa(block[start], rows, ends);
    }

    private sealed class EdgeComparer : IEqualityComparer<CharEdge[]>
    {
        public static EdgeComparer Instance { get; } = new();

        public bool Equals(CharEdge[]? x, CharEdge[]? y) => x.AsSpan().SequenceEqual(y);

        public int GetHashCode(CharEdge[] obj)
        {
            var hash = new HashCode();
            foreach (var edge in obj)
                hash.Add(edge);
            return hash.ToHashCode();
        }
    }
}
