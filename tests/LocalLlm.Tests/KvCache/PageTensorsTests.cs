using System.Runtime.InteropServices;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.Tests.KvCache;

public class PageTensorsTests
{
    public PageTensorsTests() => LibTorch.EnsureLoaded();

    public static TheoryData<int, int, int, int, KvScaleFormat, ScalarType, int> Layouts()
    {
        var data = new TheoryData<int, int, int, int, KvScaleFormat, ScalarType, int>();
        for (var headDim = 8; headDim <= 256; headDim += 8)
        {
            var type = (headDim / 8 % 4) switch { 0 => ScalarType.BFloat16, 1 => ScalarType.Float16, _ => ScalarType.Float32 };
            foreach (var format in Enum.GetValues<KvScaleFormat>())
                data.Add(32 << headDim / 8 % 3, headDim, 2 + headDim / 8 % 3, 2 + headDim / 24 % 3, format, type, 2 + headDim / 8 % 3);
            data.Add(64, headDim, 2, 2, KvScaleFormat.Byte, type, 3 + headDim / 16 % 2);
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Layouts))]
    public void QuantizeAndDequantize_AnyLayout_EqualTheScalarCodecBitForBit(
        int window, int headDim, int keyBits, int valueBits, KvScaleFormat format, ScalarType type, int slowBits)
    {
        const int heads = 2, pages = 3;
        var layout = new PageLayout(window, headDim, keyBits, valueBits, format, slowBits);
        var clipSearch = headDim % 40 == 0;
        using var scope = NewDisposeScope();
        manual_seed(headDim);
        var (codeList, scaleList) = (new List<Tensor>(), new List<Tensor>());
        var (expectedKeys, expectedValues) = (new float[heads][], new float[heads][]);
        Array.Fill(expectedKeys, []);
        Array.Fill(expectedValues, []);
        for (var page = 0; page < pages; page++)
        {
            var (keys, values) = (Numbers(page), Numbers(page + 3));

            var (codes, scales) = PageTensors.Quantize(layout, keys, values, layer: 0, clipSearch);

            for (var head = 0; head < heads; head++)
            {
                var (expectedCodes, expectedScales) = (new byte[layout.CodeBytes], new byte[layout.ScaleBytes]);
                PageCodec.Quantize(
                    layout, KvStream.Floats(keys[head]), KvStream.Floats(values[head]), expectedCodes, expectedScales, layer: 0, clipSearch);
                codes[head].data<byte>().ToArray().AsSpan().SequenceEqual(expectedCodes).ShouldBeTrue();
                ScaleBytes(scales[head]).AsSpan().SequenceEqual(expectedScales).ShouldBeTrue();
                var (k, v) = (new float[window * headDim], new float[window * headDim]);
                PageCodec.Dequantize(layout, expectedCodes, expectedScales, k, v);
                expectedKeys[head] = [.. expectedKeys[head], .. k];
                expectedValues[head] = [.. expectedValues[head], .. v];
            }

            codeList.Add(codes);
            scaleList.Add(scales);
        }

        var (allKeys, allValues) = PageTensors.Dequantize(layout, stack(codeList), stack(scaleList));

        allKeys.shape.ShouldBe([heads, pages * window, headDim]);
        for (var head = 0; head < heads; head++)
        {
            Bits(KvStream.Floats(allKeys[head])).SequenceEqual(Bits(expectedKeys[head])).ShouldBeTrue();
            Bits(KvStream.Floats(allValues[head])).SequenceEqual(Bits(expectedValues[head])).ShouldBeTrue();
        }

        static byte[] ScaleBytes(Tensor scales) => scales.dtype == ScalarType.Byte
            ? scales.data<byte>().ToArray()
            : MemoryMarshal.AsBytes(scales.data<Half>().ToArray().AsSpan()).ToArray();

        static IEnumerable<int> Bits(float[] numbers) => numbers.Select(BitConverter.SingleToInt32Bits);

        // Several magnitudes, whole constant groups, negative zeros, ties.
        Tensor Numbers(int kind)
        {
            var x = randn(heads, window, headDim) * randn(heads, 1, headDim).exp_();
            x = (kind % 6) switch
            {
                0 => x + 3 * randn(heads, 1, headDim),
                1 => x * 1e-6,
                2 => x * 30 + 3000 * (randn(heads, 1, headDim) > 1), // outlier channels
                3 => (x * 2).round_() * 0.5,
                4 => ones_like(x) * randn(heads, window, 1) * (randn(heads, 1, headDim) > 0),
                _ => zeros_like(x).neg_(),
            };
            return x.to(type);
        }
    }

    [Theory]
    [InlineData(KvScaleFormat.Half, float.NaN, "not finite")]
    [InlineData(KvScaleFormat.Byte, float.NaN, "not finite")]
    [InlineData(KvScaleFormat.Byte, float.NegativeInfinity, "not finite")]
    [InlineData(KvScaleFormat.Half, 70000f, "65504")]
    [InlineData(KvScaleFormat.Byte, 2e6f, "30720")]
    public void Quantize_NumberThatNoPageCanHold_ThrowsAndNamesTheLayer(KvScaleFormat format, float number, string reason)
    {
        using var scope = NewDisposeScope();
        var (good, bad) = (randn(2, 32, 16), randn(2, 32, 16));
        if (float.IsFinite(number))
            bad.fill_(number);
        else
            bad[1, 5, 3] = number;

        foreach (var (keys, values) in new[] { (bad, good), (good, bad) })
        {
            var error = Should.Throw<LocalLlmException>(() => PageTensors.Quantize(new PageLayout(32, 16, scales: format), keys, values, layer: 11));
            error.Message.ShouldContain("Layer 11");
            error.Message.ShouldContain(reason);
        }
    }
}
