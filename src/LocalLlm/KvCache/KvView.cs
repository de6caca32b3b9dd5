using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>
/// What one layer of a cache holds, read-only: pages and full-precision rows, in no particular order. The tensors are views of the cache's
/// own; they belong to the dispose scope in which the view was made and are valid until the next append to the layer.
/// </summary>
/// <param name="Pages">Runs of 2-bit pages that lie together; empty for a cache without pages.</param>
/// <param name="Keys">[Hkv, R, D] the rows' keys after rotary embedding, in the compute type.</param>
/// <param name="Values">[Hkv, R, D] the rows' values.</param>
/// <param name="RowPositions">The position in the sequence of each of the R rows.</param>
internal sealed record KvView(IReadOnlyList<KvPages> Pages, Tensor Keys, Tensor Values, RowPositions RowPositions);

/// <summary>N ≥ 1 pages of one layer that lie together in memory.</summary>
/// <param name="Layout">The byte layout, the same for all pages of a cache.</param>
/// <param name="Codes">[N, Hkv, <see cref="PageLayout.CodeBytes"/>] uint8.</param>
/// <param name="Scales">[N, Hkv, <see cref="PageLayout.ScaleCount"/>] of <see cref="PageTensors.ScaleType"/>.</param>
/// <param name="Positions">[N, P] int32: the position in the sequence of each slot.</param>
internal sealed record KvPages(PageLayout Layout, Tensor Codes, Tensor Scales, Tensor Positions)
{
    /// <summary>N·P: tokens of all the pages.</summary>
    public long Tokens => Codes.shape[0] * Layout.Tokens;
}

/// <summary>The positions of a layer's rows: first a sparse set, then consecutive ones.</summary>
/// <param name="Sparse">Positions of the first rows, ascending; empty where all are consecutive.</param>
/// <param name="RecentStart">Position of the first row after the sparse ones.</param>
/// <param name="Count">Number of rows, the sparse ones included.</param>
internal readonly record struct RowPositions(ReadOnlyMemory<int> Sparse, int RecentStart, int Count)
{
    /// <summary>The position of row <paramref name="row"/>.</summary>
    public int this[int row]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfNegative(row);
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(row, Count);
            return row < Sparse.Length ? Sparse.Span[row] : RecentStart + row - Sparse.Length;
        }
    }

    /// <summary>All positions, in the order of the rows.</summary>
    public int[] ToArray()
    {
        var positions = new int[Count];
        for (var row = 0; row < positions.Length; row++)
            positions[row] = this[row];
        return positions;
    }
}
