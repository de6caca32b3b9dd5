using LocalLlm.Kernels.Cpu;
using LocalLlm.Quantization;
using LocalLlm.Tests.Quantization;

namespace LocalLlm.Tests.Kernels.Cpu;

public unsafe class ValueSectionsTests
{
    [Fact]
    public void Deal_AnyLayout_LeavesTheBytesOfQuantisingEachHalfItself()
    {
        foreach (var layout in PageLayoutTests.Grid())
        {
            var random = new Random(layout.HeadDim);
            var tokens = Enumerable.Range(0, 2 * layout.Tokens)
                .Select(_ => Enumerable.Range(0, layout.HeadDim).Select(_ => random.NextSingle() * 4 - 1).ToArray()).ToArray();
            var (first, second) = (Section(layout, tokens[..layout.Tokens]), Section(layout, tokens[layout.Tokens..]));
            using var kept = Guarded(first.Codes);
            using var keptScales = Guarded(first.Scales);
            using var fresh = Guarded(second.Codes);
            using var freshScales = Guarded(second.Scales);
            using var evicted = new GuardedMemory(first.Codes.Length);
            using var evictedScales = new GuardedMemory(first.Scales.Length);

            ValueSections.Deal(
                layout,
                new ValueSection((nint)kept.Pointer, (nint)keptScales.Pointer),
                new ValueSection((nint)fresh.Pointer, (nint)freshScales.Pointer),
                new ValueSection((nint)evicted.Pointer, (nint)evictedScales.Pointer));

            var stays = Section(layout, [.. tokens.Where((_, i) => i % 2 == 0)]);
            var leaves = Section(layout, [.. tokens.Where((_, i) => i % 2 == 1)]);
            kept.Span.SequenceEqual(stays.Codes).ShouldBeTrue($"{layout}");
            keptScales.Span.SequenceEqual(stays.Scales).ShouldBeTrue($"{layout}");
            evicted.Span.SequenceEqual(leaves.Codes).ShouldBeTrue($"{layout}");
            evictedScales.Span.SequenceEqual(leaves.Scales).ShouldBeTrue($"{layout}");
        }
    }

    // The values' section of a page, from the scalar codec.
    private static (byte[] Codes, byte[] Scales) Section(PageLayout layout, float[][] tokens)
    {
        var (codes, scales) = (new byte[layout.CodeBytes], new byte[layout.ScaleBytes]);
        PageCodec.Quantize(layout, new float[layout.Tokens * layout.HeadDim], [.. tokens.SelectMany(t => t)], codes, scales, layer: 0);
        return (codes[layout.ValueOffset..], scales[(layout.ValueScaleIndex * layout.ScaleElementBytes)..]);
    }

    private static GuardedMemory Guarded(byte[] bytes)
    {
        var memory = new GuardedMemory(bytes.Length);
        bytes.CopyTo(memory.Span);
        return memory;
    }
}
