using LocalLlm.Interop;
using LocalLlm.Quantization;
using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>The codec of <see cref="PageCodec"/> in torch operations, all heads and pages at once; bit-equal to it on CPU and CUDA.</summary>
internal static class PageTensors
{
    /// <summary>The type of a scale record's elements.</summary>
    public static ScalarType ScaleType(PageLayout layout) => layout.Scales == KvScaleFormat.Byte ? ScalarType.Byte : ScalarType.Float16;

    /// <summary>Quantises one page of one layer.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="keys">[Hkv, P, D] in any floating type.</param>
    /// <param name="values">[Hkv, P, D].</param>
    /// <param name="layer">The layer, for messages.</param>
    /// <param name="clipSearch">
    /// Seek each group's best scale and minimum. Its sums have an order that torch operations do not keep, so the scalar codec does it in host memory.
    /// </param>
    /// <returns>Codes [Hkv, CodeBytes] uint8 and scales [Hkv, ScaleCount] of <see cref="ScaleType"/>.</returns>
    /// <exception cref="LocalLlmException">A number is NaN, infinite or beyond the scales' range.</exception>
    public static (Tensor Codes, Tensor Scales) Quantize(PageLayout layout, Tensor keys, Tensor values, int layer, bool clipSearch = false)
    {
        using var scope = NewDisposeScope();
        var (wideKeys, wideValues) = (keys.to(ScalarType.Float32), values.to(ScalarType.Float32));
        var (codes, scales) = clipSearch
            ? QuantizeInHostMemory(layout, wideKeys, wideValues, layer)
            : Quantize(layout, wideKeys, wideValues, layer);
        return (codes.MoveToOuterDisposeScope(), scales.MoveToOuterDisposeScope());
    }

    /// <summary>Quantises the keys of one page of one layer, as <see cref="Quantize(PageLayout, Tensor, Tensor, int, bool)"/> does.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="keys">[Hkv, P, D] in any floating type.</param>
    /// <param name="layer">The layer, for messages.</param>
    /// <param name="clipSearch">Seek each group's best scale and minimum.</param>
    /// <returns>The keys' sections: codes [Hkv, KeyCodeBytes] uint8 and scales [Hkv, KeyScaleCount].</returns>
    /// <exception cref="LocalLlmException">A number is NaN, infinite or beyond the scales' range.</exception>
    public static (Tensor Codes, Tensor Scales) QuantizeKeys(PageLayout layout, Tensor keys, int layer, bool clipSearch = false)
    {
        using var scope = NewDisposeScope();
        var (codes, scales) = Quantize(layout, keys, zeros_like(keys), layer, clipSearch); // zeros fit any scale
        return (codes.narrow(1, 0, layout.KeyCodeBytes).MoveToOuterDisposeScope(),
            scales.narrow(1, 0, layout.KeyScaleCount).MoveToOuterDisposeScope());
    }

    /// <summary>Quantises the values of P tokens of one layer, as <see cref="Quantize(PageLayout, Tensor, Tensor, int, bool)"/> does.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="values">[Hkv, P, D] in any floating type.</param>
    /// <param name="layer">The layer, for messages.</param>
    /// <param name="clipSearch">Seek each group's best scale and minimum.</param>
    /// <returns>The values' sections: codes [Hkv, ValueCodeBytes] uint8 and scales [Hkv, ValueScaleCount].</returns>
    /// <exception cref="LocalLlmException">A number is NaN, infinite or beyond the scales' range.</exception>
    public static (Tensor Codes, Tensor Scales) QuantizeValues(PageLayout layout, Tensor values, int layer, bool clipSearch = false)
    {
        using var scope = NewDisposeScope();
        var (codes, scales) = Quantize(layout, zeros_like(values), values, layer, clipSearch);
        return (codes.narrow(1, layout.ValueOffset, layout.ValueCodeBytes).MoveToOuterDisposeScope(),
            scales.narrow(1, layout.ValueScaleIndex, layout.ValueScaleCount).MoveToOuterDisposeScope());
    }

    /// <summary>Reads pages of one layer back.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="codes">[N, Hkv, CodeBytes] uint8.</param>
    /// <param name="scales">[N, Hkv, ScaleCount] of <see cref="ScaleType"/>.</param>
    /// <returns>Keys and values, [Hkv, N·P, D] float32, page after page. In the keys' memory the tokens are innermost.</returns>
    public static (Tensor Keys, Tensor Values) Dequantize(PageLayout layout, Tensor codes, Tensor scales)
    {
        using var scope = NewDisposeScope();
        var keys = DequantizeKeys(layout, codes.narrow(2, 0, layout.KeyCodeBytes), scales.narrow(2, 0, layout.KeyScaleCount));
        var values = DequantizeValues(
            layout, codes.narrow(2, layout.ValueOffset, layout.ValueCodeBytes), scales.narrow(2, layout.ValueScaleIndex, layout.ValueScaleCount));
        return (keys.MoveToOuterDisposeScope(), values.MoveToOuterDisposeScope());
    }

    /// <summary>Reads the values' sections of pages of one layer back.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="codes">[N, Hkv, ValueCodeBytes] uint8.</param>
    /// <param name="scales">[N, Hkv, ValueScaleCount] of <see cref="ScaleType"/>.</param>
    /// <returns>[Hkv, N·P, D] float32, page after page.</returns>
    public static Tensor DequantizeValues(PageLayout layout, Tensor codes, Tensor scales)
    {
        using var scope = NewDisposeScope();
        var (pages, heads, tokens) = (codes.shape[0], codes.shape[1], layout.Tokens);
        var values = CodePlanes.UnpackValues(layout, codes).to(ScalarType.Float32); // [H, N, P, D]
        var (scale, minimum) = Decode(layout, scales, layout.Groups * tokens);
        values.mul_(ByToken(scale)).add_(ByToken(minimum), Scalars.One);
        return values.view(heads, pages * tokens, layout.HeadDim).MoveToOuterDisposeScope();

        Tensor ByToken(Tensor numbers) // [H, N, G·P] → [H, N, P, D], or [H, N, P, 1] where one group holds all channels
        {
            var groups = numbers.reshape(heads, pages, layout.Groups, tokens).transpose(2, 3);
            return layout.Groups == 1 ? groups : groups.repeat_interleave(PageLayout.GroupChannels, 3).narrow(3, 0, layout.HeadDim);
        }
    }

    private static Tensor DequantizeKeys(PageLayout layout, Tensor codes, Tensor scales)
    {
        using var scope = NewDisposeScope();
        var keys = CodePlanes.UnpackKeys(layout, codes).to(ScalarType.Float32); // [H, D, N, P]
        var (scale, minimum) = Decode(layout, scales, layout.Channels);
        keys.mul_(ByChannel(scale)).add_(ByChannel(minimum), Scalars.One);
        return keys.view(codes.shape[1], layout.HeadDim, codes.shape[0] * layout.Tokens).transpose(1, 2).MoveToOuterDisposeScope();

        Tensor ByChannel(Tensor numbers) => numbers.narrow(2, 0, layout.HeadDim).transpose(1, 2).unsqueeze(3); // [H, D, N, 1]
    }

    // A section's scales, then its minima, [N, H, 2·count] → [H, N, count] each.
    private static (Tensor Scale, Tensor Minimum) Decode(PageLayout layout, Tensor scales, int count) =>
        ScaleTensors.Decode(layout.Scales, scales.narrow(2, 0, count).transpose(0, 1), scales.narrow(2, count, count).transpose(0, 1));

    private static (Tensor Codes, Tensor Scales) Quantize(PageLayout layout, Tensor keys, Tensor values, int layer)
    {
        var heads = keys.shape[0];
        // Runs of channels with codes of the same bits.
        var runs = KeyRuns(layout).Select(r => ScaleTensors.Fit(layout.Scales, keys.narrow(2, r.First, r.Count), 1, r.MaxCode)).ToArray();
        var (keyCodes, keyScale, keyMinimum) = runs.Length == 1 ? (runs[0].Codes, runs[0].Scale, runs[0].Minimum)
            : (cat([.. runs.Select(r => r.Codes)], 2), cat([.. runs.Select(r => r.Scale)], 2), cat([.. runs.Select(r => r.Minimum)], 2));

        var groups = Enumerable.Range(0, layout.Groups)
            .Select(g => ScaleTensors.Fit(layout.Scales, values.narrow(2, PageLayout.GroupStart(g), layout.GroupSize(g)), 2, layout.ValueMaxCode)).ToArray();
        var fit = runs.Concat(groups).Select(f => f.Fits).Aggregate((all, f) => all.logical_and_(f));
        if (!fit.item<bool>())
            throw Fault(layout, keys, values, layer);

        // [H, D'] and [H, D'], then per group [H, P]: the order of the scale record.
        var padding = zeros(heads, layout.Channels - layout.HeadDim, ScaleType(layout), keys.device);
        var scales = cat(
            [keyScale.flatten(1), padding, keyMinimum.flatten(1), padding, .. groups.Select(g => g.Scale.flatten(1)), .. groups.Select(g => g.Minimum.flatten(1))], 1);
        var valueCodes = groups.Length == 1 ? groups[0].Codes : cat([.. groups.Select(g => g.Codes)], 2);
        return (cat([CodePlanes.PackKeys(layout, keyCodes), CodePlanes.PackValues(layout, valueCodes)], 1), scales);
    }

    private static IEnumerable<(int First, int Count, int MaxCode)> KeyRuns(PageLayout layout)
    {
        for (int first = 0, end; first < layout.HeadDim; first = end)
        {
            var maxCode = layout.KeyMaxCode(first / PageLayout.LaneCodes);
            for (end = first; end < layout.HeadDim && layout.KeyMaxCode(end / PageLayout.LaneCodes) == maxCode;)
                end = Math.Min(end + PageLayout.LaneCodes, layout.HeadDim);
            yield return (first, end - first, maxCode);
        }
    }

    private static (Tensor Codes, Tensor Scales) QuantizeInHostMemory(PageLayout layout, Tensor keys, Tensor values, int layer)
    {
        var (heads, device) = ((int)keys.shape[0], keys.device);
        var (allKeys, allValues) = (keys.cpu().contiguous().data<float>().ToArray(), values.cpu().contiguous().data<float>().ToArray());
        var (codes, scales) = (new byte[heads * layout.CodeBytes], new byte[heads * layout.ScaleBytes]);
        var numbers = layout.Tokens * layout.HeadDim;
        for (var head = 0; head < heads; head++)
        {
            PageCodec.Quantize(
                layout, allKeys.AsSpan(head * numbers, numbers), allValues.AsSpan(head * numbers, numbers),
                codes.AsSpan(head * layout.CodeBytes, layout.CodeBytes), scales.AsSpan(head * layout.ScaleBytes, layout.ScaleBytes), layer, clipSearch: true);
        }

        var scaleTensor = layout.Scales == KvScaleFormat.Byte
            ? tensor(scales, device: device)
            : tensor(System.Runtime.InteropServices.MemoryMarshal.Cast<byte, Half>(scales).ToArray(), device: device);
        return (tensor(codes, device: device).view(heads, layout.CodeBytes), scaleTensor.view(heads, layout.ScaleCount));
    }

    // The scalar codec stops at the first group that does not fit and says which it is.
    private static LocalLlmException Fault(PageLayout layout, Tensor keys, Tensor values, int layer)
    {
        try
        {
            QuantizeInHostMemory(layout, keys, values, layer);
        }
        catch (LocalLlmException fault)
        {
            return fault;
        }

        return new LocalLlmException($"Layer {layer}: numbers of a page fit no scale."); // unless the codecs differ, there was such a group
    }
}
