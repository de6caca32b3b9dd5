using LocalLlm.Interop;
using LocalLlm.Quantization;
using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>The codec of <see cref="PageCodec"/> in torch operations, all heads and pages at once; bit-equal to it on CPU and CUDA.</summary>
internal static class PageTensors
{
    private static readonly Scalar ScaleOfRange = PageCodec.ScaleOfRange.ToScalar();
    private static readonly Scalar MaxCode = PageLayout.MaxCode.ToScalar();

    private const int ByteCodes = 4;

    /// <summary>Quantises one page of one layer.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="keys">[Hkv, W, D] in any floating type.</param>
    /// <param name="values">[Hkv, W, D].</param>
    /// <param name="layer">The layer, for messages.</param>
    /// <returns>Codes [Hkv, CodeBytes] uint8 and scales [Hkv, ScaleCount] float16.</returns>
    /// <exception cref="LocalLlmException">A number is NaN, infinite or beyond fp16's range.</exception>
    public static (Tensor Codes, Tensor Scales) Quantize(PageLayout layout, Tensor keys, Tensor values, int layer)
    {
        using var scope = NewDisposeScope();
        var heads = keys.shape[0];
        var (keyCodes, keyScale, keyMinimum) = Fit(keys.to(ScalarType.Float32), 1);

        var wideValues = values.to(ScalarType.Float32);
        var (codes, scales, minima) = (new Tensor[layout.Groups], new Tensor[layout.Groups], new Tensor[layout.Groups]);
        for (var group = 0; group < layout.Groups; group++)
            (codes[group], scales[group], minima[group]) = Fit(wideValues.narrow(2, PageLayout.GroupStart(group), layout.GroupSize(group)), 2);

        // [H, D] and [H, D], then per group [H, W]: the order of the scale record.
        var allScales = cat([keyScale.flatten(1), keyMinimum.flatten(1), .. scales.Select(s => s.flatten(1)), .. minima.Select(m => m.flatten(1))], 1);
        if (!allScales.isfinite().all().item<bool>())
            throw NotFinite(layout, keys, values, layer);

        var weights = tensor(new byte[] { 1, 4, 16, 64 }, device: keys.device);
        // Keys: the four codes of a byte are neighbouring channels. Unused channels of the last lane stay 0.
        var padding = layout.KeyLanes * PageLayout.LaneCodes - layout.HeadDim;
        if (padding > 0)
            keyCodes = cat([keyCodes, zeros(heads, layout.Window, padding, ScalarType.Byte, keys.device)], 2);
        var keyBytes = Pack(keyCodes.view(heads, layout.Window, -1, ByteCodes), weights, 3)
            .view(heads, layout.Window, layout.KeyLanes, sizeof(uint))
            .transpose(1, 2); // [H, lane, token, byte]

        // Values: the four codes of a byte are neighbouring tokens.
        var valueCodes = layout.Groups == 1 ? codes[0] : cat(codes, 2);
        var valueBytes = Pack(valueCodes.view(heads, layout.ValueLanes, sizeof(uint), ByteCodes, layout.HeadDim), weights.view(ByteCodes, 1), 3)
            .transpose(2, 3); // [H, lane, channel, byte]

        var allCodes = cat([keyBytes.reshape(heads, -1), valueBytes.reshape(heads, -1)], 1);
        return (allCodes.MoveToOuterDisposeScope(), allScales.MoveToOuterDisposeScope());
    }

    /// <summary>Reads pages of one layer back.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="codes">[N, Hkv, CodeBytes] uint8.</param>
    /// <param name="scales">[N, Hkv, ScaleCount] float16.</param>
    /// <returns>Keys and values, [Hkv, N·W, D] float32, page after page. In the keys' memory the tokens are innermost.</returns>
    public static (Tensor Keys, Tensor Values) Dequantize(PageLayout layout, Tensor codes, Tensor scales)
    {
        using var scope = NewDisposeScope();
        var (pages, heads, window, headDim) = (codes.shape[0], codes.shape[1], layout.Window, layout.HeadDim);
        var (shifts, mask) = (tensor(new byte[] { 0, 2, 4, 6 }, device: codes.device), tensor((byte)PageLayout.MaxCode, device: codes.device));
        shifts = shifts.view(ByteCodes, 1);
        var wideScales = scales.transpose(0, 1).contiguous().to(ScalarType.Float32); // [H, N, ScaleCount]

        // The bytes are brought into order before they are unpacked: a quarter of the codes, a sixteenth of the floats. The innermost
        // dimension stays long, so that the loops over it are vectorised: tokens for keys, channels for values.
        var keyBytes = codes.narrow(2, 0, layout.KeyCodeBytes).view(pages, heads, layout.KeyLanes, window, sizeof(uint))
            .permute(1, 2, 4, 0, 3).contiguous().view(heads, -1, 1, pages * window);
        var keys = keyBytes.bitwise_right_shift(shifts).bitwise_and_(mask) // [H, D/4, 4, N·W]
            .view(heads, -1, pages, window).narrow(1, 0, headDim).to(ScalarType.Float32);
        keys.mul_(ByChannel(PageLayout.KeyScaleIndex)).add_(ByChannel(layout.KeyMinimumIndex)); // [H, D, N, W]

        var valueBytes = codes.narrow(2, layout.KeyCodeBytes, layout.ValueCodeBytes).view(pages, heads, layout.ValueLanes, headDim, sizeof(uint))
            .permute(1, 0, 2, 4, 3).contiguous().view(heads, pages * layout.ValueLanes * sizeof(uint), 1, headDim);
        var values = valueBytes.bitwise_right_shift(shifts).bitwise_and_(mask) // [H, N·W/4, 4, D]
            .view(heads, pages, window, headDim).to(ScalarType.Float32);
        values.mul_(ByToken(layout.ValueScaleIndex)).add_(ByToken(layout.ValueMinimumIndex), Scalars.One);

        return (keys.view(heads, headDim, pages * window).transpose(1, 2).MoveToOuterDisposeScope(),
            values.view(heads, pages * window, headDim).MoveToOuterDisposeScope());

        Tensor ByChannel(int index) => wideScales.narrow(2, index, headDim).transpose(1, 2).unsqueeze(3); // [H, D, N, 1]

        Tensor ByToken(int index) => PerChannel(layout, wideScales.narrow(2, index, layout.Groups * window)); // [H, N, W, D or 1]
    }

    // [H, N, G·W] → [H, N, W, D], or [H, N, W, 1] where one group holds all channels.
    private static Tensor PerChannel(PageLayout layout, Tensor numbers)
    {
        var groups = numbers.view(numbers.shape[0], numbers.shape[1], layout.Groups, layout.Window).transpose(2, 3);
        return layout.Groups == 1 ? groups : groups.repeat_interleave(PageLayout.GroupChannels, 3).narrow(3, 0, layout.HeadDim);
    }

    // Groups lie along `dimension`. Codes have the shape of x and are contiguous; scale and minimum keep the dimension with size 1.
    private static (Tensor Codes, Tensor Scale, Tensor Minimum) Fit(Tensor x, int dimension)
    {
        var wideMinimum = x.amin([dimension], keepdim: true).to(ScalarType.Float16).to(ScalarType.Float32).add_(0); // −0 becomes +0
        var scale = x.amax([dimension], keepdim: true).sub_(wideMinimum).clamp_min_(Scalars.Zero).add_(Scalars.Zero, Scalars.One).mul_(ScaleOfRange).to(ScalarType.Float16);
        var wideScale = scale.to(ScalarType.Float32);
        var divisor = wideScale.masked_fill(wideScale.eq(Scalars.Zero), Scalars.PositiveInfinity);
        var codes = x.sub(wideMinimum).div_(divisor).round_().clamp_(Scalars.Zero, MaxCode).to(ScalarType.Byte).contiguous();
        return (codes, scale, wideMinimum.to(ScalarType.Float16));
    }

    private static Tensor Pack(Tensor codes, Tensor weights, int dimension) =>
        codes.mul(weights).sum(dimension, type: ScalarType.Int32).to(ScalarType.Byte);

    private static LocalLlmException NotFinite(PageLayout layout, Tensor keys, Tensor values, int layer)
    {
        foreach (var (name, numbers) in new[] { ("key", keys), ("value", values) })
        {
            var (low, high) = (numbers.min().to(ScalarType.Float32).item<float>(), numbers.max().to(ScalarType.Float32).item<float>());
            if (!float.IsFinite(low) || !float.IsFinite(high))
                return new LocalLlmException($"Layer {layer}: a {name} of the {layout.Window} tokens of a page is not finite; no page can hold it.");
            if (MathF.Max(MathF.Abs(low), MathF.Abs(high)) > (float)Half.MaxValue)
                return new LocalLlmException($"Layer {layer}: {name}s range from {low} to {high}; a page's fp16 scales end at ±65504. "
                    + $"Use {nameof(KvCacheOptions)}.{nameof(KvCacheOptions.Kind)} = {nameof(KvCacheKind.Dense)} for this model.");
        }

        return new LocalLlmException($"Layer {layer}: the scales of a page are not finite.");
    }
}
