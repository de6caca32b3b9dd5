using LocalLlm.KvCache.Policies;
using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>
/// What a <see cref="PagedKvCache"/> does to its tensors, for one layer at a time. Whole tensors come with the layer and the first
/// indexes, so that an implementation over raw pointers makes no views. Implementations leave the same bits. One that does not wait for a device
/// tells later what is wrong, and not by these exceptions.
/// </summary>
/// <remarks>
/// "rows" is [L, Hkv, reserved, D] in the compute type, keys or values; "fresh" is [n, Hkv, D] of the same type, any strides.
/// </remarks>
internal interface ICacheOperations
{
    /// <summary>Throws if a fresh key or value is NaN or infinite.</summary>
    /// <param name="layer">The layer, for the message.</param>
    /// <param name="position">Position of the first token, for the message.</param>
    /// <param name="k">[n, Hkv, D].</param>
    /// <param name="v">[n, Hkv, D].</param>
    /// <exception cref="LocalLlmException">One is; the message names the layer, the token, the head and the channel.</exception>
    void RequireFinite(int layer, int position, Tensor k, Tensor v);

    /// <summary>Copies tokens <paramref name="token"/>… of <paramref name="fresh"/> to rows <paramref name="row"/>….</summary>
    void WriteRows(Tensor rows, int layer, int row, Tensor fresh, int token, int count);

    /// <summary>
    /// Closes the gaps that <paramref name="removed"/> rows leave among the first <paramref name="count"/>; the others keep their order.
    /// </summary>
    void RemoveRows(Tensor rows, int layer, RowPattern removed, int count);

    /// <summary>Quantises rows to pages that lie together in a block.</summary>
    /// <param name="layout">The layer's layout.</param>
    /// <param name="layer">The layer.</param>
    /// <param name="keys">Rows.</param>
    /// <param name="values">Rows, the same tokens at the same indexes.</param>
    /// <param name="evicted">P rows of each page, in the order of the slots.</param>
    /// <param name="block">Where the pages lie.</param>
    /// <param name="slot">The first page of the block.</param>
    /// <exception cref="LocalLlmException">A number fits no page; the message names the layer.</exception>
    void WritePages(PageLayout layout, int layer, Tensor keys, Tensor values, RowPattern evicted, PageBlock block, int slot);

    /// <summary>
    /// As <see cref="WritePages"/> for one page where the values of the sparse rows are codes: quantises P rows of keys and the next P values, then
    /// moves codes. Of the 2P tokens, those packed and then those just quantised, each second one from the second on goes to the page,
    /// the others to <paramref name="packed"/>.
    /// </summary>
    /// <param name="layout">The layer's layout.</param>
    /// <param name="layer">The layer.</param>
    /// <param name="keys">Rows.</param>
    /// <param name="evicted">The P rows of keys, in the order of the slots.</param>
    /// <param name="packed">The values of the sparse rows.</param>
    /// <param name="values">Rows.</param>
    /// <param name="valueRow">The first of the P rows of values that leave full precision.</param>
    /// <param name="block">Where the page lies.</param>
    /// <param name="slot">Which page of the block.</param>
    /// <exception cref="LocalLlmException">A number fits no page; the message names the layer.</exception>
    void WritePageFromPacked(
        PageLayout layout, int layer, Tensor keys, RowPattern evicted, PackedValues packed, Tensor values, int valueRow, PageBlock block,
        int slot);

    /// <summary>Quantises rows <paramref name="valueRow"/> … + P − 1 of values to <paramref name="packed"/>.</summary>
    /// <exception cref="LocalLlmException">A number fits no page; the message names the layer.</exception>
    void PackValues(PageLayout layout, int layer, Tensor values, int valueRow, PackedValues packed);

    /// <summary>
    /// Throws if something written outside a step is wrong that was not told at once. What a step wrote is its attention backend's to ask for.
    /// </summary>
    /// <exception cref="LocalLlmException">As the methods above would have thrown it.</exception>
    void RequireWritten()
    {
    }
}
