using CsCheck;
using LocalLlm.Attention;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using LocalLlm.Quantization;
using LocalLlm.Tests.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Attention;

public class TorchAttentionLogQuantTests
{
    public TorchAttentionLogQuantTests() => LibTorch.EnsureLoaded();

    [Theory]
    [InlineData(32, 8, 4, 2, null)]
    [InlineData(32, 24, 2, 2, null)]
    [InlineData(64, 64, 4, 1, null)]
    [InlineData(32, 96, 2, 1, null)]
    [InlineData(128, 128, 2, 2, null)]
    [InlineData(32, 16, 4, 2, 1)]
    [InlineData(32, 16, 4, 2, 40)]
    [InlineData(32, 16, 4, 2, 150)]
    public void Attend_EveryToken_EqualsDoublePrecisionOverTheSamePages(int window, int headDim, int queryHeads, int kvHeads, int? slidingWindow)
    {
        var tokens = 7 * window + 9;
        var stream = new KvStream(new KvShape(1, kvHeads, headDim, ScalarType.Float32, CPU), queryHeads, tokens, seed: headDim);
        using var cache = new LogQuantKvCache(stream.Shape, window);

        var outputs = stream.Run(new TorchAttention(partScores: 1), cache, [window, 4 * window, 1, 1, tokens - 5 * window - 2], slidingWindow);

        KvStream.ShouldBeClose(outputs[0], Oracle(stream, window, slidingWindow), 1e-5);
    }

    [Theory]
    [InlineData(1, null)] // a part for each block
    [InlineData(long.MaxValue, null)] // one part
    [InlineData(1, 300)]
    [InlineData(long.MaxValue, 300)]
    public void Attend_SeveralBlocksOfPages_EqualsDoublePrecision(long partScores, int? slidingWindow)
    {
        const int window = 32, tokens = 3 * window + (PageBlock.Pages + 3) * window;
        var stream = new KvStream(new KvShape(1, 2, 8, ScalarType.Float32, CPU), 2, tokens, seed: 9);
        using var cache = new LogQuantKvCache(stream.Shape, window);

        var outputs = stream.Run(new TorchAttention(partScores), cache, [tokens - 30, 1, 29], slidingWindow);

        cache.View(0).Pages.Count.ShouldBe(2);
        KvStream.ShouldBeClose(outputs[0], Oracle(stream, window, slidingWindow), 1e-5);
    }

    [Theory]
    [InlineData(32, null)]
    [InlineData(64, null)]
    [InlineData(32, 100)]
    public void Attend_AnyChunking_GivesTheSameOutputs(int window, int? slidingWindow)
    {
        const int tokens = 420;
        var stream = new KvStream(new KvShape(2, 2, 16, ScalarType.Float32, CPU), 4, tokens, seed: 3);
        using var single = new LogQuantKvCache(stream.Shape, window);
        var expected = stream.Run(new TorchAttention(), single, Enumerable.Repeat(1, tokens), slidingWindow);

        Gen.OneOf(Gen.Int[1, 9], Gen.Int[1, 3 * window + 5], Gen.Int[1, tokens]).Array[tokens]
            .Sample(
                sizes =>
                {
                    using var chunked = new LogQuantKvCache(stream.Shape, window);
                    var outputs = stream.Run(new TorchAttention(), chunked, Chunks(sizes, tokens), slidingWindow);
                    for (var layer = 0; layer < 2; layer++)
                        KvStream.ShouldBeClose(outputs[layer], expected[layer], 2e-6);
                    LogQuantKvCacheTests.ShouldBeIdentical(chunked, single);
                },
                iter: 12,
                threads: 1);
    }

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    public void Attend_EveryTokenInRows_EqualsDenseBitForBit(ScalarType type)
    {
        const int window = 32;
        var stream = new KvStream(new KvShape(2, 2, 64, type, CPU), 4, 3 * window + 1, seed: 6);
        using var logQuant = new LogQuantKvCache(stream.Shape, window);
        using var dense = new DenseKvCache(stream.Shape);
        int[] chunks = [50, 1, 1, 44, 1]; // the last one finds 3W rows

        var outputs = stream.Run(new TorchAttention(), logQuant, chunks);

        outputs.ShouldBe(stream.Run(new TorchAttention(), dense, chunks));
        logQuant.View(0).Pages.Count.ShouldBe(1);
    }

    [Fact]
    public void Attend_BFloat16_IsAsCloseAsItsOutputTypeAllows()
    {
        var stream = new KvStream(new KvShape(1, 2, 32, ScalarType.BFloat16, CPU), 4, 300, seed: 5);
        using var cache = new LogQuantKvCache(stream.Shape, 32);

        var outputs = stream.Run(new TorchAttention(), cache, [200, 1, 99]);

        KvStream.ShouldBeClose(outputs[0], Oracle(stream, 32, null), 0.016);
    }

    [Theory]
    [InlineData(ScalarType.Float32, 64, null)]
    [InlineData(ScalarType.BFloat16, 96, 150)]
    public void Attend_OnAGpu_LeavesTheCachesBitsOfTheCpu(ScalarType type, int headDim, int? slidingWindow)
    {
        if (!cuda.is_available())
            Assert.Skip("needs a CUDA device and -p:TorchBackend=cuda");
        var onCpu = new KvStream(new KvShape(2, 2, headDim, type, CPU), 4, 900, seed: 7);
        var onGpu = new KvStream(onCpu.Shape with { Device = CUDA }, 4, 900, seed: 7);
        using var cpuCache = new LogQuantKvCache(onCpu.Shape, 32);
        using var gpuCache = new LogQuantKvCache(onGpu.Shape, 32);
        int[] chunks = [400, 1, 1, 498];

        var expected = onCpu.Run(new TorchAttention(), cpuCache, chunks, slidingWindow);
        var actual = onGpu.Run(new TorchAttention(), gpuCache, chunks, slidingWindow);

        LogQuantKvCacheTests.ShouldBeIdentical(gpuCache, cpuCache);
        for (var layer = 0; layer < 2; layer++)
            KvStream.ShouldBeClose(actual[layer], expected[layer], type == ScalarType.Float32 ? 1e-5 : 0.032);
    }

    [Fact]
    public void Attend_AgainstDense_LosesNoMoreThanTwoBitsMay()
    {
        const int tokens = 1024;
        var stream = new KvStream(new KvShape(1, 2, 64, ScalarType.Float32, CPU), 4, tokens, seed: 2, keyOffset: 8);
        using var logQuant = new LogQuantKvCache(stream.Shape, 64);
        using var dense = new DenseKvCache(stream.Shape);
        int[] chunks = [512, 512];

        var (actual, expected) = (stream.Run(new TorchAttention(), logQuant, chunks)[0], stream.Run(new TorchAttention(), dense, chunks)[0]);

        // Random normal channels whose means differ by far more than their spread. The relative error of the output stays below that of a
        // 2-bit number itself (about a third); without the channels' own scales it would be beyond one.
        var error = actual.Zip(expected, (a, e) => (double)(a - e) * (a - e)).Sum();
        var relative = Math.Sqrt(error / expected.Sum(e => (double)e * e));
        relative.ShouldBeInRange(0.01, 0.4);
    }

    // Straight from the rule, token by token: which tokens are rows, which are in pages, and what a page gives back.
    private static float[] Oracle(KvStream stream, int window, int? slidingWindow)
    {
        var (headDim, kvHeads) = (stream.Shape.HeadDim, stream.Shape.KvHeads);
        var layout = new PageLayout(window, headDim);
        var keys = new List<float[][]>(); // what a later token sees, [token][KV head][D]
        var values = new List<float[][]>();
        var rows = new List<int>();
        var output = new List<float>();
        for (var t = 0; t < stream.Tokens; t++)
        {
            keys.Add([.. Enumerable.Range(0, kvHeads).Select(h => stream.Key(0, t, h))]);
            values.Add([.. Enumerable.Range(0, kvHeads).Select(h => stream.Value(0, t, h))]);
            var seen = Enumerable.Range(0, t + 1).Where(s => slidingWindow is null || s > t - slidingWindow).ToArray();
            for (var head = 0; head < stream.QueryHeads; head++)
            {
                var kvHead = head / stream.Group;
                output.AddRange(AttentionOracle.Attend(
                        stream.Query(0, t, head), [.. seen.Select(s => keys[s][kvHead])], [.. seen.Select(s => values[s][kvHead])], stream.Scale)
                    .Select(x => (float)x));
            }

            if (rows.Count == 3 * window)
            {
                var evicted = rows.Take(2 * window).Where((_, i) => i % 2 == 1).ToArray();
                rows = [.. rows.Take(2 * window).Where((_, i) => i % 2 == 0), .. rows.Skip(2 * window)];
                for (var head = 0; head < kvHeads; head++)
                    ThroughAPage(layout, evicted, head, keys, values);
            }

            rows.Add(t);
        }

        return [.. output];
    }

    private static void ThroughAPage(PageLayout layout, int[] tokens, int head, List<float[][]> keys, List<float[][]> values)
    {
        var (codes, scales) = (new byte[layout.CodeBytes], new byte[layout.ScaleBytes]);
        float[] pageKeys = [.. tokens.SelectMany(t => keys[t][head])];
        float[] pageValues = [.. tokens.SelectMany(t => values[t][head])];
        PageCodec.Quantize(layout, pageKeys, pageValues, codes, scales, layer: 0);
        PageCodec.Dequantize(layout, codes, scales, pageKeys, pageValues);
        for (var i = 0; i < tokens.Length; i++)
        {
            keys[tokens[i]][head] = pageKeys.AsSpan(i * layout.HeadDim, layout.HeadDim).ToArray();
            values[tokens[i]][head] = pageValues.AsSpan(i * layout.HeadDim, layout.HeadDim).ToArray();
        }
    }

    private static IEnumerable<int> Chunks(int[] sizes, int tokens)
    {
        for (var (i, done) = (0, 0); done < tokens; done += sizes[i++])
            yield return Math.Min(sizes[i], tokens - done);
    }
}
