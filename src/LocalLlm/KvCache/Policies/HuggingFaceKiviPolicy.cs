namespace LocalLlm.KvCache.Policies;

/// <summary>
/// KIVI as Hugging Face's quantised cache runs it: as <see cref="KiviPolicy"/>, but at the end of a prompt everything that fills whole
/// pages leaves, so that fewer than P rows beside the sinks remain, and rows are filled anew from there.
/// </summary>
/// <remarks>
/// Two differences: its prompt attends in full precision in one piece, ours in pieces of R; and it re-quantises all when rows are full,
/// ours never. Where prompts end is part of the state here, so a follow-up turn differs from a recomputation of the whole conversation.
/// </remarks>
internal sealed class HuggingFaceKiviPolicy : KiviPolicy
{
    private readonly int residual;

    /// <summary>Creates the policy of a sequence that is still in its first prompt.</summary>
    /// <param name="residual">R: the most rows beside the sinks, a multiple of <paramref name="pageTokens"/>.</param>
    /// <param name="sinkTokens">S.</param>
    /// <param name="pageTokens">P.</param>
    public HuggingFaceKiviPolicy(int residual, int sinkTokens, int pageTokens)
        : this(residual, sinkTokens, pageTokens, 0)
    {
    }

    private HuggingFaceKiviPolicy(int residual, int sinkTokens, int pageTokens, int evictedAtPromptEnd)
        : base(residual, sinkTokens, pageTokens) =>
        (this.residual, EvictedAtPromptEnd) = (residual, evictedAtPromptEnd);

    /// <inheritdoc/>
    public override int EvictedAtPromptEnd { get; }

    /// <inheritdoc/>
    public override int EvictedAt(int length) => EvictedAtPromptEnd + base.EvictedAt(length - EvictedAtPromptEnd);

    /// <inheritdoc/>
    public override int MostPagesAt(int length) => Math.Max(0, length - SinkTokens) / PageTokens;

    /// <inheritdoc/>
    public override ResidencyPolicy AtPromptEnd(int length)
    {
        var evicted = MostPagesAt(length) * PageTokens;
        return evicted == EvictedAt(length) ? this : new HuggingFaceKiviPolicy(residual, SinkTokens, PageTokens, evicted);
    }

    /// <inheritdoc/>
    public override ResidencyPolicy WithEvictedAtPromptEnd(int evicted) => evicted % PageTokens == 0
        ? new HuggingFaceKiviPolicy(residual, SinkTokens, PageTokens, evicted)
        : throw new InvalidDataException($"{evicted} tokens are said to have left at a prompt's end; whole pages of {PageTokens} leave then.");
}
