namespace LocalLlm.Sampling.Constraints.Automata;

/// <summary>From an ECMAScript regular expression to an automaton.</summary>
internal static class RegexCompiler
{
    /// <summary>The texts that a pattern matches.</summary>
    /// <param name="pattern">The pattern, without look-around, back references and word boundaries.</param>
    /// <param name="anchored">Whether it must match the whole text; otherwise it may match anywhere in it, unless its own anchors say more.</param>
    /// <exception cref="ConstraintException">The pattern is wrong, not regular, or its automaton too large.</exception>
    public static CharDfa Compile(string pattern, bool anchored)
    {
        var tree = RegexParser.Parse(pattern);
        try
        {
            var nfa = new Nfa();
            var (start, end) = (nfa.AddState(), nfa.AddState());
            if (!anchored)
            {
                var first = nfa.AddState();
                nfa.AddEdge(start, CharSet.All, start);
                nfa.AddEpsilon(start, first);
                Add(nfa, tree, first, end);
            }
            else
            {
                Add(nfa, tree, start, end);
            }

            return nfa.ToDfa(start, end, acceptsAnyRest: !anchored);
        }
        catch (ConstraintException e)
        {
            throw new ConstraintException($"The pattern '{pattern}'", e.Problems);
        }
    }

    private static void Add(Nfa nfa, RegexNode node, int from, int to)
    {
        switch (node)
        {
            case RegexSet set:
                nfa.AddEdge(from, set.Set, to);
                break;
            case RegexAnchor anchor:
                nfa.AddEpsilon(from, to, anchor.Where);
                break;
            case RegexChoice choice:
                foreach (var item in choice.Items)
                    Add(nfa, item, from, to);
                break;
            case RegexSequence sequence:
                foreach (var item in sequence.Items)
                    from = AddFrom(nfa, item, from);
                nfa.AddEpsilon(from, to);
                break;
            case RegexRepeat repeat:
                AddRepeat(nfa, repeat, from, to);
                break;
        }
    }

    private static void AddRepeat(Nfa nfa, RegexRepeat repeat, int from, int to)
    {
        for (var i = 0; i < repeat.Min; i++)
            from = AddFrom(nfa, repeat.Item, from);
        if (repeat.Max is { } max)
        {
            for (var i = repeat.Min; i < max; i++)
            {
                nfa.AddEpsilon(from, to);
                from = AddFrom(nfa, repeat.Item, from);
            }
        }
        else
        {
            // A state of its own, so that what else begins here does not come into the loop.
            var loop = nfa.AddState();
            nfa.AddEpsilon(from, loop);
            Add(nfa, repeat.Item, loop, loop);
            from = loop;
        }

        nfa.AddEpsilon(from, to);
    }

    private static int AddFrom(Nfa nfa, RegexNode node, int from)
    {
        var end = nfa.AddState();
        Add(nfa, node, from, end);
        return end;
    }
}
