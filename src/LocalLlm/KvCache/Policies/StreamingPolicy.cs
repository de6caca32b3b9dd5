namespace LocalLlm.KvCache.Policies;

/// <summary>
/// Sinks and a recent window: with 3W rows beside the sinks, as many as LogQuant's, the oldest W leave. In pages that is StreamingQuant,
/// the baseline of equal bytes; dropped it is StreamingLLM (arXiv 2309.17453), except that positions are not re-numbered: a key keeps the
/// rotation of its position in the sequence.
/// </summary>
/// <param name="window">W: rows that leave at a time, a multiple of <paramref name="pageTokens"/> where they go to pages.</param>
/// <param name="sinkTokens">S.</param>
/// <param name="pageTokens">P.</param>
/// <param name="keepsEvicted">False to drop what leaves.</param>
internal sealed class StreamingPolicy(int window, int sinkTokens, int pageTokens, bool keepsEvicted = true)
    : ResidencyPolicy(sinkTokens, 3 * window, new RowPattern(0, 1, window), pageTokens, keepsEvicted)
{
    /// <inheritdoc/>
    protected override int EvictedPosition(int index) => index;
}
