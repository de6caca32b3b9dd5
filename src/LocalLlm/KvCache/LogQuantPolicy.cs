namespace LocalLlm.KvCache;

/// <summary>
/// Which tokens LogQuant keeps in full precision (arXiv 2503.19950): pure arithmetic on positions, the same for every layer and head.
/// Appending t to the kept list A does <c>if |A| &lt; 3W: A = A ‖ t, else A = A[0:2W:2] ‖ A[2W:3W] ‖ t</c>; the W odd-indexed tokens of the
/// older 2W become one page. Everything is a function of the length alone, so a cache stores no position of a row.
/// </summary>
internal sealed class LogQuantPolicy
{
    /// <summary>Creates the policy with window <paramref name="window"/>.</summary>
    public LogQuantPolicy(int window)
    {
        if (window <= 0 || window % 32 != 0)
            throw new ArgumentOutOfRangeException(nameof(window), window, "The window must be a positive multiple of 32.");
        Window = window;
    }

    /// <summary>W: tokens of a page.</summary>
    public int Window { get; }

    /// <summary>3W: the most rows.</summary>
    public int ReservedRows => 3 * Window;

    /// <summary>Pages of a sequence of <paramref name="length"/> tokens: its compactions so far.</summary>
    public int PagesAt(int length) => length <= ReservedRows ? 0 : (length - ReservedRows - 1) / Window + 1;

    /// <summary>Rows of a sequence of <paramref name="length"/> tokens: all of up to 3W, then 2W + 1 to 3W.</summary>
    public int RowsAt(int length) => length - PagesAt(length) * Window;

    /// <summary>
    /// Cuts an append after every token that compacts. A token attends before its own append, so the one that compacts still sees the 3W
    /// rows; the next one sees the new page. A segment's tokens all see the same pages and rows, and the segment's earlier tokens.
    /// </summary>
    public AppendPlan Plan(int position, int count)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        var segments = new List<AppendSegment>();
        for (var start = 0; start < count;)
        {
            var size = Math.Min(ReservedRows - RowsAt(position + start) + 1, count - start);
            segments.Add(new AppendSegment(start, size));
            start += size;
        }

        return new AppendPlan(position, count, segments);
    }

    /// <summary>The positions of the rows of a sequence of <paramref name="length"/> tokens, in the order of the rows.</summary>
    public RowPositions RowPositionsAt(int length)
    {
        var pages = PagesAt(length);
        if (pages == 0)
            return new RowPositions(default, 0, length);
        var sparse = new int[Window];
        for (var i = 0; i < sparse.Length; i++)
            sparse[i] = SparsePosition(pages, i);
        return new RowPositions(sparse, (pages + 1) * Window, RowsAt(length));
    }

    /// <summary>The positions of the W tokens of page <paramref name="page"/>, counted from 0, in the order of its slots.</summary>
    public int[] PagePositions(int page)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(page);
        var positions = new int[Window];
        for (var slot = 0; slot < positions.Length; slot++)
        {
            var index = 2 * slot + 1; // among the older 2W: the sparse set, then W consecutive tokens
            positions[slot] = index < Window ? SparsePosition(page, index) : (page + 1) * Window + index - Window;
        }

        return positions;
    }

    // The first W rows after `pages` compactions. Each compaction halves the index in the set before it, until that index lies in the half
    // that then was consecutive: every second token of window `pages`. Before the first compaction the set is 0 … W − 1.
    private int SparsePosition(int pages, int index)
    {
        for (; pages > 0; pages--, index *= 2)
        {
            if (index >= Window / 2)
                return pages * Window + 2 * (index - Window / 2);
            if (index == 0)
                return 0;
        }

        return index;
    }
}
