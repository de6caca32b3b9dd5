using System.Runtime.InteropServices;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache.Policies;
using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>The CPU kernels: raw memory, no tensor views.</summary>
/// <param name="clipSearch">Seek each group's best scale and minimum when a page is made.</param>
internal sealed class CpuCacheOperations(bool clipSearch = false) : ICacheOperations
{
    private byte[] freshValues = []; // pinned: the section of one head's values before it is dealt out

    /// <inheritdoc/>
    public void RequireFinite(int layer, int position, Tensor k, Tensor v)
    {
        if (RowStore.FindNotFinite(NumberTypes.TokenRows(k), (int)k.size(0)) is { } key)
            throw FiniteCheck.Failure(layer, position, "key", key.Value, key.Token, key.Head, key.Channel);
        if (RowStore.FindNotFinite(NumberTypes.TokenRows(v), (int)v.size(0)) is { } value)
            throw FiniteCheck.Failure(layer, position, "value", value.Value, value.Token, value.Head, value.Channel);
    }

    /// <inheritdoc/>
    public void WriteRows(Tensor rows, int layer, int row, Tensor fresh, int token, int count) =>
        RowStore.Write(NumberTypes.TokenRows(fresh).From(token), NumberTypes.LayerRows(rows, layer).From(row), count);

    /// <inheritdoc/>
    public void RemoveRows(Tensor rows, int layer, RowPattern removed, int count) =>
        RowStore.Remove(NumberTypes.LayerRows(rows, layer), removed.First, removed.Step, removed.Count, count);

    /// <inheritdoc/>
    public void WritePages(PageLayout layout, int layer, Tensor keys, Tensor values, RowPattern evicted, PageBlock block, int slot)
    {
        var (keyRows, valueRows) = (NumberTypes.LayerRows(keys, layer), NumberTypes.LayerRows(values, layer));
        for (var page = 0; page * layout.Tokens < evicted.Count; page++)
        {
            var rows = evicted.Part(page * layout.Tokens, layout.Tokens);
            for (var head = 0; head < keyRows.Heads; head++)
            {
                var (codes, scales) = Record(layout, block, layer, slot + page, head);
                if (!PageQuantizer.TryQuantize(layout, Rows(keyRows, head, rows), Rows(valueRows, head, rows), codes, scales, clipSearch, out var fault))
                    throw fault.ToException(layout, layer);
            }
        }
    }

    /// <inheritdoc/>
    public void WritePageFromPacked(
        PageLayout layout, int layer, Tensor keys, RowPattern evicted, PackedValues packed, Tensor values, int valueRow, PageBlock block, int slot)
    {
        var (keyRows, valueRows) = (NumberTypes.LayerRows(keys, layer), NumberTypes.LayerRows(values, layer));
        for (var head = 0; head < keyRows.Heads; head++)
        {
            var (codes, scales) = Record(layout, block, layer, slot, head);
            if (!PageQuantizer.TryQuantizeKeys(layout, Rows(keyRows, head, evicted), codes, scales, clipSearch, out var fault))
                throw fault.ToException(layout, layer);
            var fresh = FreshValues(layout);
            QuantizeValues(layout, layer, valueRows, head, valueRow, fresh);
            ValueSections.Deal(
                layout, Section(layout, packed, layer, head), fresh,
                new ValueSection(codes + layout.ValueOffset, scales + (layout.ValueScaleIndex * layout.ScaleElementBytes)));
        }
    }

    /// <inheritdoc/>
    public void PackValues(PageLayout layout, int layer, Tensor values, int valueRow, PackedValues packed)
    {
        var rows = NumberTypes.LayerRows(values, layer);
        for (var head = 0; head < rows.Heads; head++)
            QuantizeValues(layout, layer, rows, head, valueRow, Section(layout, packed, layer, head));
    }

    private static NumberRows Rows(in TokenRows rows, int head, RowPattern pattern) => rows.Of(head, pattern.First, pattern.Step);

    private static (nint Codes, nint Scales) Record(PageLayout layout, PageBlock block, int layer, int slot, int head)
    {
        var record = ((nint)head * PageBlock.Pages) + slot;
        return (block.CodeAddresses[layer] + (record * layout.CodeBytes), block.ScaleAddresses[layer] + (record * layout.ScaleBytes));
    }

    private static ValueSection Section(PageLayout layout, PackedValues packed, int layer, int head) => new(
        TensorMemory.Address(packed.Codes[layer]) + (head * (nint)layout.ValueCodeBytes),
        TensorMemory.Address(packed.Scales[layer]) + (head * (nint)layout.ValueScaleCount * layout.ScaleElementBytes));

    private void QuantizeValues(PageLayout layout, int layer, in TokenRows rows, int head, int first, ValueSection section)
    {
        if (!PageQuantizer.TryQuantizeValues(layout, rows.Of(head, first, 1), section.Codes, section.Scales, clipSearch, out var fault))
            throw fault.ToException(layout, layer);
    }

    private ValueSection FreshValues(PageLayout layout)
    {
        var bytes = layout.ValueCodeBytes + (layout.ValueScaleCount * layout.ScaleElementBytes);
        if (freshValues.Length < bytes)
            freshValues = GC.AllocateUninitializedArray<byte>(bytes, pinned: true);
        var start = Marshal.UnsafeAddrOfPinnedArrayElement(freshValues, 0);
        return new ValueSection(start, start + layout.ValueCodeBytes);
    }
}
