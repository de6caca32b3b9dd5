using CsCheck;
using LocalLlm.Quantization;

namespace LocalLlm.Tests.Quantization;

/// <summary>How much of the numbers a page loses, as mean squared error over their variance.</summary>
public class PageErrorTests
{
    [Theory]
    [InlineData(2, 1.01)]
    [InlineData(3, 1.03)]
    [InlineData(4, 1.09)]
    public void Quantize_EightBitScales_LoseLittleMoreThanFp16(int bits, double most)
    {
        foreach (var clipSearch in new[] { false, true })
        {
            var (half, narrow) = (Errors(bits, KvScaleFormat.Half, clipSearch), Errors(bits, KvScaleFormat.Byte, clipSearch));

            TestContext.Current.TestOutputHelper?.WriteLine($"{bits} bits, clip search {clipSearch}: fp16 {half}, 8-bit {narrow}");
            (narrow.Keys / half.Keys).ShouldBeInRange(0.9, most);
            (narrow.Values / half.Values).ShouldBeInRange(0.9, most);
            // Of channels far off zero the least scale is a 59th of the minimum: nothing is lost at 30 deviations but with 4 bits; at 100 about a
            // quarter of the variance is, however many bits.
            (narrow.Far - half.Far).ShouldBeLessThan(0.025);
            narrow.Farther.ShouldBeLessThan(0.25);
        }
    }

    [Theory]
    [InlineData(KvScaleFormat.Byte)]
    [InlineData(KvScaleFormat.Half)]
    public void Quantize_ClipSearchOnGaussianNumbers_LosesMuchLess(KvScaleFormat format)
    {
        var (plain, searched) = (Errors(2, format, false), Errors(2, format, true));

        searched.Keys.ShouldBeLessThan(0.6 * plain.Keys);
        searched.Values.ShouldBeLessThan(0.6 * plain.Values);
    }

    [Fact]
    public void Quantize_ClipSearch_IsNeverWorseInAnyGroup()
    {
        Gen.Select(Gen.Float[-3, 3].Array[32 * 16], Gen.Float[-8, 8], Gen.Float[-100, 100], Gen.Int[2, 4], Gen.Enum<KvScaleFormat>()).Sample(
            (numbers, exponent, mean, bits, format) =>
            {
                var layout = new PageLayout(32, 16, bits, bits, format);
                var x = numbers.Select(n => n * n * n * MathF.Pow(2, exponent) + mean).ToArray();
                var (plain, searched) = (PageCodecTests.RoundTrip(layout, x, x), PageCodecTests.RoundTrip(layout, x, x, clipSearch: true));
                for (var channel = 0; channel < 16; channel++)
                    Sum(x, searched.Keys, channel, 16).ShouldBeLessThanOrEqualTo(Sum(x, plain.Keys, channel, 16) * 1.00001 + 1e-12);
                for (var token = 0; token < 32; token++)
                    Sum(x, searched.Values, 16 * token, 1, 16).ShouldBeLessThanOrEqualTo(Sum(x, plain.Values, 16 * token, 1, 16) * 1.00001 + 1e-12);
            },
            iter: 100);

        static double Sum(float[] x, float[] back, int first, int stride, int count = 32) =>
            Enumerable.Range(0, count).Select(i => first + i * stride).Sum(i => Math.Pow((double)x[i] - back[i], 2));
    }

    // 30 pages: keys of mean −2 to 2 and deviation 0.2 to 5 by channel, of every 16 channels one 30 ± 1 and one 300 ± 3; values of deviation 1.
    private static (double Keys, double Values, double Far, double Farther) Errors(int bits, KvScaleFormat format, bool clipSearch)
    {
        const int tokens = 64, headDim = 128;
        var random = new Random(1);
        var layout = new PageLayout(tokens, headDim, bits, bits, format);
        var (keyError, valueError, farError, fartherError) = (0.0, 0.0, 0.0, 0.0);
        for (var page = 0; page < 30; page++)
        {
            var mean = Enumerable.Range(0, headDim).Select(c => (c % 16) switch { 3 => 30, 5 => 300, _ => 4 * random.NextDouble() - 2 }).ToArray();
            var deviation = Enumerable.Range(0, headDim).Select(c => (c % 16) switch { 3 => 1, 5 => 3, _ => 0.2 * Math.Pow(25, random.NextDouble()) }).ToArray();
            var keys = Enumerable.Range(0, tokens * headDim).Select(i => (float)(mean[i % headDim] + deviation[i % headDim] * Normal())).ToArray();
            var values = Enumerable.Range(0, tokens * headDim).Select(_ => (float)Normal()).ToArray();
            var back = PageCodecTests.RoundTrip(layout, keys, values, clipSearch: clipSearch);
            for (var i = 0; i < keys.Length; i++)
            {
                valueError += Math.Pow(values[i] - back.Values[i], 2);
                var error = Math.Pow((keys[i] - back.Keys[i]) / deviation[i % headDim], 2);
                switch (i % 16)
                {
                    case 3: farError += error; break;
                    case 5: fartherError += error; break;
                    default: keyError += error; break;
                }
            }
        }

        var count = 30.0 * tokens * headDim;
        return (keyError / (count * 14 / 16), valueError / count, farError / (count / 16), fartherError / (count / 16));

        double Normal() => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
    }
}
