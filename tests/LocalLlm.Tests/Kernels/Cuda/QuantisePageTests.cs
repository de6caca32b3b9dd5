using LocalLlm.Kernels.Cpu;
using LocalLlm.Kernels.Cuda;
using LocalLlm.Quantization;
using LocalLlm.Tests.Kernels.Cpu;
using LocalLlm.Tests.Quantization;

namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>The pages of the emulated kernel are the CPU's, byte for byte.</summary>
public unsafe class QuantisePageTests
{
    private const int Heads = 2;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Quantise_AnyLayout_GivesTheBytesOfTheScalarCodec(bool clipSearch)
    {
        foreach (var (index, layout) in PageLayoutTests.Grid().Index().Where(l => !clipSearch || (l.Index % 5 == 0 && l.Item.HeadDim <= 80)))
        {
            var random = new Random(index);
            var (keys, values) = (Numbers(layout, random), Numbers(layout, random));
            var (codes, scales) = (new byte[Heads * layout.CodeBytes], new byte[Heads * layout.ScaleBytes]);
            for (var head = 0; head < Heads; head++)
            {
                PageCodec.Quantize(
                    layout, Head(keys, head, layout), Head(values, head, layout), codes.AsSpan(head * layout.CodeBytes, layout.CodeBytes),
                    scales.AsSpan(head * layout.ScaleBytes, layout.ScaleBytes), 0, clipSearch);
            }

            var actual = Run(layout, keys, values, clipSearch, isDescending: index % 2 == 1);

            actual.Fault.ShouldBe(int.MaxValue);
            actual.Scales.AsSpan().SequenceEqual(scales).ShouldBeTrue($"scales of {layout}");
            actual.Codes.AsSpan().SequenceEqual(codes).ShouldBeTrue($"codes of {layout}");
        }
    }

    [Fact]
    public void Quantise_RowsByNumberOfANarrowTypeKeysAlone_WritesTheirSectionOnly()
    {
        var layout = new PageLayout(32, 72, 2, 3, slowKeyBits: 3);
        Half[] rows = [.. Numbers(layout, new Random(2)).Take(64 * 72 / 2).Select(x => (Half)x)];
        int[] order = [.. Enumerable.Range(0, 32).Select(t => (t * 5 + 2) % 32)];
        float[] keys = [.. order.SelectMany(r => rows.Skip(r * 72).Take(72)).Select(x => (float)x)];
        var (codes, scales) = (new byte[layout.CodeBytes], new byte[layout.ScaleBytes]);
        PageCodec.Quantize(layout, keys, keys, codes, scales, 0);
        var (actualCodes, actualScales, fault) = (new byte[layout.KeyCodeBytes], new byte[layout.KeyScaleCount], int.MaxValue);

        fixed (Half* source = rows)
        fixed (int* numbers = order)
        fixed (byte* c = actualCodes, s = actualScales)
        {
            EmulatedKernels.Quantise(
                new QuantiseArguments
                {
                    Layout = new DevicePageLayout(layout),
                    Keys = (nint)source,
                    KeyRowBytes = 72 * sizeof(ushort),
                    KeyRows = (nint)numbers,
                    KeyCodes = (nint)c,
                    KeyScales = (nint)s,
                    Fault = (nint)(&fault),
                    Type = NumberType.Float16,
                },
                heads: 1, isDescending: false);
        }

        fault.ShouldBe(int.MaxValue);
        actualCodes.ShouldBe(codes[..layout.KeyCodeBytes]);
        actualScales.ShouldBe(scales[..layout.KeyScaleCount]);
    }

    [Theory]
    [InlineData(KvScaleFormat.Byte, float.NaN)]
    [InlineData(KvScaleFormat.Half, float.NegativeInfinity)]
    [InlineData(KvScaleFormat.Half, -70000f)]
    [InlineData(KvScaleFormat.Byte, 3e38f)]
    public void Quantise_NumberThatNoPageCanHold_FindsTheFirstGroup(KvScaleFormat format, float number)
    {
        var layout = new PageLayout(64, 136, scales: format);
        foreach (var inKeys in new[] { true, false })
        {
            var random = new Random(7);
            var (keys, values) = (Numbers(layout, random), Numbers(layout, random));
            foreach (var (token, channel) in new[] { (60, 120), (37, 70), (50, 8) })
                (inKeys ? keys : values)[(token * 136) + channel] = number;

            var fault = Run(layout, keys, values, clipSearch: true, isDescending: false).Fault;

            fault.ShouldBe(inKeys ? 8 : 136 + (37 * 3) + 1); // channel 8; token 37, group of channel 70
        }
    }

    private static (byte[] Codes, byte[] Scales, int Fault) Run(PageLayout layout, float[] keys, float[] values, bool clipSearch, bool isDescending)
    {
        using var keyMemory = new GuardedMemory(keys.Length * sizeof(float));
        using var valueMemory = new GuardedMemory(keys.Length * sizeof(float));
        using var codes = new GuardedMemory(Heads * layout.CodeBytes);
        using var scales = new GuardedMemory(Heads * layout.ScaleBytes);
        keys.CopyTo(new Span<float>(keyMemory.Pointer, keys.Length));
        values.CopyTo(new Span<float>(valueMemory.Pointer, values.Length));
        codes.Span.Fill(0xA5); // what is not written is noticed
        scales.Span.Fill(0xA5);
        var fault = int.MaxValue;
        var (rowBytes, headBytes) = (layout.HeadDim * sizeof(float), layout.Tokens * layout.HeadDim * sizeof(float));
        EmulatedKernels.Quantise(
            new QuantiseArguments
            {
                Layout = new DevicePageLayout(layout),
                Keys = keyMemory.Address,
                Values = valueMemory.Address,
                KeyHeadBytes = headBytes,
                KeyRowBytes = rowBytes,
                ValueHeadBytes = headBytes,
                ValueRowBytes = rowBytes,
                KeyCodes = codes.Address,
                ValueCodes = codes.Address + layout.ValueOffset,
                KeyScales = scales.Address,
                ValueScales = scales.Address + (layout.ValueScaleIndex * layout.ScaleElementBytes),
                CodeHeadBytes = layout.CodeBytes,
                ScaleHeadBytes = layout.ScaleBytes,
                Fault = (nint)(&fault),
                Type = NumberType.Float32,
                ClipSearch = clipSearch ? 1 : 0,
            },
            Heads, isDescending);
        return (codes.Span.ToArray(), scales.Span.ToArray(), fault);
    }

    private static ReadOnlySpan<float> Head(float[] numbers, int head, PageLayout layout) =>
        numbers.AsSpan(head * layout.Tokens * layout.HeadDim, layout.Tokens * layout.HeadDim);

    // Several magnitudes, outlier channels, ties, constant channels, zeros of either sign.
    private static float[] Numbers(PageLayout layout, Random random) =>
    [
        .. Enumerable.Range(0, Heads * layout.Tokens * layout.HeadDim).Select(i => (float)((i % layout.HeadDim % 8) switch
        {
            0 => (random.NextDouble() * 200) - 20,
            1 => Math.Round(random.NextDouble() * 6) * 0.5,
            2 => 3.25,
            3 => i % 3 == 0 ? -0.0 : 0.0,
            4 => random.NextDouble() * 1e-6,
            _ => random.NextDouble() - 0.4,
        })),
    ];
}
