namespace LocalLlm.Sampling.Constraints.Automata;

/// <summary>Makes automata and combines them. All are minimal, but for <see cref="FromStrings"/>.</summary>
internal static class CharDfas
{
    private const int Sink = CharDfa.Dead;

    /// <summary>No text.</summary>
    public static CharDfa None { get; } = new(CharDfa.Dead, [], []);

    /// <summary>Any text.</summary>
    public static CharDfa AnyString { get; } = OfLength(0, null);

    /// <summary>Exactly these texts.</summary>
    public static CharDfa FromStrings(IReadOnlyList<string> texts)
    {
        if (texts.Count == 0)
            return None;
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

        return new CharDfa(0, [.. edges.Select(e => e.Select(p => new CharEdge(p.Key, p.Key, p.Value)).ToArray())], [.. accepting]);
    }

    /// <summary>Any text of min to max scalar values; no maximum if it is null.</summary>
    public static CharDfa OfLength(int min, int? max)
    {
        if (max < min)
            return None;
        if ((max ?? min) >= CharDfaBuilder.MaxStates)
            throw CharDfaBuilder.TooLarge();
        var last = max ?? min;
        var rows = Enumerable.Range(0, last + 1).Select(length => length == last && max is not null
            ? []
            : CharSet.All.Ranges.ToArray().Select(r => new CharEdge(r.Low, r.High, Math.Min(length + 1, last))).ToArray());
        return new CharDfa(0, [.. rows], [.. Enumerable.Range(0, last + 1).Select(length => length >= min)]);
    }

    /// <summary>Texts of the one, each followed by one of the other.</summary>
    public static CharDfa Concat(params IReadOnlyList<CharDfa> parts)
    {
        var nfa = new Nfa();
        var (start, end) = (nfa.AddState(), 0);
        end = start;
        foreach (var part in parts)
        {
            var next = nfa.AddState();
            nfa.AddDfa(end, part, next);
            end = next;
        }

        return nfa.ToDfa(start, end);
    }

    /// <summary>Texts of any of the languages.</summary>
    public static CharDfa Union(params IReadOnlyList<CharDfa> parts) =>
        parts.Count == 0 ? None : parts.Aggregate((a, b) =>
            IsEmpty(a) || IsUniversal(b) ? b : IsEmpty(b) || IsUniversal(a) ? a : Product(a, b, (p, q) => true, (p, q) => p || q));

    /// <summary>Texts of both languages.</summary>
    public static CharDfa Intersect(CharDfa a, CharDfa b) =>
        ReferenceEquals(a, b) || IsUniversal(b) || IsEmpty(a) ? a
        : IsUniversal(a) || IsEmpty(b) ? b
        : Product(a, b, (p, q) => p != Sink && q != Sink, (p, q) => p && q);

    /// <summary>Texts of the one and not of the other.</summary>
    public static CharDfa Difference(CharDfa a, CharDfa b) =>
        IsEmpty(a) || IsEmpty(b) ? a : IsUniversal(b) ? None : Product(a, b, (p, q) => p != Sink, (p, q) => p && !q);

    /// <summary>Texts that are not of the language.</summary>
    public static CharDfa Complement(CharDfa a) => Difference(AnyString, a);

    /// <summary>Whether no text is of the language.</summary>
    public static bool IsEmpty(CharDfa a) => a.Start == CharDfa.Dead;

    /// <summary>Whether every text is of the language.</summary>
    public static bool IsUniversal(CharDfa a) =>
        a.StateCount == 1 && a.IsAccepting(0) && a.Edges(0).Length == CharSet.All.Ranges.Length && a.IsLive(0, CharSet.MaxValue, CharSet.MaxValue)
        && a.Edges(0)[0] is { Low: 0 } first && first.High == CharSet.All.Ranges[0].High && a.Edges(0)[1].Low == CharSet.All.Ranges[1].Low;

    /// <summary>Whether the text is of the language.</summary>
    public static bool Matches(CharDfa a, string text)
    {
        var state = a.Start;
        foreach (var rune in text.EnumerateRunes())
        {
            if (state == CharDfa.Dead)
                return false;
            state = a.Step(state, rune.Value);
        }

        return state != CharDfa.Dead && a.IsAccepting(state);
    }

    /// <summary>How many texts the language has, but no more than the limit.</summary>
    public static int Count(CharDfa a, int limit)
    {
        // The texts by length: a trim automaton with a loop on the way has more and more of them, a finite one runs out of states.
        if (IsEmpty(a))
            return 0;
        var (ways, total) = (new Dictionary<int, long> { [a.Start] = 1 }, 0L);
        for (var length = 0; length <= a.StateCount && ways.Count > 0 && total < limit; length++)
        {
            var next = new Dictionary<int, long>();
            foreach (var (state, count) in ways)
            {
                total += a.IsAccepting(state) ? count : 0;
                foreach (var edge in a.Edges(state))
                    next[edge.Target] = Math.Min(limit, next.GetValueOrDefault(edge.Target) + count * (edge.High - edge.Low + 1));
            }

            ways = next;
        }

        return ways.Count > 0 ? limit : (int)Math.Min(limit, total);
    }

    private static CharDfa Product(CharDfa a, CharDfa b, Func<int, int, bool> isUseful, Func<bool, bool, bool> accepts)
    {
        return CharDfaBuilder.Build(
            (A: a.Start, B: b.Start),
            Steps,
            pair => accepts(pair.A != Sink && a.IsAccepting(pair.A), pair.B != Sink && b.IsAccepting(pair.B)));

        List<(int, int, (int, int))> Steps((int A, int B) pair)
        {
            var left = pair.A == Sink ? default : a.Edges(pair.A);
            var right = pair.B == Sink ? default : b.Edges(pair.B);
            var (steps, i, j, at) = (new List<(int, int, (int, int))>(), 0, 0, 0);
            while (i < left.Length || j < right.Length)
            {
                // From here to where either side's edge begins or ends, both lead to one state.
                var (inLeft, inRight) = (i < left.Length && left[i].Low <= at, j < right.Length && right[j].Low <= at);
                var end = Math.Min(Bound(left, i, inLeft), Bound(right, j, inRight));
                var (p, q) = (inLeft ? left[i].Target : Sink, inRight ? right[j].Target : Sink);
                if ((inLeft || inRight) && isUseful(p, q))
                    steps.Add((at, end, (p, q)));
                i += inLeft && left[i].High == end ? 1 : 0;
                j += inRight && right[j].High == end ? 1 : 0;
                at = end + 1;
            }

            return steps;
        }

        static int Bound(ReadOnlySpan<CharEdge> edges, int index, bool inside) =>
            index >= edges.Length ? int.MaxValue - 1 : inside ? edges[index].High : edges[index].Low - 1;
    }
}
