namespace LocalLlm.KvCache.Policies;

/// <summary>
/// KIVI (arXiv 2402.02750): rows fill up to the residual R (beside the sinks, which the paper does not have), then all R leave at once as
/// R/P pages.
/// </summary>
/// <remarks>
/// One difference from the paper's code: that keeps the last R values in full precision all the time and moves one value a token, while
/// its keys leave R at a time. Here values leave with their keys, because a page is written once and whole. A token's value is quantised
/// by itself in both, so the same numbers are stored, only up to R tokens earlier.
/// </remarks>
internal class KiviPolicy : ResidencyPolicy
{
    /// <summary>Creates the policy.</summary>
    /// <param name="residual">R: the most rows beside the sinks, a multiple of <paramref name="pageTokens"/>.</param>
    /// <param name="sinkTokens">S.</param>
    /// <param name="pageTokens">P.</param>
    public KiviPolicy(int residual, int sinkTokens, int pageTokens)
        : base(sinkTokens, residual, new RowPattern(0, 1, residual), pageTokens, keepsEvicted: true)
    {
    }

    /// <inheritdoc/>
    protected override int EvictedPosition(int index) => index;
}
