using CsCheck;
using LocalLlm.Quantization;

namespace LocalLlm.Tests.Quantization;

public class PageCodecTests
{
    [Theory]
    [InlineData(64, 128, 2048, 2048, 512)] // 2·(128 + 2·64) numbers
    [InlineData(32, 8, 128, 64, 80)] // half of a key lane is unused
    [InlineData(128, 96, 3072, 3072, 704)] // groups of 64 and 32
    public void Layout_Sizes_AreAsDocumented(int window, int headDim, int keyBytes, int valueBytes, int scaleCount)
    {
        var layout = new PageLayout(window, headDim);

        (layout.KeyCodeBytes, layout.ValueCodeBytes, layout.ScaleCount).ShouldBe((keyBytes, valueBytes, scaleCount));
        layout.HeadBytes.ShouldBe(keyBytes + valueBytes + 2 * scaleCount);
        layout.PageBytes(2, 3).ShouldBe(6 * layout.HeadBytes + 4 * window);
        (layout.CodeBytes % 64).ShouldBe(0);
    }

    [Fact]
    public void Layout_Llama8B_Takes20KiBPerTokenAndPositions()
    {
        var layout = new PageLayout(64, 128);

        layout.PageBytes(32, 8).ShouldBe(64 * 20 * 1024 + 64 * 4);
    }

    [Theory]
    [InlineData(48, 64)]
    [InlineData(0, 64)]
    [InlineData(64, 12)]
    [InlineData(64, 0)]
    public void Layout_WrongSize_Throws(int window, int headDim) =>
        Should.Throw<ArgumentOutOfRangeException>(() => new PageLayout(window, headDim));

    [Theory]
    [InlineData(32, 8)]
    [InlineData(64, 24)]
    [InlineData(64, 80)]
    [InlineData(32, 128)]
    public void Quantize_KnownCodes_LieAtTheDocumentedBits(int window, int headDim)
    {
        var layout = new PageLayout(window, headDim);
        // Numbers 0 to 3 with 0 and 3 in every group: scale 1, minimum 0, each number is its own code.
        var keys = Numbers((t, c) => t < 2 ? t * 3 : (t * 7 + c * 5 + t * c) % 4);
        var values = Numbers((t, c) => c % 64 < 2 ? c % 64 * 3 : (t * 3 + c * 11 + t * c) % 4);
        var (codes, scales) = (new byte[layout.CodeBytes], new Half[layout.ScaleCount]);

        PageCodec.Quantize(layout, keys, values, codes, scales, layer: 0);

        for (var t = 0; t < window; t++)
        {
            for (var c = 0; c < headDim; c++)
            {
                // docs/kv-layout.md: byte and bit of each code.
                var keyByte = (c / 16 * window + t) * 4 + c % 16 / 4;
                (codes[keyByte] >> c % 4 * 2 & 3).ShouldBe((int)keys[t * headDim + c]);
                var valueByte = (headDim + 15) / 16 * window * 4 + (t / 16 * headDim + c) * 4 + t % 16 / 4;
                (codes[valueByte] >> t % 4 * 2 & 3).ShouldBe((int)values[t * headDim + c]);
            }
        }

        var groups = (headDim + 63) / 64;
        scales[..headDim].ShouldAllBe(s => s == (Half)1);
        scales[headDim..(2 * headDim)].ShouldAllBe(m => m == (Half)0);
        scales[(2 * headDim)..(2 * headDim + groups * window)].ShouldAllBe(s => s == (Half)1);
        scales[(2 * headDim + groups * window)..].ShouldAllBe(m => m == (Half)0);

        float[] Numbers(Func<int, int, int> number)
        {
            var numbers = new float[window * headDim];
            for (var i = 0; i < numbers.Length; i++)
                numbers[i] = number(i / headDim, i % headDim);
            return numbers;
        }
    }

    [Fact]
    public void Quantize_AnyNumbers_ComeBackWithinHalfAStep()
    {
        var layout = new PageLayout(32, 72);
        var count = layout.Window * layout.HeadDim;
        Gen.Select(Gen.Float[-20, 20].Array[count], Gen.Float[-1, 1].Array[count], Gen.Float[0.001f, 1000]).Sample(
            (keys, values, factor) =>
            {
                var scaled = keys.Select(x => x * factor).ToArray();
                var (backKeys, backValues, scales) = RoundTrip(layout, scaled, values);
                for (var i = 0; i < count; i++)
                {
                    var (t, c) = (i / layout.HeadDim, i % layout.HeadDim);
                    Check(scaled[i], backKeys[i], scales[c], scales[layout.KeyMinimumIndex + c]);
                    var group = c / 64 * layout.Window + t;
                    Check(values[i], backValues[i], scales[layout.ValueScaleIndex + group], scales[layout.ValueMinimumIndex + group]);
                }
            },
            iter: 50);

        // Half a step, and what rounding the scale (three times: the highest code) and the minimum to fp16 shifts.
        static void Check(float x, float back, Half scale, Half minimum) =>
            Math.Abs(x - back).ShouldBeLessThanOrEqualTo((float)scale / 2 + (3 * (float)scale + Math.Abs((float)minimum)) / 1024 + 1e-6f);
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(-2.5f)]
    [InlineData(2049f)] // fp16 holds 2048 or 2050 only
    [InlineData(1e-9f)] // below fp16's smallest number
    [InlineData(-65504f)]
    public void Quantize_ConstantGroups_AreStoredWithoutDivisionByZero(float constant)
    {
        var layout = new PageLayout(32, 16);
        var numbers = Enumerable.Repeat(constant, 32 * 16).ToArray();

        var (keys, values, scales) = RoundTrip(layout, numbers, numbers);

        scales.ShouldAllBe(s => Half.IsFinite(s));
        var tolerance = Math.Abs(constant) / 2048 + 1e-7f; // half a unit of fp16's last place
        keys.Concat(values).ShouldAllBe(x => Math.Abs(x - constant) <= tolerance);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    [InlineData(70000f)]
    [InlineData(-70000f)]
    public void Quantize_NumberThatNoPageCanHold_ThrowsAndNamesTheLayer(float number)
    {
        var layout = new PageLayout(32, 16);
        var (good, bad) = (new float[32 * 16], new float[32 * 16]);
        Array.Fill(bad, number, 100, 1);
        if (number == 70000f)
            Array.Fill(bad, number); // a constant: here the minimum overflows, not the scale

        Should.Throw<LocalLlmException>(() => RoundTrip(layout, bad, good, layer: 7)).Message.ShouldMatch("^Layer 7: (a key|keys) ");
        Should.Throw<LocalLlmException>(() => RoundTrip(layout, good, bad, layer: 7)).Message.ShouldMatch("^Layer 7: (a value|values) ");
    }

    [Fact]
    public void Dequantize_WrongLength_SaysWhatIsNeeded()
    {
        var layout = new PageLayout(32, 16);

        var error = Should.Throw<ArgumentException>(() =>
            PageCodec.Dequantize(layout, new byte[10], new Half[layout.ScaleCount], new float[512], new float[512]));

        error.Message.ShouldContain("codes has 10");
        error.Message.ShouldContain($"{layout.CodeBytes}");
    }

    private static (float[] Keys, float[] Values, Half[] Scales) RoundTrip(PageLayout layout, float[] keys, float[] values, int layer = 0)
    {
        var (codes, scales) = (new byte[layout.CodeBytes], new Half[layout.ScaleCount]);
        PageCodec.Quantize(layout, keys, values, codes, scales, layer);
        var (backKeys, backValues) = (new float[keys.Length], new float[values.Length]);
        PageCodec.Dequantize(layout, codes, scales, backKeys, backValues);
        return (backKeys, backValues, scales);
    }
}
