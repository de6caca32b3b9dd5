using LocalLlm.Quantization;

namespace LocalLlm.Benchmarks.Comparisons;

/// <summary>Quantise-and-pack of one KV head's page on one thread, in bytes of bf16 keys and values a second, against copying them.</summary>
internal sealed class QuantizeComparison(int[] headDims, int rounds) : IComparison
{
    private const int Repeats = 100;

    public static QuantizeComparison Parse(Arguments arguments) => new(arguments.Numbers("head-dim", [128, 64], 8, 8), arguments.Number("rounds", 10));

    public Table Run(Machine machine)
    {
        var table = new Table($"quantise-and-pack of a page of 64 tokens, one thread: {machine.Description}");
        foreach (var headDim in headDims)
        {
            foreach (var (bits, scales, clipSearch) in new[]
            {
                (2, KvScaleFormat.Byte, false), (2, KvScaleFormat.Half, false), (3, KvScaleFormat.Byte, false), (4, KvScaleFormat.Byte, false), (2, KvScaleFormat.Byte, true),
            })
            {
                using var rows = new PageRows(new PageLayout(64, headDim, bits, bits, scales), clipSearch);
                var times = Machine.Measure(rounds, () => Repeat(rows.Quantize), () => Repeat(rows.Copy));
                var (ours, copy) = (times[0] / Repeats, times[1] / Repeats);
                table.Add(
                    ("head_dim", headDim), ("bits", bits), ("scales", scales.ToString()), ("clip_search", clipSearch), ("ours_us", 1000 * ours),
                    ("gb_per_s_per_core", rows.InputBytes / ours / 1e6), ("copies", ours / copy));
            }
        }

        return table;
    }

    private static void Repeat(Action action)
    {
        for (var i = 0; i < Repeats; i++)
            action();
    }
}
