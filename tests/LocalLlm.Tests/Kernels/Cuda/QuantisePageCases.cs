using System.Runtime.InteropServices;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Kernels.Cuda;
using LocalLlm.Quantization;
using LocalLlm.Tests.Quantization;

namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>The kernel's pages are the CPU's, byte for byte, wherever it runs.</summary>
public abstract class QuantisePageCases
{
    private const int Heads = 2;

    private protected abstract IKernelDevice Device { get; }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Quantise_AnyLayout_GivesTheBytesOfTheScalarCodec(bool clipSearch)
    {
        foreach (var (index, layout) in PageLayoutTests.Grid().Index().Where(l => !clipSearch || (l.Index % 5 == 0 && l.Item.HeadDim <= 80)))
        {
            var random = new Random(index);
            Check(layout, Numbers(layout, random), Numbers(layout, random), clipSearch, isDescending: index % 2 == 1);
        }
    }

    [Theory]
    [InlineData(KvScaleFormat.Byte)]
    [InlineData(KvScaleFormat.Half)]
    public void Quantise_SeveralPagesAtOnce_AreTheScalarCodecs(KvScaleFormat format)
    {
        var (layout, random) = (new PageLayout(32, 72, valueBits: 3, scales: format, slowKeyBits: 3), new Random(11));

        Check(layout, Numbers(layout, random, pages: 3), Numbers(layout, random, pages: 3), clipSearch: true, isDescending: true, pages: 3);
    }

    // Quotients that lie between two codes, and the numbers beside them: the kernel divides by a reciprocal.
    [Theory]
    [InlineData(2, KvScaleFormat.Byte)]
    [InlineData(3, KvScaleFormat.Byte)]
    [InlineData(4, KvScaleFormat.Byte)]
    [InlineData(2, KvScaleFormat.Half)]
    [InlineData(3, KvScaleFormat.Half)]
    [InlineData(4, KvScaleFormat.Half)]
    public void Quantise_NumbersBesideEveryTie_GoToTheCodesOfTheScalarCodec(int bits, KvScaleFormat format)
    {
        var (layout, random, most) = (new PageLayout(64, 64, bits, bits, format), new Random(bits), (1 << bits) - 1);
        for (var round = 0; round < 6; round++)
        {
            float[] steps =
            [
                .. Enumerable.Range(0, 64).Select(i => format == KvScaleFormat.Byte
                    ? MathF.ScaleB(1 + (i % 8 / 8f), (i / 8) + round - 8) // all mantissas of eight bits
                    : (float)(Half)MathF.ScaleB(1 + random.NextSingle(), (i / 4) + round - 14)),
            ];
            float[] numbers = [.. steps.SelectMany(step => Enumerable.Range(0, 64).Select(i => Number(step, i)))]; // of a token
            float[] turned = [.. Enumerable.Range(0, 64 * 64).Select(i => numbers[(i % 64 * 64) + (i / 64)])]; // of a channel

            Check(layout, [.. turned, .. turned], [.. numbers, .. numbers], clipSearch: round % 2 == 1, isDescending: false);
        }

        float Number(float step, int i)
        {
            var tie = (i / 3 + 0.5f) * step;
            return i == 63 ? 0 : i == 62 || i / 3 >= most ? most * step : (i % 3) switch { 0 => MathF.BitDecrement(tie), 1 => tie, _ => MathF.BitIncrement(tie) };
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
        using var source = Write<Half>(rows);
        using var numbers = Write<int>(order);
        using var actualCodes = Device.Allocate(layout.KeyCodeBytes);
        using var actualScales = Device.Allocate(layout.KeyScaleCount);
        using var fault = Write<int>([int.MaxValue]);

        Device.Quantise(
            new QuantiseArguments
            {
                Layout = new DevicePageLayout(layout),
                Keys = source.Address,
                KeyRowBytes = 72 * sizeof(ushort),
                KeyRows = numbers.Address,
                KeyCodes = actualCodes.Address,
                KeyScales = actualScales.Address,
                Fault = fault.Address,
                Type = NumberType.Float16,
            },
            heads: 1, isDescending: false);

        BitConverter.ToInt32(fault.Span).ShouldBe(int.MaxValue);
        actualCodes.Span[..layout.KeyCodeBytes].ToArray().ShouldBe(codes[..layout.KeyCodeBytes]);
        actualScales.Span[..layout.KeyScaleCount].ToArray().ShouldBe(scales[..layout.KeyScaleCount]);
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

    [Fact]
    public void Quantise_NumberThatALaterPageCannotHold_CountsThePagesBefore()
    {
        var (layout, random) = (new PageLayout(32, 24), new Random(3));
        var (keys, values) = (Numbers(layout, random, pages: 3), Numbers(layout, random, pages: 3));
        values[((64 + 5) * 24) + 7] = float.NaN; // the third page's token 5

        Run(layout, keys, values, clipSearch: false, isDescending: false, pages: 3).Fault.ShouldBe((2 * (24 + 32)) + 24 + 5);
    }

    private void Check(PageLayout layout, float[] keys, float[] values, bool clipSearch, bool isDescending, int pages = 1)
    {
        var (codes, scales) = (new byte[Heads * pages * layout.CodeBytes], new byte[Heads * pages * layout.ScaleBytes]);
        for (var page = 0; page < Heads * pages; page++)
        {
            PageCodec.Quantize(
                layout, Page(keys, page, layout), Page(values, page, layout), codes.AsSpan(page * layout.CodeBytes, layout.CodeBytes),
                scales.AsSpan(page * layout.ScaleBytes, layout.ScaleBytes), 0, clipSearch);
        }

        var actual = Run(layout, keys, values, clipSearch, isDescending, pages);

        actual.Fault.ShouldBe(int.MaxValue);
        actual.Scales.AsSpan().SequenceEqual(scales).ShouldBeTrue($"scales of {layout}");
        actual.Codes.AsSpan().SequenceEqual(codes).ShouldBeTrue($"codes of {layout}");
    }

    private (byte[] Codes, byte[] Scales, int Fault) Run(
        PageLayout layout, float[] keys, float[] values, bool clipSearch, bool isDescending, int pages = 1)
    {
        using var keyMemory = Write<float>(keys);
        using var valueMemory = Write<float>(values);
        using var codes = Device.Allocate(Heads * pages * layout.CodeBytes);
        using var scales = Device.Allocate(Heads * pages * layout.ScaleBytes);
        using var fault = Write<int>([int.MaxValue]);
        codes.Span.Fill(0xA5); // what is not written is noticed
        scales.Span.Fill(0xA5);
        var (rowBytes, headBytes) = (layout.HeadDim * sizeof(float), pages * layout.Tokens * layout.HeadDim * sizeof(float));
        Device.Quantise(
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
                CodeHeadBytes = pages * layout.CodeBytes,
                ScaleHeadBytes = pages * layout.ScaleBytes,
                CodePageBytes = layout.CodeBytes,
                ScalePageBytes = layout.ScaleBytes,
                Fault = fault.Address,
                Type = NumberType.Float32,
                ClipSearch = clipSearch ? 1 : 0,
            },
            Heads, isDescending, pages);
        return (codes.Span.ToArray(), scales.Span.ToArray(), BitConverter.ToInt32(fault.Span));
    }

    private ITestMemory Write<T>(ReadOnlySpan<T> items)
        where T : unmanaged
    {
        var bytes = MemoryMarshal.AsBytes(items);
        var memory = Device.Allocate(bytes.Length);
        bytes.CopyTo(memory.Span);
        return memory;
    }

    private static ReadOnlySpan<float> Page(float[] numbers, int page, PageLayout layout) =>
        numbers.AsSpan(page * layout.Tokens * layout.HeadDim, layout.Tokens * layout.HeadDim);

    // Several magnitudes, outlier channels, ties, constant channels, zeros of either sign.
    private static float[] Numbers(PageLayout layout, Random random, int pages = 1) =>
    [
        .. Enumerable.Range(0, Heads * pages * layout.Tokens * layout.HeadDim).Select(i => (float)((i % layout.HeadDim % 8) switch
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
