using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.Benchmarks.Comparisons;

/// <summary>
/// One layer's attention, 32 query heads over 8 KV heads, over 2-bit pages and nothing else, against torch's scaled_dot_product_attention over dense keys and values.
/// torch gets the query heads of a KV head as rows, its fastest form.
/// </summary>
internal sealed class AttentionComparison(int[] tokens, int[] headDims, int queries, int rounds, int slowKeyBits, SimdPath path) : IComparison
{
    private const int QueryHeads = 32, KvHeads = 8, PageTokens = 64;

    public static AttentionComparison Parse(Arguments arguments)
    {
        var name = arguments.Text("path");
        var path = name is null ? SimdPaths.Best : Enum.TryParse<SimdPath>(name, out var parsed) && SimdPaths.IsSupported(parsed)
            ? parsed
            : throw new ArgumentException($"--path is one of {string.Join(", ", SimdPaths.Supported)}, got '{name}'.");
        return new(
            arguments.Numbers("tokens", [4096, 16384, 65536], PageTokens, PageTokens), arguments.Numbers("head-dim", [128, 64], 8, 8),
            arguments.Number("queries", 1), arguments.Number("rounds", 10), SlowKeyBits(arguments), path);
    }

    private static int SlowKeyBits(Arguments arguments)
    {
        var bits = arguments.Number("slow-key-bits", PageBits.Default.SlowKey);
        return bits is 2 or 3 or 4 ? bits : throw new ArgumentException($"--slow-key-bits is 2, 3 or 4, got {bits}.");
    }

    public Table Run(Machine machine)
    {
        var table = new Table($"attention over pages of 2 bits (slow keys {slowKeyBits}), {queries} queries: {machine.Description}");
        using var mode = inference_mode();
        using var work = new AttentionWork(machine.Team, AttentionKernel.For(path));
        foreach (var headDim in headDims)
        {
            foreach (var count in tokens)
                Add(table, machine, work, headDim, count);
        }

        return table;
    }

    private void Add(Table table, Machine machine, AttentionWork work, int headDim, int count)
    {
        // Layer after layer, as a decode step goes: nobody finds in the caches what the same layer left there.
        using var pages = new Layers<PackedSequence>(() => new PackedSequence(new PageLayout(PageTokens, headDim, slowKeyBits: slowKeyBits), count, QueryHeads, KvHeads, queries), p => p.PackedBytes);
        using var bf16 = new Layers<Dense>(() => new Dense(ScalarType.BFloat16, headDim, count, queries), d => d.Bytes);
        using var fp32 = new Layers<Dense>(() => new Dense(ScalarType.Float32, headDim, count, queries), d => d.Bytes);
        var times = Machine.Measure(
            rounds, () => pages.Next().Attend(work), () => bf16.Next().Attend(), () => fp32.Next().Attend(), () => Read(pages.Next()));
        void Read(PackedSequence layer) => machine.Read(layer.Address, layer.PackedBytes);

        var (ours, torchBf16, torchFp32, read) = (times[0], times[1], times[2], times[3]);
        table.Add(
            ("shape", $"{QueryHeads}/{KvHeads}/{headDim}"), ("tokens", count), ("queries", queries), ("ours_ms", ours), ("torch_bf16_ms", torchBf16),
            ("torch_fp32_ms", torchFp32), ("read_ms", read), ("ratio_torch_bf16", torchBf16 / ours), ("ratio_torch_fp32", torchFp32 / ours),
            ("ours_to_read", ours / read), ("packed_mb", pages.Next().PackedBytes / 1e6), ("ours_us_per_1k_tokens", 1000 * ours / (count / 1024.0)));
    }

    private sealed class Dense : IDisposable
    {
        private readonly Tensor q; // [1, Hkv, g·n, D]
        private readonly Tensor k; // [1, Hkv, T, D]
        private readonly Tensor v;

        public Dense(ScalarType type, int headDim, int tokens, int queries)
        {
            using var scope = NewDisposeScope();
            q = randn(1, KvHeads, QueryHeads / KvHeads * queries, headDim).to(type).MoveToOuterDisposeScope();
            k = randn(1, KvHeads, tokens, headDim).to(type).MoveToOuterDisposeScope();
            v = randn(1, KvHeads, tokens, headDim).to(type).MoveToOuterDisposeScope();
        }

        public long Bytes => 2 * k.NumberOfElements * k.ElementSize;

        public void Attend()
        {
            using var output = nn.functional.scaled_dot_product_attention(q, k, v);
        }

        public void Dispose()
        {
            q.Dispose();
            k.Dispose();
            v.Dispose();
        }
    }
}
