using CsCheck;
using LocalLlm.Quantization;

namespace LocalLlm.Tests.Quantization;

public class PageCodecTests
{
    public static TheoryData<int, int, int, int, int, KvScaleFormat> Layouts() =>
        new(PageLayoutTests.Grid().Where(l => l.KeyBits != l.ValueBits || l.HeadDim < 100)
            .Select(l => (l.Tokens, l.HeadDim, l.KeyBits, l.SlowKeyBits, l.ValueBits, l.Scales)));

    [Theory]
    [MemberData(nameof(Layouts))]
    public void Quantize_KnownCodes_LieAtTheDocumentedBits(int tokens, int headDim, int keyBits, int slowBits, int valueBits, KvScaleFormat format)
    {
        var layout = new PageLayout(tokens, headDim, keyBits, valueBits, format, slowBits);
        // Whole numbers with 0 and the highest code in every group: scale 1, minimum 0, each number is its own code.
        var valueMax = (1 << valueBits) - 1;
        int KeyMax(int c) => (1 << (PageLayout.IsSlow(c / 16, headDim) ? slowBits : keyBits)) - 1;
        var keys = Numbers((t, c) => t < 2 ? t * KeyMax(c) : (t * 7 + c * 5 + t * c) % (KeyMax(c) + 1));
        var values = Numbers((t, c) => c % 64 < 2 ? c % 64 * valueMax : (t * 3 + c * 11 + t * c) % (valueMax + 1));
        var (codes, scales) = (new byte[layout.CodeBytes], new byte[layout.ScaleBytes]);

        PageCodec.Quantize(layout, keys, values, codes, scales, layer: 0);

        // docs/kv-layout.md: the planes, one after the other.
        var channels = (headDim + 15) / 16 * 16;
        var offset = 0;
        Check(keys, channels / 16, tokens, 16, (t, c) => (c, t), code => code & 3);
        // The high plane leaves channels of two bits out.
        var high = Enumerable.Range(0, channels).Where(c => slowBits > 2 && (keyBits > 2 || PageLayout.IsSlow(c / 16, headDim))).ToList();
        if (slowBits == 3)
            Check(keys, (high.Count + 31) / 32, tokens, 32, (t, c) => (high.IndexOf(c), t), code => code >> 2);
        if (slowBits == 4)
            Check(keys, high.Count / 16, tokens, 16, (t, c) => (high.IndexOf(c), t), code => code >> 2);
        Check(values, tokens / 16, channels, 16, (t, c) => (t, c), code => code & 3);
        if (valueBits == 3)
            Check(values, tokens / 32, channels, 32, (t, c) => (t, c), code => code >> 2);
        if (valueBits == 4)
            Check(values, tokens / 16, channels, 16, (t, c) => (t, c), code => code >> 2);
        offset.ShouldBe(codes.Length);

        var groups = (headDim + 63) / 64;
        var bytes = format == KvScaleFormat.Byte;
        var one = bytes ? new byte[] { 0x88 } : [0x00, 0x3C];
        var zero = bytes ? new byte[] { 0 } : [0, 0];
        scales.ShouldBe([
            .. Repeat(one, headDim), .. Repeat(zero, channels - headDim), .. Repeat(zero, channels),
            .. Repeat(one, groups * tokens), .. Repeat(zero, groups * tokens)]);

        // A plane of lanes [rows][lanes], of which each holds `perLane` codes; what of it no number fills is 0.
        void Check(float[] numbers, int rows, int lanes, int perLane, Func<int, int, (int Code, int Lane)> place, Func<int, int> part)
        {
            var expected = new uint[rows * lanes];
            for (var t = 0; t < tokens; t++)
            {
                for (var c = 0; c < headDim; c++)
                {
                    var (code, lane) = place(t, c);
                    if (code < 0)
                        continue;
                    expected[code / perLane * lanes + lane] |= (uint)part((int)numbers[t * headDim + c]) << code % perLane * (32 / perLane);
                }
            }

            Enumerable.Range(0, expected.Length).Select(i => BitConverter.ToUInt32(codes, offset + 4 * i)).ShouldBe(expected);
            offset += 4 * expected.Length;
        }

        float[] Numbers(Func<int, int, int> number) =>
            [.. Enumerable.Range(0, tokens * headDim).Select(i => (float)number(i / headDim, i % headDim))];

        static IEnumerable<byte> Repeat(byte[] element, int count) => Enumerable.Repeat(element, count).SelectMany(e => e);
    }

    [Fact]
    public void Quantize_AnyNumbers_ComeBackWithinAStep()
    {
        const int tokens = 32, headDim = 72, count = tokens * headDim;
        Gen.Select(
            Gen.Float[-20, 20].Array[count], Gen.Float[-1, 1].Array[count], Gen.Float[-9, 11], Gen.Float[-300, 300],
            Gen.Select(Gen.Int[2, 4], Gen.Int[2, 4], Gen.Enum<KvScaleFormat>(), Gen.Int[2, 4])).Sample(
            (keys, values, exponent, mean, form) =>
            {
                var layout = new PageLayout(tokens, headDim, form.Item1, form.Item2, form.Item3, form.Item1 == 2 ? form.Item4 : null);
                var factor = MathF.Pow(2, exponent);
                var scaled = keys.Select((x, i) => x * factor + (i % headDim % 5 == 0 ? mean : 0)).ToArray(); // outlier channels
                var page = RoundTrip(layout, scaled, values);
                for (var i = 0; i < count; i++)
                {
                    var (t, c) = (i / headDim, i % headDim);
                    Check(scaled[i], page.Keys[i], page.Scale(PageLayout.KeyScaleIndex + c, layout.KeyMinimumIndex + c), layout.KeyMaxCode(c / 16));
                    var group = c / 64 * tokens + t;
                    Check(values[i], page.Values[i], page.Scale(layout.ValueScaleIndex + group, layout.ValueMinimumIndex + group), layout.ValueMaxCode);
                }

                // Half a step, and what rounding the scale (counts as often as the highest code) and the minimum shifts.
                void Check(float x, float back, (float Scale, float Minimum) scale, int maxCode)
                {
                    var (s, m) = (scale.Scale, Math.Abs(scale.Minimum));
                    var shift = layout.Scales == KvScaleFormat.Half ? (maxCode * s + m) / 1024
                        : maxCode * s / 16 + MathF.Sqrt(s * m) / 16 + s / 128;
                    Math.Abs(x - back).ShouldBeLessThanOrEqualTo(s / 2 + shift + 1e-6f);
                }
            },
            iter: 100);
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(-2.5f)]
    [InlineData(2049f)] // fp16 holds 2048 or 2050 only
    [InlineData(1e-9f)] // below the smallest number of either format
    [InlineData(-65504f)]
    public void Quantize_ConstantGroups_AreStoredWithoutDivisionByZero(float constant)
    {
        foreach (var layout in PageLayoutTests.Grid().Where(l => l.HeadDim <= 72))
        {
            var numbers = Enumerable.Repeat(constant, layout.Tokens * layout.HeadDim).ToArray();

            foreach (var clipSearch in new[] { false, true })
            {
                var page = RoundTrip(layout, numbers, numbers, clipSearch: clipSearch);

                // fp16: half a unit of its last place. 8 bits: the scale is a 59th of the number, and a code is within half of it.
                var tolerance = layout.Scales == KvScaleFormat.Half ? Math.Abs(constant) / 2048 + 1e-7f : Math.Abs(constant) / 105 + 1e-9f;
                page.Keys.Concat(page.Values).ShouldAllBe(x => Math.Abs(x - constant) <= tolerance);
            }
        }
    }

    [Theory]
    [InlineData(KvScaleFormat.Byte, float.NaN)]
    [InlineData(KvScaleFormat.Half, float.NaN)]
    [InlineData(KvScaleFormat.Byte, float.PositiveInfinity)]
    [InlineData(KvScaleFormat.Half, float.NegativeInfinity)]
    [InlineData(KvScaleFormat.Half, -70000f)]
    [InlineData(KvScaleFormat.Byte, 97000f)] // 3 steps of 32333
    [InlineData(KvScaleFormat.Byte, -3e38f)]
    public void Quantize_NumberThatNoPageCanHold_ThrowsAndNamesTheLayer(KvScaleFormat format, float number)
    {
        var layout = new PageLayout(32, 16, scales: format);
        var (good, bad) = (new float[32 * 16], new float[32 * 16]);
        Array.Fill(bad, number, 100, 1);

        foreach (var clipSearch in new[] { false, true })
        {
            var reason = !float.IsFinite(number) ? "not finite" : format == KvScaleFormat.Half ? "65504[^;]*Dense" : "30720[^;]*Half[^;]*Dense";
            var ofKeys = Should.Throw<LocalLlmException>(() => RoundTrip(layout, bad, good, 7, clipSearch));
            ofKeys.Message.ShouldMatch($"^Layer 7: (?=.*key.*channel 4).*{reason}");
            var ofValues = Should.Throw<LocalLlmException>(() => RoundTrip(layout, good, bad, 7, clipSearch));
            ofValues.Message.ShouldMatch($"^Layer 7: (?=.*value.*token 6).*{reason}");
        }
    }

    [Fact]
    public void Quantize_ConstantBeyondFp16_IsRefusedByFp16ScalesOnly()
    {
        var numbers = Enumerable.Repeat(70000f, 32 * 16).ToArray();

        Should.Throw<LocalLlmException>(() => RoundTrip(new PageLayout(32, 16, scales: KvScaleFormat.Half), numbers, numbers));
        RoundTrip(new PageLayout(32, 16), numbers, numbers).Keys.ShouldAllBe(x => Math.Abs(x - 70000f) < 700);
    }

    [Fact]
    public void Dequantize_WrongLength_SaysWhatIsNeeded()
    {
        var layout = new PageLayout(32, 16);

        var error = Should.Throw<ArgumentException>(() =>
            PageCodec.Dequantize(layout, new byte[10], new byte[layout.ScaleBytes], new float[512], new float[512]));

        error.Message.ShouldContain("codes has 10");
        error.Message.ShouldContain($"{layout.CodeBytes}");
    }

    internal static Page RoundTrip(PageLayout layout, float[] keys, float[] values, int layer = 0, bool clipSearch = false)
    {
        var (codes, scales) = (new byte[layout.CodeBytes], new byte[layout.ScaleBytes]);
        PageCodec.Quantize(layout, keys, values, codes, scales, layer, clipSearch);
        var (backKeys, backValues) = (new float[keys.Length], new float[values.Length]);
        PageCodec.Dequantize(layout, codes, scales, backKeys, backValues);
        return new Page(layout, scales, backKeys, backValues);
    }

    /// <summary>What a page gives back.</summary>
    internal sealed record Page(PageLayout Layout, byte[] Scales, float[] Keys, float[] Values)
    {
        public (float Scale, float Minimum) Scale(int scaleIndex, int minimumIndex) =>
            ScaleCodec.Decode(Layout.Scales, Bits(scaleIndex), Bits(minimumIndex));

        private ushort Bits(int index) => Layout.Scales == KvScaleFormat.Byte ? Scales[index] : BitConverter.ToUInt16(Scales, 2 * index);
    }
}
