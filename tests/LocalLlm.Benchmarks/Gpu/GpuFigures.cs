using LocalLlm.KvCache;
using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.Benchmarks.Gpu;

/// <summary>
/// The CUDA kernels, 32 query heads over 8 KV heads of 128 channels: attention of a decode step over 2-bit pages and nothing else against torch's
/// scaled_dot_product_attention over dense keys and values in bf16, and quantise-and-pack; both against the time that copying memory gives their
/// bytes in the same run.
/// </summary>
/// <param name="sections"><see cref="AttentionSection"/>, <see cref="QuantiseSection"/>.</param>
/// <param name="cases">Sequences, and tokens of each.</param>
internal sealed class GpuFigures(string[] sections, (int Sequences, int Tokens)[] cases)
{
    public const string AttentionSection = "attention";
    public const string QuantiseSection = "quantise";
    public const int PageTokens = 64;

    private const int QueryHeads = 32, KvHeads = 8, HeadDim = 128;
    private static readonly PageLayout Layout = new(PageTokens, HeadDim, slowKeyBits: PageBits.Default.SlowKey);

    /// <summary>Measures on any device that the launcher's kernels reach.</summary>
    /// <param name="target">The device.</param>
    /// <param name="copyBytes">Bytes to copy for the bandwidth; twice what the device's caches hold at least.</param>
    /// <param name="pages">Pages of one launch that fills the device.</param>
    /// <param name="description">For the table's title.</param>
    public Table Measure(GpuTarget target, long copyBytes, int pages, string description)
    {
        var table = new Table($"CUDA kernels, {QueryHeads}/{KvHeads} heads of {HeadDim}: {description}");
        using var mode = inference_mode();
        var bandwidth = CopyBandwidth(target, copyBytes);
        table.Add(("section", "copy"), ("bytes_mb", copyBytes / 1e6), ("gb_per_s", bandwidth / 1e6));
        if (sections.Contains(AttentionSection))
        {
            foreach (var (sequences, tokens) in cases)
                Attention(table, target, bandwidth, copyBytes / 2, sequences, tokens);
        }

        if (sections.Contains(QuantiseSection))
        {
            foreach (var clipSearch in new[] { false, true })
            {
                foreach (var count in new[] { 1, pages })
                    Quantise(table, target, bandwidth, count, clipSearch);
            }
        }

        return table;
    }

    // Bytes read and written a millisecond.
    private static double CopyBandwidth(GpuTarget target, long bytes)
    {
        using var source = ones(bytes, ScalarType.Byte, target.Device);
        using var copy = empty_like(source);
        return 2 * bytes / target.Clock.Measure(() => copy.copy_(source))[0];
    }

    private static void Attention(Table table, GpuTarget target, double bandwidth, long cacheBytes, int sequences, int tokens)
    {
        // Layer after layer, as a decode step goes: nobody finds in the GPU's cache what the same layer left there.
        using var packed = new Layers<GpuSequences>(
            () => new GpuSequences(target, Layout, sequences, tokens, QueryHeads, KvHeads), s => s.PackedBytes, cacheBytes);
        // torch gets the query heads of a KV head as rows, its fastest form.
        using var q = randn(sequences, KvHeads, QueryHeads / KvHeads, HeadDim, dtype: ScalarType.BFloat16, device: target.Device);
        using var k = randn(sequences, KvHeads, tokens, HeadDim, dtype: ScalarType.BFloat16, device: target.Device);
        using var v = randn_like(k);
        var times = target.Clock.Measure(() => packed.Next().Attend(), () => nn.functional.scaled_dot_product_attention(q, k, v).Dispose());
        var (packedBytes, denseBytes) = (packed.Next().PackedBytes, 2 * k.NumberOfElements * k.ElementSize);
        var (ours, torch) = (times[0], times[1]);
        table.Add(
            ("section", AttentionSection), ("sequences", sequences), ("tokens", tokens), ("ours_ms", ours), ("torch_bf16_ms", torch),
            ("ratio_torch_bf16", torch / ours),
            ("packed_mb", packedBytes / 1e6), ("floor_ms", packedBytes / bandwidth), ("ours_to_floor", ours / (packedBytes / bandwidth)),
            ("dense_mb", denseBytes / 1e6), ("torch_to_floor", torch / (denseBytes / bandwidth)));
    }

    // One page of a layer, as a step packs it, and many, which fill a GPU.
    private static void Quantise(Table table, GpuTarget target, double bandwidth, int pages, bool clipSearch)
    {
        using var rows = new GpuPages(target, Layout, pages * KvHeads, clipSearch);
        var time = target.Clock.Measure(rows.Quantise)[0];
        if (!rows.IsGood)
            throw new InvalidOperationException("The numbers fit no page.");
        table.Add(
            ("section", QuantiseSection), ("pages", pages), ("clip_search", clipSearch), ("ours_us", 1000 * time),
            ("gb_per_s", rows.Bytes / time / 1e6), ("ours_to_floor", time / (rows.Bytes / bandwidth)));
    }
}
