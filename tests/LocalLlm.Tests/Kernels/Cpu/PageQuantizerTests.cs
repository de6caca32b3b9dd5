using System.Runtime.InteropServices;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Quantization;
using LocalLlm.Tests.Quantization;

namespace LocalLlm.Tests.Kernels.Cpu;

public unsafe class PageQuantizerTests
{
    [Theory]
    [InlineData((int)NumberType.Float32, false)]
    [InlineData((int)NumberType.Float32, true)]
    [InlineData((int)NumberType.BFloat16, false)]
    [InlineData((int)NumberType.BFloat16, true)]
    [InlineData((int)NumberType.Float16, false)]
    [InlineData((int)NumberType.Float16, true)]
    public void TryQuantize_AnyLayout_EqualsTheScalarCodecBitForBit(int type, bool clipSearch)
    {
        foreach (var layout in PageLayoutTests.Grid())
            RequireBytesOfTheScalarCodec(layout, (NumberType)type, clipSearch);
    }

    /// <summary>A few layouts of every kind, for the slow runs without an instruction set.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void TryQuantize_FewLayouts_EqualsTheScalarCodecBitForBit(bool clipSearch)
    {
        foreach (var (index, layout) in PageLayoutTests.Grid().Where(l => l.HeadDim <= 80).Index().Where(l => l.Index % 5 == 0))
            RequireBytesOfTheScalarCodec(layout, (NumberType)(index % 3), clipSearch);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void TryQuantize_RowsApart_AreReadInPlace(bool byIndex)
    {
        var layout = new PageLayout(32, 72);
        var random = new Random(3);
        var (keys, values) = (Numbers(layout, NumberType.BFloat16, 0, random), Numbers(layout, NumberType.Float16, 0, random));
        var (codes, scales) = (new byte[layout.CodeBytes], new byte[layout.ScaleBytes]);
        PageCodec.Quantize(layout, keys, values, codes, scales, 0);

        // The odd ones of 64 rows, as rows twice as far apart or by number, in an order of their own; NaN between them.
        var order = Enumerable.Range(0, 32).Select(t => byIndex ? (t * 5 + 2) % 32 * 2 + 1 : 2 * t + 1).ToArray();
        using var keyMemory = Stored(Spread(keys), NumberType.BFloat16);
        using var valueMemory = Stored(Spread(values), NumberType.Float16);
        var (actualCodes, actualScales) = (new byte[layout.CodeBytes], new byte[layout.ScaleBytes]);
        fixed (int* rows = order)
        fixed (byte* codePointer = actualCodes, scalePointer = actualScales)
        {
            var (stride, start) = byIndex ? (72, 0) : (144, 144);
            PageQuantizer.TryQuantize(
                layout,
                new NumberRows(keyMemory.Pointer + start, NumberType.BFloat16, stride, byIndex ? rows : null),
                new NumberRows(valueMemory.Pointer + start, NumberType.Float16, stride, byIndex ? rows : null),
                (nint)codePointer, (nint)scalePointer, false, out _).ShouldBeTrue();
        }

        actualCodes.ShouldBe(codes);
        actualScales.ShouldBe(scales);

        float[] Spread(float[] numbers)
        {
            var spread = Enumerable.Repeat(float.NaN, 64 * 72).ToArray();
            for (var t = 0; t < 32; t++)
                numbers.AsSpan(t * 72, 72).CopyTo(spread.AsSpan(order[t] * 72));
            return spread;
        }
    }

    [Theory]
    [InlineData(KvScaleFormat.Byte, float.NaN)]
    [InlineData(KvScaleFormat.Half, float.NegativeInfinity)]
    [InlineData(KvScaleFormat.Byte, float.PositiveInfinity)]
    [InlineData(KvScaleFormat.Half, -70000f)]
    [InlineData(KvScaleFormat.Byte, 3e38f)]
    public void TryQuantize_NumberThatNoPageCanHold_FindsTheGroupOfTheScalarCodec(KvScaleFormat format, float number)
    {
        var layout = new PageLayout(64, 136, scales: format);
        foreach (var clipSearch in new[] { false, true })
        {
            for (var place = 0; place < 20; place++)
            {
                var random = new Random(place);
                var (keys, values) = (Numbers(layout, NumberType.Float32, 0, random), Numbers(layout, NumberType.Float32, 0, random));
                for (var i = 0; i < 3; i++)
                    (place % 2 == 0 ? keys : values)[random.Next(keys.Length)] = number;
                var (codes, scales) = (new byte[layout.CodeBytes], new byte[layout.ScaleBytes]);
                var expected = Should.Throw<LocalLlmException>(() => PageCodec.Quantize(layout, keys, values, codes, scales, 3, clipSearch));

                PageFault fault;
                fixed (float* k = keys, v = values)
                fixed (byte* c = codes, s = scales)
                {
                    PageQuantizer.TryQuantize(
                        layout, new NumberRows(k, NumberType.Float32, 136), new NumberRows(v, NumberType.Float32, 136), (nint)c, (nint)s, clipSearch, out fault)
                        .ShouldBeFalse();
                }

                fault.ToException(layout, 3).Message.ShouldBe(expected.Message);
            }
        }
    }

    private static void RequireBytesOfTheScalarCodec(PageLayout layout, NumberType type, bool clipSearch)
    {
        var random = new Random(layout.HeadDim);
        for (var kind = 0; kind < 7; kind++)
        {
            var (keys, values) = (Numbers(layout, type, kind, random), Numbers(layout, type, (kind + 3) % 7, random));
            var (codes, scales) = (new byte[layout.CodeBytes], new byte[layout.ScaleBytes]);
            PageCodec.Quantize(layout, keys, values, codes, scales, 0, clipSearch);

            // Memory that ends with the last number and the last byte; what the quantiser does not write is noticed.
            using var keyMemory = Stored(keys, type);
            using var valueMemory = Stored(values, type);
            using var codeMemory = new GuardedMemory(layout.CodeBytes, atStart: kind % 2 == 0);
            using var scaleMemory = new GuardedMemory(layout.ScaleBytes, atStart: kind % 2 == 0);
            codeMemory.Span.Fill(0xA5);
            scaleMemory.Span.Fill(0xA5);
            PageQuantizer.TryQuantize(
                layout,
                new NumberRows(keyMemory.Pointer, type, layout.HeadDim),
                new NumberRows(valueMemory.Pointer, type, layout.HeadDim),
                (nint)codeMemory.Pointer, (nint)scaleMemory.Pointer, clipSearch, out _).ShouldBeTrue();

            scaleMemory.Span.SequenceEqual(scales).ShouldBeTrue($"scales of {layout}, kind {kind}");
            codeMemory.Span.SequenceEqual(codes).ShouldBeTrue($"codes of {layout}, kind {kind}");
        }
    }

    private static GuardedMemory Stored(float[] numbers, NumberType type)
    {
        byte[] bytes = type switch
        {
            NumberType.Float32 => [.. MemoryMarshal.AsBytes(numbers.AsSpan())],
            NumberType.BFloat16 => [.. numbers.SelectMany(x => BitConverter.GetBytes((ushort)(BitConverter.SingleToUInt32Bits(x) >> 16)))],
            _ => [.. numbers.SelectMany(x => BitConverter.GetBytes((Half)x))],
        };
        var memory = new GuardedMemory(bytes.Length);
        bytes.CopyTo(memory.Span);
        return memory;
    }

    // [P][D] numbers that the type holds exactly: several magnitudes, outlier channels, ties, constants, zeros of either sign, subnormal ones.
    private static float[] Numbers(PageLayout layout, NumberType type, int kind, Random random)
    {
        var channelMean = Enumerable.Range(0, layout.HeadDim).Select(_ => (random.NextDouble() - 0.5) * 100).ToArray();
        return [.. Enumerable.Range(0, layout.Tokens * layout.HeadDim).Select(i => Rounded((float)(kind switch
        {
            0 => Normal() + channelMean[i % layout.HeadDim] * 0.02,
            1 => Normal() * 3 + (i % layout.HeadDim % 7 == 0 ? channelMean[i % layout.HeadDim] * 100 : 0),
            2 => Math.Round(Normal() * 2) * 0.5,
            3 => Normal() * 1e-6,
            4 => channelMean[i % layout.HeadDim],
            5 => i % 3 == 0 ? -0.0 : 0.0,
            _ => Normal() * Math.Exp(8 * Normal() - 8),
        })))];

        double Normal() => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

        float Rounded(float x)
        {
            x = Math.Clamp(x, -20000, 20000);
            return type switch
            {
                NumberType.Float32 => x,
                NumberType.BFloat16 => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(x) & 0xFFFF0000),
                _ => (float)(Half)x,
            };
        }
    }
}
