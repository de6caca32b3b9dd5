using LocalLlm.Sampling.Constraints.Machines;

namespace LocalLlm.Sampling.Constraints.Matching;

/// <summary>
/// Works out which tokens can come next: walks the vocabulary's tries along with the matcher, leaving out the plain tokens where a terminal takes
/// them all. Not thread-safe: a compiled grammar guards it.
/// </summary>
internal sealed class MaskBuilder(GrammarMatcher matcher, ConstraintVocabulary vocabulary)
{
    private readonly ulong[] bits = new ulong[(vocabulary.LogitCount + 63) / 64];
    private MatcherState?[] statesByDepth = [];
    private int[] numbersByDepth = [];

    /// <summary>The tokens that can come next.</summary>
    /// <param name="state">A state of the matcher.</param>
    /// <param name="tries">The text tokens as they are at this place of the text.</param>
    public TokenMask Build(MatcherState state, TokenTries tries)
    {
        Array.Clear(bits);
        var depth = Math.Max(tries.Plain.MaxDepth, tries.Rest.MaxDepth) + 1;
        if (statesByDepth.Length < depth)
            (statesByDepth, numbersByDepth) = (new MatcherState?[depth], new int[depth]);

        var walked = new List<Configuration>();
        foreach (var configuration in state.Configurations)
        {
            if (configuration.Machine.PlainReach(configuration.State) is > 0 and var reach)
                AddAll(tries.PlainUpTo(reach));
            else
                walked.Add(configuration);
            AddControl(configuration);
        }

        if (walked.Count > 0)
            Walk(tries.Plain, walked.Count == state.Configurations.Length ? state : matcher.Of(walked));
        if (state.Configurations.Length > 0)
        {
            Walk(tries.Rest, state);
            AddAll(tries.Rest.RootTokens);
        }

        if (state.MayEnd)
            AddAll(vocabulary.EndIds);
        Array.Clear(statesByDepth);
        return new TokenMask(bits);
    }

    private void Add(int id) => bits[id >> 6] |= 1ul << id;

    private void AddAll(IEnumerable<int> ids)
    {
        foreach (var id in ids)
            Add(id);
    }

    private void AddAll(ReadOnlySpan<ulong> set)
    {
        for (var i = 0; i < set.Length; i++)
            bits[i] |= set[i];
    }

    private void AddControl(Configuration configuration)
    {
        if (configuration.Machine is TokenMachine token)
            Add(token.TokenId);
        if (configuration.Machine is not FreeTextMachine free)
            return;
        AddAll(free.StopIds);
        foreach (var id in vocabulary.ControlIds)
        {
            if (!vocabulary.EndIds.Contains(id) && free.StepControl(configuration.State, id, vocabulary.Bytes(id)) != ByteMachine.Dead)
                Add(id);
        }
    }

    private void Walk(TokenTrie trie, MatcherState state)
    {
        if (state.IsWithinTerminal)
            WalkTerminal(trie, 0, trie.Count, 0, state.Configurations[0]);
        else
            WalkStates(trie, 0, trie.Count, 0, state);
    }

    /// <summary>Walks the nodes from first to end, descendants of a node at a depth at which the matcher is in a state.</summary>
    private void WalkStates(TokenTrie trie, int first, int end, int depth, MatcherState state)
    {
        statesByDepth[depth] = state;
        for (var node = first; node < end;)
        {
            var at = trie.Depths[node];
            if (matcher.Step(statesByDepth[at - 1]!, trie.Bytes[node]) is not { } next)
            {
                node = trie.Ends[node];
                continue;
            }

            AddTokens(trie, node);
            if (next.IsWithinTerminal && node + 1 < trie.Ends[node])
            {
                WalkTerminal(trie, node + 1, trie.Ends[node], at, next.Configurations[0]);
                node = trie.Ends[node];
                continue;
            }

            statesByDepth[at] = next;
            node++;
        }
    }

    /// <summary>As <see cref="WalkStates"/> within one terminal, where a state is a number, until the terminal may end.</summary>
    private void WalkTerminal(TokenTrie trie, int first, int end, int depth, Configuration configuration)
    {
        var (machine, numbers) = (configuration.Machine, numbersByDepth);
        numbers[depth] = configuration.State;
        for (var node = first; node < end;)
        {
            var at = trie.Depths[node];
            var next = machine.Step(numbers[at - 1], trie.Bytes[node]);
            if (next == ByteMachine.Dead)
            {
                node = trie.Ends[node];
                continue;
            }

            AddTokens(trie, node);
            if (machine.IsAccepting(next))
            {
                if (node + 1 < trie.Ends[node])
                    WalkStates(trie, node + 1, trie.Ends[node], at, matcher.After(machine, next, configuration.Frame));
                node = trie.Ends[node];
                continue;
            }

            numbers[at] = next;
            node++;
        }
    }

    private void AddTokens(TokenTrie trie, int node)
    {
        for (var i = trie.TokenStarts[node]; i < trie.TokenStarts[node + 1]; i++)
            Add(trie.TokenIds[i]);
    }
}
