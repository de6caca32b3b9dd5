using CsCheck;
using LocalLlm.Attention;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using LocalLlm.Loading;
using LocalLlm.Quantization;
using LocalLlm.Tests.KvCache;
using LocalLlm.Tests.KvCache.Policies;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Attention;

public class TorchAttentionPagedTests
{
    public TorchAttentionPagedTests() => LibTorch.EnsureLoaded();

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
        using var cache = CacheCases.LogQuant(stream.Shape, window);

        var outputs = stream.Run(new TorchAttention(partScores: 1), cache, [window, 4 * window, 1, 1, tokens - 5 * window - 2], slidingWindow);

        KvStream.ShouldBeClose(outputs[0], Oracle(stream, CacheCases.Plain with { Window = window }, slidingWindow)[0], 1e-5);
    }

    [Theory]
    [MemberData(nameof(CacheCases.All), MemberType = typeof(CacheCases))]
    public void Attend_EveryKind_EqualsDoublePrecisionOverWhatTheRuleKeeps(string name)
    {
        const int tokens = 480, promptEnd = 290;
        var stream = new KvStream(new KvShape(3, 2, 72, ScalarType.Float32, CPU), 4, tokens, seed: 11);
        using var cache = CacheCases.Factory(name, stream.Shape).Create();
        var backend = new TorchAttention(partScores: 1);

        var start = stream.Run(backend, cache, [50, 1, 1, 138, 100]);
        cache.EndPrompt();
        var end = stream.Run(backend, cache, [1, 1, 1, 187]);

        var expected = Oracle(stream, CacheCases.Named(name), null, promptEnd);
        for (var layer = 0; layer < 3; layer++)
            KvStream.ShouldBeClose([.. start[layer], .. end[layer]], expected[layer], 1e-5);
    }

    [Fact]
    public void Attend_BitsOfTheModelFolder_EqualsDoublePrecisionOnBothBackends()
    {
        const int tokens = 480;
        var bits = new CacheBitsConfig([2, 2, 4], [2, 4, 4], [3, 2, 4]);
        var stream = new KvStream(new KvShape(3, 2, 72, ScalarType.Float32, CPU, bits), 4, tokens, seed: 13);
        var options = new KvCacheOptions { Window = 32 };
        using var team = new WorkerTeam(2);
        using var kernels = new CpuAttention(team);
        using var torchCache = new KvCacheFactory(options, stream.Shape).Create();
        using var cache = new KvCacheFactory(options, stream.Shape, useKernels: true).Create();

        var byTorch = stream.Run(new TorchAttention(), torchCache, [200, 1, 279]);
        var byKernels = stream.Run(kernels, cache, [200, 1, 279]);

        var expected = Oracle(stream, options, null);
        for (var layer = 0; layer < 3; layer++)
        {
            KvStream.ShouldBeClose(byTorch[layer], expected[layer], 1e-5);
            KvStream.ShouldBeClose(byKernels[layer], expected[layer], 1e-5);
        }
    }

    [Theory]
    [InlineData("PartialLogQuant, sinks, 3 bits, boundary layers", 40)]
    [InlineData("PartialLogQuant", 150)]
    [InlineData("StreamingQuant", 100)]
    [InlineData("Kivi", 100)]
    [InlineData("StreamingLlm", 100)]
    public void Attend_SlidingWindowOverAnyKind_EqualsDoublePrecision(string name, int slidingWindow)
    {
        var stream = new KvStream(new KvShape(2, 2, 16, ScalarType.Float32, CPU), 4, 400, seed: 12);
        using var cache = CacheCases.Factory(name, stream.Shape).Create();

        var outputs = stream.Run(new TorchAttention(), cache, [120, 1, 200, 79], slidingWindow);

        KvStream.ShouldBeClose(outputs[1], Oracle(stream, CacheCases.Named(name), slidingWindow)[1], 1e-5);
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
        using var cache = CacheCases.LogQuant(stream.Shape, window);

        var outputs = stream.Run(new TorchAttention(partScores), cache, [tokens - 30, 1, 29], slidingWindow);

        cache.View(0).Pages.Count.ShouldBe(2);
        KvStream.ShouldBeClose(outputs[0], Oracle(stream, CacheCases.Plain with { Window = window }, slidingWindow)[0], 1e-5);
    }

    [Theory]
    [InlineData(32, null)]
    [InlineData(64, null)]
    [InlineData(32, 100)]
    public void Attend_AnyChunking_GivesTheSameOutputs(int window, int? slidingWindow)
    {
        const int tokens = 420;
        var stream = new KvStream(new KvShape(2, 2, 16, ScalarType.Float32, CPU), 4, tokens, seed: 3);
        using var single = CacheCases.LogQuant(stream.Shape, window);
        var expected = stream.Run(new TorchAttention(), single, Enumerable.Repeat(1, tokens), slidingWindow);

        Gen.OneOf(Gen.Int[1, 9], Gen.Int[1, 3 * window + 5], Gen.Int[1, tokens]).Array[tokens]
            .Sample(
                sizes =>
                {
                    using var chunked = CacheCases.LogQuant(stream.Shape, window);
                    var outputs = stream.Run(new TorchAttention(), chunked, Chunks(sizes, tokens), slidingWindow);
                    for (var layer = 0; layer < 2; layer++)
                        KvStream.ShouldBeClose(outputs[layer], expected[layer], 2e-6);
                    PagedKvCacheTests.ShouldBeIdentical(chunked, single);
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
        using var logQuant = CacheCases.LogQuant(stream.Shape, window);
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
        using var cache = CacheCases.LogQuant(stream.Shape, 32);

        var outputs = stream.Run(new TorchAttention(), cache, [200, 1, 99]);

        KvStream.ShouldBeClose(outputs[0], Oracle(stream, CacheCases.Plain with { Window = 32 }, null)[0], 0.016);
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
        using var cpuCache = CacheCases.LogQuant(onCpu.Shape, 32);
        using var gpuCache = CacheCases.LogQuant(onGpu.Shape, 32);
        int[] chunks = [400, 1, 1, 498];

        var expected = onCpu.Run(new TorchAttention(), cpuCache, chunks, slidingWindow);
        var actual = onGpu.Run(new TorchAttention(), gpuCache, chunks, slidingWindow);

        PagedKvCacheTests.ShouldBeIdentical(gpuCache, cpuCache);
        for (var layer = 0; layer < 2; layer++)
            KvStream.ShouldBeClose(actual[layer], expected[layer], type == ScalarType.Float32 ? 1e-5 : 0.032);
    }

    [Fact]
    public void Attend_AgainstDense_LosesNoMoreThanTwoBitsMay()
    {
        const int tokens = 1024;
        var stream = new KvStream(new KvShape(1, 2, 64, ScalarType.Float32, CPU), 4, tokens, seed: 2, keyOffset: 8);
        using var logQuant = CacheCases.LogQuant(stream.Shape, 64);
        using var dense = new DenseKvCache(stream.Shape);
        int[] chunks = [512, 512];

        var (actual, expected) = (stream.Run(new TorchAttention(), logQuant, chunks)[0], stream.Run(new TorchAttention(), dense, chunks)[0]);

        // Random normal channels whose means differ by far more than their spread. The relative error of the output stays below that of a
        // 2-bit number itself (about a third); without the channels' own scales it would be beyond one.
        var error = actual.Zip(expected, (a, e) => (double)(a - e) * (a - e)).Sum();
        var relative = Math.Sqrt(error / expected.Sum(e => (double)e * e));
        relative.ShouldBeInRange(0.01, 0.4);
    }

    // Token by token: where the rule puts each, and what a page gives back; attention in double precision over what is left.
    // [layer][tokens][Hq][D]
    private static float[][] Oracle(KvStream stream, KvCacheOptions options, int? slidingWindow, int promptEnd = -1) =>
        [.. Enumerable.Range(0, stream.Shape.Layers).Select(layer => Oracle(stream, layer, options, slidingWindow, promptEnd))];

    private static float[] Oracle(KvStream stream, int layer, KvCacheOptions options, int? slidingWindow, int promptEnd)
    {
        var kvHeads = stream.Shape.KvHeads;
        var isBoundary = layer < options.BoundaryLayers || layer >= stream.Shape.Layers - options.BoundaryLayers;
        var bits = PageBits.Of(options, stream.Shape, layer);
        var layout = new PageLayout(
            options.PageTokens ?? options.Window, stream.Shape.HeadDim, isBoundary ? options.BoundaryKeyBits : bits.Key,
            isBoundary ? options.BoundaryValueBits : bits.Value, options.Scales, isBoundary ? null : bits.SlowKey);
        var simulation = new ResidencySimulation(options);
        var keys = new List<float[][]>(); // what a later token sees, [token][KV head][D]
        var values = new List<float[][]>();
        var (pages, packed) = (0, new HashSet<int>());
        var output = new List<float>();
        for (var t = 0; t < stream.Tokens; t++)
        {
            if (t == promptEnd)
            {
                simulation.EndPrompt();
                Move();
            }

            keys.Add([.. Enumerable.Range(0, kvHeads).Select(h => stream.Key(layer, t, h))]);
            values.Add([.. Enumerable.Range(0, kvHeads).Select(h => stream.Value(layer, t, h))]);
            var seen = Enumerable.Range(0, t + 1)
                .Where(s => !simulation.Dropped.Contains(s) && (slidingWindow is null || s > t - slidingWindow)).ToArray();
            for (var head = 0; head < stream.QueryHeads; head++)
            {
                var kvHead = head / stream.Group;
                output.AddRange(AttentionOracle.Attend(
                        stream.Query(layer, t, head), [.. seen.Select(s => keys[s][kvHead])], [.. seen.Select(s => values[s][kvHead])], stream.Scale)
                    .Select(x => (float)x));
            }

            simulation.Append(t);
            Move();
        }

        return [.. output];

        void Move()
        {
            for (; pages < simulation.Pages.Count; pages++)
                ThroughAPage(simulation.Pages[pages], keys, values);
            if (simulation.PackedValues.Where(packed.Add).Order().ToArray() is { Length: > 0 } fresh)
                ThroughAPage(fresh, null, values);
        }

        // Always from the stream's own numbers: whatever is quantised is quantised once.
        void ThroughAPage(int[] tokens, List<float[][]>? pageKeys, List<float[][]> pageValues)
        {
            for (var head = 0; head < kvHeads; head++)
            {
                var (codes, scales) = (new byte[layout.CodeBytes], new byte[layout.ScaleBytes]);
                // A page for values alone may have fewer tokens than P; what fills it up is not read.
                int[] slots = [.. tokens, .. Enumerable.Repeat(tokens[0], layout.Tokens - tokens.Length)];
                float[] k = [.. slots.SelectMany(t => stream.Key(layer, t, head))];
                float[] v = [.. slots.SelectMany(t => stream.Value(layer, t, head))];
                PageCodec.Quantize(layout, k, v, codes, scales, layer, options.ClipSearch);
                PageCodec.Dequantize(layout, codes, scales, k, v);
                for (var i = 0; i < tokens.Length; i++)
                {
                    if (pageKeys is not null)
                        pageKeys[tokens[i]][head] = k.AsSpan(i * layout.HeadDim, layout.HeadDim).ToArray();
                    pageValues[tokens[i]][head] = v.AsSpan(i * layout.HeadDim, layout.HeadDim).ToArray();
                }
            }
        }
    }

    private static IEnumerable<int> Chunks(int[] sizes, int tokens)
    {
        for (var (i, done) = (0, 0); done < tokens; done += sizes[i++])
            yield return Math.Min(sizes[i], tokens - done);
    }
}
