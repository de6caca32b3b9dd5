namespace LocalLlm.Sampling.Constraints.Automata;

/// <summary>When an epsilon transition of an <see cref="Nfa"/> can be taken.</summary>
internal enum NfaCondition
{
    /// <summary>Always.</summary>
    None,

    /// <summary>Before the first character only.</summary>
    AtStart,

    /// <summary>After the last character only.</summary>
    AtEnd,
}

/// <summary>
/// A nondeterministic automaton with anchors: epsilon transitions that can be taken at the text's start, or at its end, only. So anchors are exact
/// wherever a pattern has them.
/// </summary>
internal sealed class Nfa
{
    private const int AtFirst = -1; // marks the set before the first character
    private const int MaxStates = 200_000;
    private const int MaxWork = 5_000_000; // NFA states over all sets

    private readonly List<List<CharEdge>> edges = [];
    private readonly List<List<(NfaCondition When, int Target)>> epsilons = [];

    /// <summary>Adds a state.</summary>
    public int AddState()
    {
        if (edges.Count == MaxStates)
            throw CharDfaBuilder.TooLarge();
        edges.Add([]);
        epsilons.Add([]);
        return edges.Count - 1;
    }

    /// <summary>Adds a transition on each scalar value of a set.</summary>
    public void AddEdge(int from, CharSet on, int to)
    {
        foreach (var (low, high) in on.Ranges)
            edges[from].Add(new CharEdge(low, high, to));
    }

    /// <summary>Adds a transition on nothing.</summary>
    public void AddEpsilon(int from, int to, NfaCondition when = NfaCondition.None) => epsilons[from].Add((when, to));

    /// <summary>Adds the states of an automaton, which leads from one state to another.</summary>
    public void AddDfa(int from, CharDfa dfa, int to)
    {
        if (dfa.Start == CharDfa.Dead)
            return;
        var first = edges.Count;
        for (var state = 0; state < dfa.StateCount; state++)
            AddState();
        for (var state = 0; state < dfa.StateCount; state++)
        {
            foreach (var edge in dfa.Edges(state))
                edges[first + state].Add(edge with { Target = first + edge.Target });
            if (dfa.IsAccepting(state))
                AddEpsilon(first + state, to);
        }

        AddEpsilon(from, first + dfa.Start);
    }

    /// <summary>The minimal automaton of the texts that lead from a state to another.</summary>
    /// <param name="start">The first state.</param>
    /// <param name="accept">The last state.</param>
    /// <param name="acceptsAnyRest">Whether any text may follow; the last state then needs no loop.</param>
    public CharDfa ToDfa(int start, int accept, bool acceptsAnyRest = false)
    {
        var work = 0;
        var first = new StateSet([AtFirst, .. Set(Close([start], NfaCondition.AtStart)).States]);
        return CharDfaBuilder.Build(first, Steps, Accepts);

        IEnumerable<(int Low, int High, StateSet Next)> Steps(StateSet set)
        {
            if (acceptsAnyRest && Contains(set, accept))
                return CharSet.All.Ranges.ToArray().Select(r => (r.Low, r.High, set));
            var all = set.States.Where(s => s != AtFirst).SelectMany(s => edges[s]).ToList();
            return Sweep(all).Select(s => (s.Low, s.High, Set(Close(s.Targets, NfaCondition.None))));
        }

        StateSet Set(HashSet<int> states)
        {
            if (acceptsAnyRest && states.Contains(accept))
                return new StateSet([accept]);
            if ((work += states.Count) > MaxWork)
                throw CharDfaBuilder.TooLarge();
            int[] sorted = [.. states.Where(s => s == accept || edges[s].Count > 0 || epsilons[s].Any(e => e.When == NfaCondition.AtEnd))];
            Array.Sort(sorted);
            return new StateSet(sorted);
        }

        // At the end of nothing, the start's anchors hold too.
        bool Accepts(StateSet set) => Contains(set, accept) || (set.States is [AtFirst, .. var states]
            ? Close(states, NfaCondition.AtEnd, NfaCondition.AtStart)
            : Close(set.States, NfaCondition.AtEnd)).Contains(accept);
    }

    private static bool Contains(StateSet set, int state) => Array.BinarySearch(set.States, state) >= 0;

    private HashSet<int> Close(IReadOnlyList<int> states, params ReadOnlySpan<NfaCondition> holding)
    {
        var closed = new HashSet<int>(states);
        var open = new Stack<int>(states);
        while (open.TryPop(out var state))
        {
            foreach (var (when, target) in epsilons[state])
            {
                if ((when == NfaCondition.None || holding.Contains(when)) && closed.Add(target))
                    open.Push(target);
            }
        }

        return closed;
    }

    /// <summary>Cuts overlapping edges into ranges in order, each with all states that it leads to.</summary>
    private static IEnumerable<(int Low, int High, int[] Targets)> Sweep(List<CharEdge> edges)
    {
        var events = new List<(int Position, int Target, int Change)>(edges.Count * 2);
        foreach (var edge in edges)
        {
            events.Add((edge.Low, edge.Target, 1));
            events.Add((edge.High + 1, edge.Target, -1));
        }

        events.Sort((a, b) => a.Position.CompareTo(b.Position));
        var active = new SortedDictionary<int, int>();
        for (var i = 0; i < events.Count;)
        {
            var position = events[i].Position;
            for (; i < events.Count && events[i].Position == position; i++)
            {
                var count = active.GetValueOrDefault(events[i].Target) + events[i].Change;
                if (count == 0)
                    active.Remove(events[i].Target);
                else
                    active[events[i].Target] = count;
            }

            if (active.Count > 0)
                yield return (position, events[i].Position - 1, [.. active.Keys]);
        }
    }

    /// <summary>A sorted set of states, compared by its members.</summary>
    private readonly struct StateSet(int[] states) : IEquatable<StateSet>
    {
        public int[] States => states;

        public bool Equals(StateSet other) => States.AsSpan().SequenceEqual(other.States);

        public override bool Equals(object? obj) => obj is StateSet other && Equals(other);

        public override int GetHashCode()
        {
            var hash = new HashCode();
            foreach (var state in States)
                hash.Add(state);
            return hash.ToHashCode();
        }
    }
}
