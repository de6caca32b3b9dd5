using LocalLlm.KvCache.Policies;
using LocalLlm.Quantization;
using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>The reference: torch operations, the same on CPU and CUDA.</summary>
/// <param name="clipSearch">Seek each group's best scale and minimum when a page is made.</param>
internal sealed class TorchCacheOperations(bool clipSearch = false) : ICacheOperations
{
    /// <inheritdoc/>
    public void RequireFinite(int layer, int position, Tensor k, Tensor v) => FiniteCheck.Require(layer, position, k, v);

    /// <inheritdoc/>
    public void WriteRows(Tensor rows, int layer, int row, Tensor fresh, int token, int count)
    {
        if (count == 0)
            return;
        using var scope = NewDisposeScope();
        rows[layer].narrow(1, row, count).copy_(fresh.narrow(0, token, count).transpose(0, 1));
    }

    /// <inheritdoc/>
    public void RemoveRows(Tensor rows, int layer, RowPattern removed, int count)
    {
        using var scope = NewDisposeScope();
        var kept = Enumerable.Range(removed.First, count - removed.First).Where(row => !removed.Contains(row)).ToArray();
        if (kept.Length == 0)
            return;
        var layerRows = rows[layer];
        layerRows.narrow(1, removed.First, kept.Length).copy_(layerRows.index_select(1, tensor(kept, device: rows.device)));
    }

    /// <inheritdoc/>
    public void WritePages(PageLayout layout, int layer, Tensor keys, Tensor values, RowPattern evicted, PageBlock block, int slot)
    {
        for (var page = 0; page * layout.Tokens < evicted.Count; page++)
        {
            using var scope = NewDisposeScope();
            var rows = evicted.Part(page * layout.Tokens, layout.Tokens);
            var (codes, scales) = PageTensors.Quantize(layout, Rows(keys, layer, rows), Rows(values, layer, rows), layer, clipSearch);
            block.Codes[layer][slot + page].copy_(codes);
            block.Scales[layer][slot + page].copy_(scales);
        }
    }

    /// <inheritdoc/>
    public void WritePageFromPacked(
        PageLayout layout, int layer, Tensor keys, RowPattern evicted, PackedValues packed, Tensor values, int valueRow, PageBlock block,
        int slot)
    {
        using var scope = NewDisposeScope();
        var (keyCodes, keyScales) = PageTensors.QuantizeKeys(layout, Rows(keys, layer, evicted), layer, clipSearch);
        var fresh = values[layer].narrow(1, valueRow, layout.Tokens);
        var (freshCodes, freshScales) = PageTensors.QuantizeValues(layout, fresh, layer, clipSearch);
        var codes = cat([Unpacked(packed.Codes[layer]), Unpacked(freshCodes)], 1); // [H, 2P, D]
        var scales = cat([ByToken(packed.Scales[layer]), ByToken(freshScales)], 2); // [H, 2G, 2P]

        block.Codes[layer][slot].copy_(cat([keyCodes, CodePlanes.PackValues(layout, EachSecond(codes, 1, 1))], 1));
        block.Scales[layer][slot].copy_(cat([keyScales, EachSecond(scales, 2, 1).flatten(1)], 1));
        packed.Codes[layer].copy_(CodePlanes.PackValues(layout, EachSecond(codes, 1, 0)));
        packed.Scales[layer].copy_(EachSecond(scales, 2, 0).flatten(1));

        Tensor Unpacked(Tensor section) => CodePlanes.UnpackValues(layout, section.unsqueeze(0)).squeeze(1); // [H, P, D]

        Tensor ByToken(Tensor section) => section.reshape(section.shape[0], 2L * layout.Groups, layout.Tokens);

        static Tensor EachSecond(Tensor tensor, long dimension, long first) =>
            tensor.slice(dimension, first, tensor.shape[dimension], 2).contiguous();
    }

    /// <inheritdoc/>
    public void PackValues(PageLayout layout, int layer, Tensor values, int valueRow, PackedValues packed)
    {
        using var scope = NewDisposeScope();
        var (codes, scales) = PageTensors.QuantizeValues(layout, values[layer].narrow(1, valueRow, layout.Tokens), layer, clipSearch);
        packed.Codes[layer].copy_(codes);
        packed.Scales[layer].copy_(scales);
    }

    // [Hkv, count, D], a view.
    private static Tensor Rows(Tensor rows, int layer, RowPattern pattern) => rows[layer].slice(1, pattern.First, pattern.End, pattern.Step);
}
