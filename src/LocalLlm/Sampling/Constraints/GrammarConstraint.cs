namespace LocalLlm.Sampling.Constraints;

/// <summary>Where one generation stands in a <see cref="CompiledGrammar"/>.</summary>
internal sealed class GrammarConstraint : TokenConstraint
{
    private readonly CompiledGrammar grammar;
    private readonly ConstraintVocabulary vocabulary;
    private readonly GrammarRun run;
    private readonly TokenSet allowed;
    private readonly TokenSet scratch;
    private GrammarState state;
    private bool isAtBeginning;
    private bool isEnded;

    public GrammarConstraint(CompiledGrammar grammar, bool continuesText)
    {
        (this.grammar, vocabulary) = (grammar, grammar.Vocabulary);
        (allowed, scratch, isAtBeginning) = (new TokenSet(vocabulary.LogitCount), new TokenSet(vocabulary.LogitCount), !continuesText);
        lock (vocabulary.Lock)
        {
            run = new GrammarRun(grammar);
            state = run.Start;
        }
    }

    /// <inheritdoc/>
    public override bool MayEnd => isEnded || state.MayEnd;

    /// <inheritdoc/>
    public override void Mask(Span<float> logits)
    {
        lock (vocabulary.Lock)
            Collect();
        allowed.Mask(logits);
        if (allowed.IsEmpty)
        {
            throw new LocalLlmException("The output constraint asks for text that none of the model's tokens can spell"
                + (MayEnd ? ", and the model has no token that ends an output." : ": its vocabulary lacks a character that must come next."));
        }
    }

    /// <summary>Whether a token can come next.</summary>
    public bool Allows(int id)
    {
        lock (vocabulary.Lock)
            return Next(id) is not null;
    }

    /// <inheritdoc/>
    public override void Accept(int tokenId)
    {
        lock (vocabulary.Lock)
        {
            state = Next(tokenId) ?? throw new InvalidOperationException($"Token {tokenId} cannot come next under the output constraint.");
            isEnded |= vocabulary.EndIds.Contains(tokenId);
            isAtBeginning &= !vocabulary.IsControl(tokenId) && vocabulary.Bytes(tokenId, atBeginning: false).Length == 0;
        }
    }

    private GrammarState? Next(int id)
    {
        if (vocabulary.EndIds.Contains(id))
            return MayEnd ? state : null;
        if (isEnded)
            return null;
        if (vocabulary.IsControl(id))
            return run.StepControl(state, id);
        // A token of no bytes leads nowhere.
        var next = vocabulary.Bytes(id, atBeginning: false).Length == 0 ? null : state;
        foreach (var value in vocabulary.Bytes(id, isAtBeginning))
            next = next?.Step(value, run);
        return next;
    }

    private void Collect()
    {
        allowed.Clear();
        if (MayEnd)
        {
            foreach (var id in vocabulary.EndIds)
                allowed.Add(id);
        }

        if (isEnded)
            return;
        foreach (var (terminal, at, next) in state.Configurations)
        {
            if (terminal is null)
                continue;
            if (terminal.Machine is not { } machine)
            {
                allowed.Add(terminal.TokenId);
                continue;
            }

            if (machine is Machines.FreeTextMachine text && !text.IsEnded(at))
            {
                foreach (var id in terminal.ControlIds)
                    allowed.Add(id);
            }

            var mask = terminal.Mask(at, isAtBeginning, scratch);
            if (mask.Words is { } words)
                allowed.Add(words);
            else
                allowed.Add(mask.Ids);
            if (mask.Exits.Length == 0 || run.After(next) is not { TakesBytes: true } after)
                continue;
            foreach (var exit in mask.Exits)
                AddBelow(mask.Trie, exit, after);
        }
    }

    /// <summary>Adds the tokens below a node that lead on from a state.</summary>
    private void AddBelow(TokenTrie trie, int top, GrammarState from)
    {
        var end = trie.End(top);
        for (var node = top + 1; node < end; node = trie.End(node))
        {
            if (from.Step(trie.Byte(node), run) is not { } next)
                continue;
            allowed.Add(trie.Tokens(node));
            if (trie.End(node) > node + 1)
                AddBelow(trie, node, next);
        }
    }
}
