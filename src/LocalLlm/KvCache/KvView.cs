using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>
/// What one layer of a cache holds, read-only: pages and full-precision rows, in no particular order. The tensors are views of the cache's
/// own; they belong to the dispose scope in which the view was made and are valid until the next append to the layer.
/// </summary>
/// <param name="Pages">Runs of pages that lie together; empty for a cache without pages.</param>
/// <param name="Keys">[Hkv, R, D] the rows' keys after rotary embedding, in the compute type.</param>
/// <param name="Values">[Hkv, R, D] the rows' values; [Hkv, R − P, D] without those of <paramref name="PackedValues"/>.</param>
/// <param name="RowPositions">The position in the sequence of each of the R rows.</param>
/// <param name="PackedValues">The values of P of the rows, where they are codes; null where all are in <paramref name="Values"/>.</param>
internal sealed record KvView(
    IReadOnlyList<KvPages> Pages, Tensor Keys, Tensor Values, RowPositions RowPositions, KvPackedValues? PackedValues = null);

/// <summary>The values of P consecutive rows of one layer as codes: the values' section of a page.</summary>
/// <param name="Layout">The layer's layout.</param>
/// <param name="FirstRow">
/// The row of the first token; the rows before it are the first of the view's values, those after the P come next.
/// </param>
/// <param name="Codes">[Hkv, <see cref="PageLayout.ValueCodeBytes"/>] uint8.</param>
/// <param name="Scales">[Hkv, <see cref="PageLayout.ValueScaleCount"/>] of <see cref="PageTensors.ScaleType"/>.</param>
internal sealed record KvPackedValues(PageLayout Layout, int FirstRow, Tensor Codes, Tensor Scales);

/// <summary>N ≥ 1 pages of one layer that lie together in memory.</summary>
/// <param name="Layout">The byte layout, the same for all pages of a layer.</param>
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
