using LocalLlm.Sampling.Constraints.Matching;

namespace LocalLlm.Sampling.Constraints;

/// <summary>Where one generation stands in a compiled grammar.</summary>
internal sealed class GrammarConstraint : TokenConstraint
{
    private readonly CompiledGrammar grammar;
    private MatcherState state;
    private TextBeginning beginning;
    private bool hasEnded;

    /// <param name="grammar">The grammar.</param>
    /// <param name="state">Its start.</param>
    /// <param name="beginning">What decoding takes off the output's beginning. A control token ends the beginning.</param>
    public GrammarConstraint(CompiledGrammar grammar, MatcherState state, TextBeginning beginning) =>
        (this.grammar, this.state, this.beginning) = (grammar, state, beginning);

    /// <inheritdoc/>
    public override bool MayEnd => hasEnded || state.MayEnd;

    /// <inheritdoc/>
    public override void Mask(Span<float> logits)
    {
        var vocabulary = grammar.Vocabulary;
        if (logits.Length != vocabulary.LogitCount)
            throw new ArgumentException($"There are {logits.Length} logits; the constraint was made for {vocabulary.LogitCount}.", nameof(logits));
        if (hasEnded)
        {
            for (var id = 0; id < logits.Length; id++)
                logits[id] = vocabulary.EndIds.Contains(id) ? logits[id] : float.NegativeInfinity;
            return;
        }

        var mask = grammar.Mask(ref state, beginning);
        if (mask.Count == 0)
            throw new LocalLlmException(state is { MayEnd: true, Configurations.Length: 0 }
                ? "The constrained output is complete, but the model's files name no token that ends an output (eos_token_id)."
                : "No token of the model's vocabulary can continue the constrained output: it has no tokens for the characters that come next.");
        mask.Apply(logits);
    }

    /// <inheritdoc/>
    public override void Accept(int tokenId)
    {
        var vocabulary = grammar.Vocabulary;
        if (MayEnd && vocabulary.EndIds.Contains(tokenId))
        {
            hasEnded = true;
            return;
        }

        var next = beginning;
        ReadOnlySpan<byte> text = [];
        var isKnown = tokenId >= 0 && tokenId < vocabulary.LogitCount && !hasEnded;
        if (isKnown && vocabulary.IsText(tokenId))
            text = beginning == default ? vocabulary.Bytes(tokenId) : vocabulary.Bytes(tokenId, ref next).Span;
        else
            next = default;
        state = (isKnown ? grammar.Step(state, tokenId, text) : null)
            ?? throw new InvalidOperationException($"Token {tokenId} cannot come next in the constrained output.");
        beginning = next;
    }
}
