namespace LocalLlm.KvCache.Policies;

/// <summary>
/// LogQuant (arXiv 2503.19950): appending t to the kept list A of the tokens after the sinks does <c>if |A| &lt; 3W: A = A ‖ t, else A =
/// A[0:2W:2] ‖ A[2W:3W] ‖ t</c>; the W odd-indexed tokens of the older 2W become one page, or are dropped (the paper's log-distributed
/// eviction). Density halves with each power of two of age.
/// </summary>
/// <remarks>
/// PartialLogQuant keeps the same keys, and full-precision values of the recent tokens only: the values of the W sparse rows are codes. A
/// value is quantised when its token leaves the recent rows, by itself, so that its codes move on to a page unchanged. The first W values
/// are packed when 2W value rows are full, so that no more are ever reserved.
/// </remarks>
internal sealed class LogQuantPolicy : ResidencyPolicy
{
    /// <summary>Creates the policy.</summary>
    /// <param name="window">W: tokens of a page, a positive multiple of 32.</param>
    /// <param name="sinkTokens">S: tokens before the rule's first, which stay rows.</param>
    /// <param name="packsSparseValues">True for PartialLogQuant.</param>
    /// <param name="keepsEvicted">False to drop what leaves.</param>
    public LogQuantPolicy(int window, int sinkTokens = 0, bool packsSparseValues = false, bool keepsEvicted = true)
        : base(sinkTokens, 3 * window, new RowPattern(1, 2, window), window, keepsEvicted)
    {
        if (packsSparseValues && !keepsEvicted)
            throw new ArgumentException("Values are packed for the pages to come; a policy that drops tokens has none.", nameof(packsSparseValues));
        (Window, PackedValueRows) = (window, packsSparseValues ? window : 0);
    }

    /// <summary>W: tokens of a page.</summary>
    public int Window { get; }

    /// <inheritdoc/>
    public override int PackedValueRows { get; }

    /// <inheritdoc/>
    protected override int SparseRows => Window;

    /// <inheritdoc/>
    protected override int EvictedPosition(int index)
    {
        var (compactions, slot) = (index / Window, index % Window);
        var row = 2 * slot + 1; // among the older 2W: the sparse set, then W consecutive tokens
        return row < Window ? SparsePosition(compactions, row) : (compactions + 1) * Window + row - Window;
    }

    // Each compaction halves the index in the set before it, until that index lies in the half that then was consecutive: every second
    // token of window `compactions`. Before the first compaction the set is 0 … W − 1.
    /// <inheritdoc/>
    protected override int SparsePosition(int compactions, int row)
    {
        for (; compactions > 0; compactions--, row *= 2)
        {
            if (row >= Window / 2)
                return compactions * Window + 2 * (row - Window / 2);
            if (row == 0)
                return 0;
        }

        return row;
    }
}
