using CsCheck;
using LocalLlm.Quantization;

namespace LocalLlm.Tests.Quantization;

public class ScaleCodecTests
{
    [Fact]
    public void DecodeByteScale_AllBytes_AreAscendingEighthsOfPowersOfTwo()
    {
        for (var index = 0; index < 256; index++)
            ScaleCodec.DecodeByteScale(index).ShouldBe((float)(Math.Pow(2, index / 8 - 17) * (1 + index % 8 / 8.0)));
        ScaleCodec.DecodeByteScale(255).ShouldBe(ScaleCodec.LargestByteScale);
    }

    [Fact]
    public void TryEncode_StoredPairs_ComeBackExactly()
    {
        for (var index = 0; index < 256; index++)
        {
            for (var multiple = -125; multiple <= 125; multiple++) // beyond them the scale is made larger than wanted
            {
                var scale = ScaleCodec.DecodeByteScale(index);
                var minimum = ScaleCodec.DecodeByteMinimum(multiple, scale);
                if (Math.Abs(minimum) * ScaleCodec.LeastScaleOfMinimum > scale)
                    continue;

                ScaleCodec.TryEncode(KvScaleFormat.Byte, scale, minimum, out var result).ShouldBeTrue();

                result.ShouldBe(new GroupScale(scale, minimum, (ushort)index, (byte)multiple));
                ScaleCodec.Decode(KvScaleFormat.Byte, result.ScaleBits, result.MinimumBits).ShouldBe((scale, minimum));
            }
        }
    }

    [Fact]
    public void TryEncode_AnyPair_IsNear()
    {
        Gen.Select(Gen.Float[-17, 14], Gen.Float[-100, 100]).Sample((exponent, ratio) =>
        {
            var wanted = MathF.Pow(2, exponent);
            var minimum = wanted * ratio;

            ScaleCodec.TryEncode(KvScaleFormat.Byte, wanted, minimum, out var result).ShouldBeTrue();

            // A scale is rounded by a sixteenth at most, and raised where the minimum is beyond its reach.
            var least = Math.Max(wanted, Math.Abs(minimum) / 59);
            result.Scale.ShouldBeInRange(least * (1 - 1 / 16f), least * (1 + 1 / 16f));
            // Half a step of the minimum: a sixteenth of √|m/s|, and at the end half a scale.
            var step = MathF.Sqrt(Math.Abs(minimum) / result.Scale) / 16 + 1 / 256f;
            Math.Abs(result.Minimum - minimum).ShouldBeLessThanOrEqualTo(result.Scale * step * 1.001f);
        });
    }

    [Theory]
    [InlineData(0f, 0f, 0, 0)]
    [InlineData(1e-6f, -0f, 0, 0)]
    [InlineData(1.0624f, 0f, 136, 0)]
    [InlineData(1.0625f, 0f, 137, 0)] // the middle of two scales is rounded up
    [InlineData(1f, -1f, 136, 0xF0)] // −16·16/256
    [InlineData(1f, 4f, 136, 32)]
    public void TryEncode_KnownNumbers_AreStoredAsDocumented(float scale, float minimum, int scaleByte, int minimumByte)
    {
        ScaleCodec.TryEncode(KvScaleFormat.Byte, scale, minimum, out var result).ShouldBeTrue();

        (result.ScaleBits, result.MinimumBits).ShouldBe(((ushort)scaleByte, (ushort)minimumByte));
    }

    [Theory]
    [InlineData(KvScaleFormat.Byte, 31000f, 0f, true)]
    [InlineData(KvScaleFormat.Byte, 32000f, 0f, false)]
    [InlineData(KvScaleFormat.Byte, 0f, 1.8e6f, true)]
    [InlineData(KvScaleFormat.Byte, 0f, 2e6f, false)]
    [InlineData(KvScaleFormat.Byte, float.PositiveInfinity, 0f, false)]
    [InlineData(KvScaleFormat.Half, 65504f, -65504f, true)]
    [InlineData(KvScaleFormat.Half, 70000f, 0f, false)]
    [InlineData(KvScaleFormat.Half, 0f, 70000f, false)]
    public void TryEncode_EndOfTheRange_IsTold(KvScaleFormat format, float scale, float minimum, bool fits) =>
        ScaleCodec.TryEncode(format, scale, minimum, out _).ShouldBe(fits);
}
