using LocalLlm.Sampling.Constraints.Machines;

namespace LocalLlm.Sampling.Constraints;

/// <summary>What a terminal's state lets tokens do.</summary>
/// <param name="Words">The tokens that stay within the terminal, in words of 64; null where they are few.</param>
/// <param name="Ids">The same as ids where they are few.</param>
/// <param name="Trie">The trie of <paramref name="Exits"/>.</param>
/// <param name="Exits">The nodes, others below them, at which the terminal may end in the middle of tokens: what comes after decides about those.</param>
internal sealed record TerminalMask(ulong[]? Words, int[]? Ids, TokenTrie Trie, int[] Exits);

/// <summary>
/// A part of a grammar that tokens are matched against byte by byte, with what is known of its states. Shared by grammars over a vocabulary, whose lock
/// guards it.
/// </summary>
internal sealed class Terminal
{
    private const int FewTokens = 512;

    /// <summary>Of one terminal's sets of tokens; a model of 150,000 tokens takes 19 KB a set.</summary>
    private const long MostMaskBytes = 32 << 20;

    private readonly ConstraintVocabulary vocabulary;
    private readonly Dictionary<(int State, bool AtBeginning), TerminalMask> masks = [];
    private long maskBytes;

    private Terminal(ConstraintVocabulary vocabulary, ByteMachine? machine, int tokenId, FreeTextNode? freeText)
    {
        (this.vocabulary, Machine, TokenId) = (vocabulary, machine, tokenId);
        if (freeText is null)
            return;
        StopIds = freeText.StopIds;
        ControlIds = [.. vocabulary.ControlIds.Except(freeText.BannedIds).Union(freeText.StopIds)];
    }

    /// <summary>Matches bytes; null for a terminal of one control token.</summary>
    public ByteMachine? Machine { get; }

    /// <summary>The control token, or −1.</summary>
    public int TokenId { get; }

    /// <summary>Control tokens that a free text may hold, those that end it among them.</summary>
    public IReadOnlyList<int> ControlIds { get; } = [];

    /// <summary>Control tokens that end a free text.</summary>
    public IReadOnlyList<int> StopIds { get; } = [];

    /// <summary>A terminal of bytes.</summary>
    public static Terminal Of(ConstraintVocabulary vocabulary, ByteMachine machine) => new(vocabulary, machine, -1, null);

    /// <summary>A terminal of one control token.</summary>
    public static Terminal Of(ConstraintVocabulary vocabulary, TokenNode node) => new(vocabulary, null, node.Id, null);

    /// <summary>A terminal of free text.</summary>
    public static Terminal Of(ConstraintVocabulary vocabulary, FreeTextNode node) => new(vocabulary, new FreeTextMachine(node), -1, node);

    /// <summary>Whether the terminal may end in a state.</summary>
    public bool IsAccepting(int state) => Machine?.IsAccepting(state) == true;

    /// <summary>What a state lets tokens do.</summary>
    /// <param name="state">The state.</param>
    /// <param name="atBeginning">Whether the output begins here.</param>
    /// <param name="scratch">A set to build it in.</param>
    public TerminalMask Mask(int state, bool atBeginning, TokenSet scratch)
    {
        atBeginning &= vocabulary.FirstTrie != vocabulary.Trie;
        state = Machine!.Representative(state, vocabulary.Trie.MaxDepth);
        if (masks.TryGetValue((state, atBeginning), out var known))
            return known;
        if (maskBytes > MostMaskBytes)
        {
            masks.Clear();
            maskBytes = 0;
        }

        var mask = Build(state, atBeginning ? vocabulary.FirstTrie : vocabulary.Trie, scratch);
        maskBytes += (8L * (mask.Words?.Length ?? 0)) + (4L * (mask.Exits.Length + (mask.Ids?.Length ?? 0))) + 100;
        return masks[(state, atBeginning)] = mask;
    }

    private TerminalMask Build(int state, TokenTrie trie, TokenSet scratch)
    {
        scratch.Clear();
        // Plain tokens need no walk where all characters are the same to the terminal.
        if (Machine!.FreeCharacters(state) is var free and >= 0)
        {
            scratch.Add(vocabulary.PlainTokens(free));
            trie = vocabulary.OtherTrie;
        }

        var exits = new List<int>();
        var path = new Stack<(int End, int State)>([(trie.Count, state)]);
        for (var node = 1; node < trie.Count;)
        {
            while (node >= path.Peek().End)
                path.Pop();
            var next = Machine.Step(path.Peek().State, trie.Byte(node));
            if (next == ByteMachine.Dead)
            {
                node = trie.End(node);
                continue;
            }

            scratch.Add(trie.Tokens(node));
            if (Machine.IsAccepting(next) && trie.End(node) > node + 1)
                exits.Add(node);
            path.Push((trie.End(node), next));
            node++;
        }

        var ids = scratch.ToArray(FewTokens);
        return new TerminalMask(ids is null ? scratch.ToWords() : null, ids, trie, [.. exits]);
    }
}
