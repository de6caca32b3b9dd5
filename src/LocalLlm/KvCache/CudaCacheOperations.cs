using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Kernels.Cuda;
using LocalLlm.KvCache.Policies;
using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>
/// The CUDA kernels. Nothing asks the device for an answer: what is wrong with a write is known when <see cref="CudaFaults.Read"/> is
/// asked, at the end of a step. The cache holds rubbish then.
/// </summary>
/// <param name="queue">Where the work goes; borrowed.</param>
/// <param name="clipSearch">Seek each group's best scale and minimum when a page is made.</param>
internal sealed class CudaCacheOperations(CudaQueue queue, bool clipSearch = false) : ICacheOperations
{
    private static readonly CudaKernel Quantise = new("quantise_page");
    private static readonly CudaKernel Remove = new("remove_rows");
    private static readonly CudaKernel Deal = new("deal_values");

    /// <inheritdoc/>
    public void RequireFinite(int layer, int position, Tensor k, Tensor v)
    {
        Look(NumberTypes.TokenRows(k), (int)k.size(0), layer, position, isValue: false);
        Look(NumberTypes.TokenRows(v), (int)v.size(0), layer, position, isValue: true);
    }

    /// <inheritdoc/>
    public void WriteRows(Tensor rows, int layer, int row, Tensor fresh, int token, int count)
    {
        if (count == 0)
            return;
        var (source, target) = (NumberTypes.TokenRows(fresh).From(token), NumberTypes.LayerRows(rows, layer).From(row));
        queue.Copy(source, new DeviceRowCopy(
            source.Start, target.Start, source.HeadBytes, source.TokenBytes, target.HeadBytes, target.TokenBytes, Fault: 0, count));
    }

    /// <inheritdoc/>
    public void RemoveRows(Tensor rows, int layer, RowPattern removed, int count)
    {
        if (removed.Count == 0 || removed.First + removed.Count == count)
            return;
        var target = NumberTypes.LayerRows(rows, layer);
        var words = target.RowBytes / sizeof(uint);
        queue.Launch(
            Remove, ((words + 127) / 128, target.Heads, 1), 128,
            new RemoveArguments(target.Start, target.HeadBytes, words, removed.First, removed.Step, removed.Count, count));
    }

    /// <inheritdoc/>
    public void WritePages(PageLayout layout, int layer, Tensor keys, Tensor values, RowPattern evicted, PageBlock block, int slot)
    {
        var (page, pageValues) = Sections(layout, block, layer, slot);
        QuantisePages(layout, layer, Rows(keys, layer, evicted), page, Rows(values, layer, evicted), pageValues, evicted.Count / layout.Tokens);
    }

    /// <inheritdoc/>
    public void WritePageFromPacked(
        PageLayout layout, int layer, Tensor keys, RowPattern evicted, PackedValues packed, Tensor values, int valueRow, PageBlock block, int slot)
    {
        var (page, pageValues) = Sections(layout, block, layer, slot);
        var valueRows = Rows(values, layer, new RowPattern(valueRow, 1, layout.Tokens));
        var scaleHeadBytes = layout.ValueScaleCount * layout.ScaleElementBytes;
        var codes = queue.Values.Take(valueRows.Heads * (layout.ValueCodeBytes + scaleHeadBytes));
        var fresh = new DeviceSection(codes, codes + (valueRows.Heads * layout.ValueCodeBytes), layout.ValueCodeBytes, scaleHeadBytes);
        QuantisePages(layout, layer, Rows(keys, layer, evicted), page, default, default, 1);
        QuantisePages(layout, layer, default, default, valueRows, fresh, 1);
        queue.Launch(
            Deal, (1, valueRows.Heads, 1), 128, new DealArguments(new DevicePageLayout(layout), Section(layout, packed, layer), fresh, pageValues));
    }

    /// <inheritdoc/>
    public void PackValues(PageLayout layout, int layer, Tensor values, int valueRow, PackedValues packed) => QuantisePages(
        layout, layer, default, default, Rows(values, layer, new RowPattern(valueRow, 1, layout.Tokens)), Section(layout, packed, layer), 1);

    /// <inheritdoc/>
    public void RequireWritten()
    {
        foreach (var (owner, error) in queue.Faults.Read())
        {
            if (owner is null)
                throw error;
        }
    }

    // An index has 31 bits: where there are more numbers, several writes look at them.
    private void Look(in TokenRows rows, int count, int layer, int position, bool isValue)
    {
        var most = int.MaxValue / 3 / (rows.Heads * rows.HeadDim);
        for (var token = 0; token < count; token += most)
        {
            var fault = queue.Faults.Add(new WriteFault(null, layer, position + token, rows.Heads, rows.HeadDim, isValue, Page: null));
            var source = rows.From(token);
            queue.Copy(source, new DeviceRowCopy(source.Start, 0, source.HeadBytes, source.TokenBytes, 0, 0, fault, Math.Min(most, count - token)));
        }
    }

    // Keys or values may be left out; the rows of all pages lie at equal distances, so they need no table. Pages lie one behind the other.
    private void QuantisePages(
        PageLayout layout, int layer, in TokenRows keys, DeviceSection keySection, in TokenRows values, DeviceSection valueSection, int pages)
    {
        var (rows, section) = keys.Heads > 0 ? (keys, keySection) : (values, valueSection);
        var arguments = new QuantiseArguments
        {
            Layout = new DevicePageLayout(layout),
            Keys = keys.Start,
            KeyHeadBytes = keys.HeadBytes,
            KeyRowBytes = keys.TokenBytes,
            KeyCodes = keySection.Codes,
            KeyScales = keySection.Scales,
            Values = values.Start,
            ValueHeadBytes = values.HeadBytes,
            ValueRowBytes = values.TokenBytes,
            ValueCodes = valueSection.Codes,
            ValueScales = valueSection.Scales,
            CodeHeadBytes = section.CodeHeadBytes,
            ScaleHeadBytes = section.ScaleHeadBytes,
            CodePageBytes = layout.CodeBytes,
            ScalePageBytes = layout.ScaleBytes,
            Fault = queue.Faults.Add(new WriteFault(null, layer, 0, rows.Heads, layout.HeadDim, false, layout)),
            Type = rows.Type,
            ClipSearch = clipSearch ? 1 : 0,
        };
        queue.Launch(Quantise, (arguments.Blocks, rows.Heads, pages), QuantiseArguments.Threads, arguments);
    }

    private static TokenRows Rows(Tensor rows, int layer, RowPattern pattern)
    {
        var all = NumberTypes.LayerRows(rows, layer);
        return all.From(pattern.First) with { TokenBytes = all.TokenBytes * pattern.Step };
    }

    // The keys' and the values' sections of one page of a block.
    private static (DeviceSection Keys, DeviceSection Values) Sections(PageLayout layout, PageBlock block, int layer, int slot)
    {
        var keys = new DeviceSection(
            block.CodeAddresses[layer] + (slot * (nint)layout.CodeBytes), block.ScaleAddresses[layer] + (slot * (nint)layout.ScaleBytes),
            PageBlock.Pages * layout.CodeBytes, PageBlock.Pages * layout.ScaleBytes);
        return (keys, keys with
        {
            Codes = keys.Codes + layout.ValueOffset,
            Scales = keys.Scales + (layout.ValueScaleIndex * layout.ScaleElementBytes),
        });
    }

    private static DeviceSection Section(PageLayout layout, PackedValues packed, int layer) => new(
        TensorMemory.Address(packed.Codes[layer]), TensorMemory.Address(packed.Scales[layer]),
        layout.ValueCodeBytes, layout.ValueScaleCount * layout.ScaleElementBytes);
}
