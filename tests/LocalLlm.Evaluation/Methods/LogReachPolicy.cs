using LocalLlm.KvCache.Policies;

namespace LocalLlm.Evaluation.Methods;

/// <summary>
/// LogQuant with a longer reach: of the older s·W rows every s-th leaves at a compaction instead of every second of 2W, so that density
/// falls to 1 − 1/s a window of age instead of to a half. s = 2 is LogQuant.
/// </summary>
internal sealed class LogReachPolicy : ResidencyPolicy
{
    private readonly int window;
    private readonly int step;

    /// <summary>Creates the policy.</summary>
    /// <param name="window">W: tokens of a page, and rows that leave at a time.</param>
    /// <param name="step">s, 2 or more.</param>
    /// <param name="sinkTokens">S.</param>
    public LogReachPolicy(int window, int step, int sinkTokens = 0)
        : base(sinkTokens, (step + 1) * window, new RowPattern(1, step, window), window, keepsEvicted: true)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(step, 2);
        (this.window, this.step) = (window, step);
    }

    /// <inheritdoc/>
    protected override int SparseRows => (step - 1) * window;

    /// <inheritdoc/>
    protected override int EvictedPosition(int index)
    {
        var (compactions, slot) = (index / window, index % window);
        return Position(compactions, (step * slot) + 1);
    }

    /// <inheritdoc/>
    protected override int SparsePosition(int compactions, int row)
    {
        if (compactions == 0)
            return row;
        // Of each s rows before the compaction the second left.
        var (block, offset) = (row / (step - 1), row % (step - 1));
        return Position(compactions - 1, (block * step) + (offset == 0 ? 0 : offset + 1));
    }

    // Of a row after so many compactions: sparse ones first, then consecutive ones.
    private int Position(int compactions, int row) => row < SparseRows ? SparsePosition(compactions, row) : (compactions * window) + row;
}
