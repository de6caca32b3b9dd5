namespace LocalLlm.KvCache.Policies;

/// <summary>
/// Which tokens of a sequence are full-precision rows, which are in pages and which are gone: pure arithmetic on positions, the same for
/// every layer and head. Everything is a function of the length (and, after <see cref="AtPromptEnd"/>, of that length too), so a cache
/// stores no position of a row and any chunking of an append leaves the same cache.
/// </summary>
/// <remarks>
/// Rows are a list in the order of their positions: first the sinks (positions 0 to S − 1, which never leave and are in no page), then
/// the body. The token that finds the list full attends to it, then <see cref="EvictedRows"/> leave and the token is appended. What
/// leaves becomes pages, P rows each in the order of the list, or is dropped; positions are never re-numbered.
/// </remarks>
internal abstract class ResidencyPolicy
{
    /// <summary>Creates the policy.</summary>
    /// <param name="sinkTokens">S, 0 or more.</param>
    /// <param name="bodyRows">The most rows beside the sinks.</param>
    /// <param name="evictedRows">Which of the body's rows leave when it is full, counted from the body's first row.</param>
    /// <param name="pageTokens">
    /// P, a positive multiple of 32; divides the number of <paramref name="evictedRows"/> where those are kept in pages.
    /// </param>
    /// <param name="keepsEvicted">False to drop what leaves.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is none of these.</exception>
    protected ResidencyPolicy(int sinkTokens, int bodyRows, RowPattern evictedRows, int pageTokens, bool keepsEvicted)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(sinkTokens);
        if (pageTokens <= 0 || pageTokens % 32 != 0)
            throw new ArgumentOutOfRangeException(nameof(pageTokens), pageTokens, "A page's token count must be a positive multiple of 32.");
        if (keepsEvicted && evictedRows.Count % pageTokens != 0)
        {
            throw new ArgumentOutOfRangeException(
                nameof(pageTokens), pageTokens, $"{evictedRows.Count} rows leave at a time; a page's token count must divide that.");
        }

        (SinkTokens, ReservedRows, PageTokens, KeepsEvicted) = (sinkTokens, sinkTokens + bodyRows, pageTokens, keepsEvicted);
        EvictedRows = evictedRows with { First = sinkTokens + evictedRows.First };
    }

    /// <summary>S: the first tokens of the sequence, rows for ever.</summary>
    public int SinkTokens { get; }

    /// <summary>P: tokens of a page.</summary>
    public int PageTokens { get; }

    /// <summary>The most rows, the sinks included.</summary>
    public int ReservedRows { get; }

    /// <summary>The rows that leave at a compaction.</summary>
    public RowPattern EvictedRows { get; }

    /// <summary>True if what leaves goes to pages, false if it is dropped.</summary>
    public bool KeepsEvicted { get; }

    /// <summary>
    /// Rows after the sinks whose values are held as codes once the value rows are full for the first time: 0, or for a policy that
    /// spends full precision on keys the number of its sparse rows.
    /// </summary>
    public virtual int PackedValueRows => 0;

    /// <summary>The most rows whose values are in full precision.</summary>
    public int ValueRows => ReservedRows - PackedValueRows;

    /// <summary>Tokens of the first <paramref name="length"/> that are no rows any more, kept in pages or not.</summary>
    public virtual int EvictedAt(int length) =>
        length <= ReservedRows ? 0 : ((length - ReservedRows - 1) / EvictedRows.Count + 1) * EvictedRows.Count;

    /// <summary>Pages of a sequence of <paramref name="length"/> tokens.</summary>
    public int PagesAt(int length) => KeepsEvicted ? EvictedAt(length) / PageTokens : 0;

    /// <summary>The most pages that a sequence of <paramref name="length"/> tokens can have, wherever its prompts end.</summary>
    public virtual int MostPagesAt(int length) => PagesAt(length);

    /// <summary>Rows of a sequence of <paramref name="length"/> tokens.</summary>
    public int RowsAt(int length) => length - EvictedAt(length);

    /// <summary>Rows after the sinks whose values are codes: 0 or <see cref="PackedValueRows"/>.</summary>
    public int PackedValueRowsAt(int length) => length > ValueRows ? PackedValueRows : 0;

    /// <summary>Rows whose values are in full precision.</summary>
    public int ValueRowsAt(int length) => RowsAt(length) - PackedValueRowsAt(length);

    /// <summary>
    /// Cuts an append after every token that finds the rows, or the rows of values, full. A token attends before its own append, so the
    /// one that compacts still sees the full rows; the next one sees the new page. A segment's tokens all see the same pages and rows,
    /// and the segment's earlier tokens.
    /// </summary>
    public AppendPlan Plan(int position, int count)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        var segments = new List<AppendSegment>();
        for (var start = 0; start < count;)
        {
            var length = position + start;
            var room = Math.Min(ReservedRows - RowsAt(length), ValueRows - ValueRowsAt(length));
            var size = Math.Min(room + 1, count - start);
            segments.Add(new AppendSegment(start, size));
            start += size;
        }

        return new AppendPlan(position, count, segments);
    }

    /// <summary>The positions of the rows of a sequence of <paramref name="length"/> tokens, in the order of the rows.</summary>
    public RowPositions RowPositionsAt(int length)
    {
        var evicted = EvictedAt(length);
        if (evicted == 0)
            return new RowPositions(default, 0, length);
        var sparse = new int[SinkTokens + SparseRows];
        for (var sink = 0; sink < SinkTokens; sink++)
            sparse[sink] = sink;
        for (var row = 0; row < SparseRows; row++)
            sparse[SinkTokens + row] = SinkTokens + SparsePosition(evicted / EvictedRows.Count, row);
        return new RowPositions(sparse, evicted + sparse.Length, length - evicted);
    }

    /// <summary>The positions of the P tokens of page <paramref name="page"/>, counted from 0, in the order of its slots.</summary>
    public int[] PagePositions(int page)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(page);
        var positions = new int[PageTokens];
        for (var slot = 0; slot < positions.Length; slot++)
            positions[slot] = SinkTokens + EvictedPosition(page * PageTokens + slot);
        return positions;
    }

    /// <summary>
    /// The policy of a sequence whose prompt ends at <paramref name="length"/>; this one where a prompt's end changes nothing. The rows
    /// that leave then are the body's first, whole pages of them.
    /// </summary>
    public virtual ResidencyPolicy AtPromptEnd(int length) => this;

    /// <summary>
    /// Tokens that had left when the last prompt ended, where that changed something; else 0. With the length it is all the state there is.
    /// </summary>
    public virtual int EvictedAtPromptEnd => 0;

    /// <summary>This policy in that state, for a cache that is read back.</summary>
    /// <exception cref="InvalidDataException">No prompt's end leads there.</exception>
    public virtual ResidencyPolicy WithEvictedAtPromptEnd(int evicted) => evicted == 0
        ? this
        : throw new InvalidDataException($"{evicted} tokens are said to have left at a prompt's end, which changes nothing under this policy.");

    /// <summary>Body rows that are no consecutive tokens once a compaction has happened.</summary>
    protected virtual int SparseRows => 0;

    /// <summary>
    /// The position after the sinks of sparse row <paramref name="row"/> after <paramref name="compactions"/> ≥ 1 compactions.
    /// </summary>
    protected virtual int SparsePosition(int compactions, int row) => throw new InvalidOperationException("This policy has no sparse rows.");

    /// <summary>The position after the sinks of the token that was the <paramref name="index"/>th to leave, counted from 0.</summary>
    protected abstract int EvictedPosition(int index);
}
