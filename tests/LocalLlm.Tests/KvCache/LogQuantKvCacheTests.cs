using CsCheck;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Tests.KvCache;

public class LogQuantKvCacheTests
{
    public LogQuantKvCacheTests() => LibTorch.EnsureLoaded();

    private static KvShape Shape(int layers = 2, int kvHeads = 2, int headDim = 16, ScalarType type = ScalarType.Float32) =>
        new(layers, kvHeads, headDim, type, CPU);

    [Theory]
    [InlineData(32, ScalarType.Float32)]
    [InlineData(64, ScalarType.BFloat16)]
    public void Append_AnyChunking_LeavesABitIdenticalCache(int window, ScalarType type)
    {
        const int tokens = 700;
        var stream = new KvStream(Shape(type: type), 2, tokens, seed: window);
        using var single = new LogQuantKvCache(stream.Shape, window);
        stream.Append(single, Enumerable.Repeat(1, tokens));

        Gen.OneOf(Gen.Int[1, 9], Gen.Int[1, 3 * window + 5], Gen.Int[1, tokens]).Array[tokens]
            .Sample(
                sizes =>
                {
                    using var chunked = new LogQuantKvCache(stream.Shape, window);
                    for (var i = 0; chunked.Length < tokens; i++)
                        stream.Append(chunked, Math.Min(sizes[i], tokens - chunked.Length));
                    ShouldBeIdentical(chunked, single);
                },
                iter: 25,
                threads: 1);
    }

    [Theory]
    [InlineData(32)]
    [InlineData(64)]
    [InlineData(128)]
    public void Append_KeysThatAreTheirPositions_RowsHoldThePositionsOfThePolicy(int window)
    {
        const int tokens = 5000;
        var shape = Shape(layers: 1, kvHeads: 1, headDim: 8);
        using var cache = new LogQuantKvCache(shape, window);
        while (cache.Length < tokens)
        {
            using var scope = NewDisposeScope();
            var plan = cache.PlanAppend(Math.Min(61, tokens - cache.Length));
            for (var s = 0; s < plan.Segments.Count; s++)
            {
                var (start, count) = plan.Segments[s];
                var positions = arange(plan.Position + start, plan.Position + start + count, ScalarType.Float32).view(count, 1, 1).expand(count, 1, 8);
                cache.Append(0, positions, -positions, plan, s);
            }

            cache.Commit(plan);
            var view = cache.View(0);
            KvStream.Floats(view.Keys[0, TensorIndex.Colon, 5]).ShouldBe(view.RowPositions.ToArray().Select(p => (float)p));
            KvStream.Floats(view.Values[0, TensorIndex.Colon, 2]).ShouldBe(view.RowPositions.ToArray().Select(p => -(float)p));
            var paged = view.Pages.SelectMany(p => p.Positions.data<int>().ToArray());
            paged.Concat(view.RowPositions.ToArray()).Order().ShouldBe(Enumerable.Range(0, cache.Length));
        }
    }

    [Fact]
    public void Pages_AnyLayer_HoldThePolicysTokensAsTheScalarCodecStoresThem()
    {
        const int window = 32;
        var stream = new KvStream(Shape(layers: 2, kvHeads: 2, headDim: 24), 2, 800, seed: 4);
        using var cache = new LogQuantKvCache(stream.Shape, window);
        stream.Append(cache, 500, 1, 299);
        using var scope = NewDisposeScope();
        var policy = new LogQuantPolicy(window);
        for (var layer = 0; layer < 2; layer++)
        {
            var page = 0;
            foreach (var pages in cache.View(layer).Pages)
            {
                for (var i = 0; i < pages.Codes.shape[0]; i++, page++)
                {
                    var positions = pages.Positions[i].data<int>().ToArray();
                    positions.ShouldBe(policy.PagePositions(page));
                    for (var head = 0; head < 2; head++)
                    {
                        var (codes, scales) = (new byte[pages.Layout.CodeBytes], new byte[pages.Layout.ScaleBytes]);
                        LocalLlm.Quantization.PageCodec.Quantize(
                            pages.Layout,
                            [.. positions.SelectMany(p => stream.Key(layer, p, head))],
                            [.. positions.SelectMany(p => stream.Value(layer, p, head))],
                            codes, scales, layer);
                        pages.Codes[i, head].data<byte>().ToArray().AsSpan().SequenceEqual(codes).ShouldBeTrue();
                        pages.Scales[i, head].data<byte>().ToArray().AsSpan().SequenceEqual(scales).ShouldBeTrue();
                    }
                }
            }

            page.ShouldBe(policy.PagesAt(800));
            page.ShouldBeGreaterThan(PageBlock.Pages); // two blocks
        }
    }

    [Theory]
    [InlineData(KvCacheKind.LogQuant, 32, ScalarType.Float32)]
    [InlineData(KvCacheKind.LogQuant, 64, ScalarType.BFloat16)]
    [InlineData(KvCacheKind.Dense, 64, ScalarType.Float32)]
    [InlineData(KvCacheKind.Dense, 64, ScalarType.Float16)]
    public void Bytes_AtEveryLength_EqualTheTensorsAndTheArithmetic(KvCacheKind kind, int window, ScalarType type)
    {
        var stream = new KvStream(Shape(type: type, headDim: 24), 2, 700, seed: 1);
        var factory = new KvCacheFactory(new KvCacheOptions { Kind = kind, Window = window }, stream.Shape);
        using var cache = factory.Create();
        for (var i = 0; cache.Length < 700; i++)
        {
            cache.Bytes.ShouldBe(factory.BytesFor(cache.Length));
            TensorBytes(cache).ShouldBe(cache.Bytes);
            stream.Append(cache, Math.Min(i % 23 + 1, 700 - cache.Length));
        }

        factory.BytesForFp16(10).ShouldBe(10 * 2 * 2 * 2 * 24 * 2);
    }

    [Fact]
    public void Bytes_LongConversation_TakeAboutASeventhOfFp16()
    {
        // Llama-3.1-8B's shape: 18 KiB per token of pages, 24 MiB of rows, against 128 KiB.
        var factory = new KvCacheFactory(new KvCacheOptions(), new KvShape(32, 8, 128, ScalarType.BFloat16, CPU));

        ((double)factory.BytesForFp16(131_072) / factory.BytesFor(131_072)).ShouldBeInRange(7.0, 7.1);
    }

    [Theory]
    [InlineData(KvCacheKind.LogQuant)]
    [InlineData(KvCacheKind.Dense)]
    public void Fork_BothGoOn_AsIfTheyHadAlwaysBeenApart(KvCacheKind kind)
    {
        var shape = Shape();
        var factory = new KvCacheFactory(new KvCacheOptions { Kind = kind, Window = 32 }, shape);
        var (first, second) = (new KvStream(shape, 2, 1500, seed: 8), new KvStream(shape, 2, 1500, seed: 9));
        using var original = factory.Create();
        first.Append(original, 333); // 8 pages: the first block is half full; a dense cache has room for 384
        using var fork = original.Fork();
        fork.Length.ShouldBe(333);
        fork.Bytes.ShouldBe(original.Bytes);

        second.Append(fork, 10, 390, 1, 1);
        first.Append(original, 1, 600);

        using var originalAlone = factory.Create();
        first.Append(originalAlone, 934);
        ShouldBeIdentical(original, originalAlone);
        using var forkAlone = factory.Create();
        first.Append(forkAlone, 333);
        second.Append(forkAlone, 402);
        ShouldBeIdentical(fork, forkAlone);
    }

    [Theory]
    [InlineData(KvCacheKind.LogQuant)]
    [InlineData(KvCacheKind.Dense)]
    public void Fork_OneGoesOn_TheOtherKeepsItsContent(KvCacheKind kind)
    {
        var (first, second) = (new KvStream(Shape(), 2, 400, seed: 8), new KvStream(Shape(), 2, 400, seed: 9));
        var factory = new KvCacheFactory(new KvCacheOptions { Kind = kind, Window = 32 }, first.Shape);
        using var original = factory.Create();
        first.Append(original, 200);
        using var fork = original.Fork();
        first.Append(original, 3);

        second.Append(fork, 3, 190); // first into the same slots, then further

        using var alone = factory.Create();
        first.Append(alone, 203);
        ShouldBeIdentical(original, alone);
    }

    [Fact]
    public void Fork_OriginalDisposed_LivesOn()
    {
        var stream = new KvStream(Shape(), 2, 900, seed: 8);
        var original = new LogQuantKvCache(stream.Shape, 32);
        stream.Append(original, 700);
        using var fork = original.Fork();
        using var forkOfFork = fork.Fork();

        original.Dispose();
        fork.Dispose();
        stream.Append(forkOfFork, 200);
        Should.Throw<ObjectDisposedException>(() => fork.PlanAppend(1));
        Should.Throw<ObjectDisposedException>(() => fork.View(0));

        using var alone = new LogQuantKvCache(stream.Shape, 32);
        stream.Append(alone, 900);
        ShouldBeIdentical(forkOfFork, alone);
    }

    [Fact]
    public void Truncate_NoCompactionSince_ThenAppend_IsAsIfNeverLonger()
    {
        const int window = 32;
        var (stream, other) = (new KvStream(Shape(), 2, 400, seed: 8), new KvStream(Shape(), 2, 400, seed: 5));
        using var cache = new LogQuantKvCache(stream.Shape, window);
        stream.Append(cache, 200);
        other.Append(cache, 20);

        cache.CanTruncate(200).ShouldBeTrue();
        cache.Truncate(200);
        stream.Append(cache, 200);

        using var alone = new LogQuantKvCache(stream.Shape, window);
        stream.Append(alone, 400);
        ShouldBeIdentical(cache, alone);
    }

    [Fact]
    public void Truncate_DenseCache_GivesMemoryBackAndKeepsTheRest()
    {
        var (stream, other) = (new KvStream(Shape(), 2, 500, seed: 8), new KvStream(Shape(), 2, 500, seed: 5));
        using var cache = new DenseKvCache(stream.Shape);
        stream.Append(cache, 100);
        other.Append(cache, 400);

        cache.Truncate(100);
        cache.Bytes.ShouldBe(DenseKvCache.BytesFor(stream.Shape, 100));
        stream.Append(cache, 50);

        using var alone = new DenseKvCache(stream.Shape);
        stream.Append(alone, 150);
        ShouldBeIdentical(cache, alone);
        cache.Truncate(0);
        cache.Bytes.ShouldBe(0);
        Should.Throw<InvalidOperationException>(() => cache.Truncate(1));
    }

    [Fact]
    public void CanTruncate_EveryLength_IsTrueExactlySinceTheLastCompactionAndForNothing()
    {
        const int window = 32;
        var stream = new KvStream(Shape(layers: 1, kvHeads: 1, headDim: 8), 1, 260, seed: 8);
        using var cache = new LogQuantKvCache(stream.Shape, window);
        stream.Append(cache, 250); // compactions at tokens 96, 128, 160, 192, 224

        Enumerable.Range(-1, 255).Where(cache.CanTruncate).ShouldBe([0, .. Enumerable.Range(225, 26)]);
        Should.Throw<InvalidOperationException>(() => cache.Truncate(224)).Message.ShouldContain("page");
        Should.Throw<InvalidOperationException>(() => cache.Truncate(251));
        cache.Length.ShouldBe(250);
    }

    [Fact]
    public void Truncate_ToNothing_StartsAnew()
    {
        var (stream, other) = (new KvStream(Shape(), 2, 300, seed: 8), new KvStream(Shape(), 2, 300, seed: 5));
        using var cache = new LogQuantKvCache(stream.Shape, 32);
        other.Append(cache, 300);

        cache.Truncate(0);
        cache.Bytes.ShouldBe(LogQuantKvCache.BytesFor(stream.Shape, 32, 0));
        stream.Append(cache, 300);

        using var alone = new LogQuantKvCache(stream.Shape, 32);
        stream.Append(alone, 300);
        ShouldBeIdentical(cache, alone);
    }

    [Theory]
    [InlineData(KvCacheKind.LogQuant, float.NaN, true)]
    [InlineData(KvCacheKind.LogQuant, float.PositiveInfinity, false)]
    [InlineData(KvCacheKind.Dense, float.NaN, false)]
    public void Append_NumberNotFinite_ThrowsAndNamesLayerAndToken(KvCacheKind kind, float number, bool inKey)
    {
        var stream = new KvStream(Shape(), 2, 300, seed: 8);
        using var cache = new KvCacheFactory(new KvCacheOptions { Kind = kind }, stream.Shape).Create();
        stream.Append(cache, 150);
        using var scope = NewDisposeScope();
        var plan = cache.PlanAppend(20);
        var (k, v) = (stream.Keys(1, 150, 20), stream.Values(1, 150, 20));
        (inKey ? k : v)[7, 1, 5] = number;

        var error = Should.Throw<LocalLlmException>(() => cache.Append(1, k, v, plan, 0));

        error.Message.ShouldContain($"Layer 1: a {(inKey ? "key" : "value")} is {number} (token 157, KV head 1, channel 5");
    }

    [Fact]
    public void Append_SumOverflowsButNumbersAreFinite_IsAccepted()
    {
        var shape = Shape(layers: 1, kvHeads: 1, headDim: 8);
        using var cache = new DenseKvCache(shape);
        using var scope = NewDisposeScope();
        var large = full([4, 1, 8], 3e38, ScalarType.Float32);

        cache.Append(0, large, large, cache.PlanAppend(4), 0);

        cache.View(0).Keys.max().item<float>().ShouldBe(3e38f);
    }

    [Fact]
    public void Append_BeyondTheScales_FaultsWhenThePageIsMadeAndNotBefore()
    {
        var shape = Shape(layers: 1, kvHeads: 1, headDim: 8);
        using var cache = new LogQuantKvCache(shape, 32);
        using var scope = NewDisposeScope();
        var plan = cache.PlanAppend(97);
        var (k, v) = (full([97, 1, 8], -2e6, ScalarType.Float32), zeros(97, 1, 8));

        var error = Should.Throw<LocalLlmException>(() => cache.Append(0, k, v, plan, 0));

        error.Message.ShouldContain("Layer 0: keys range from -2000000");
        error.Message.ShouldContain("65504");
    }

    [Theory]
    [InlineData(KvCacheKind.LogQuant)]
    [InlineData(KvCacheKind.Dense)]
    public void Step_OutOfOrder_SaysWhatIsWrong(KvCacheKind kind)
    {
        var stream = new KvStream(Shape(), 2, 300, seed: 8);
        using var cache = new KvCacheFactory(new KvCacheOptions { Kind = kind }, stream.Shape).Create();
        using var scope = NewDisposeScope();
        var plan = cache.PlanAppend(5);
        var (k, v) = (stream.Keys(0, 0, 5), stream.Values(0, 0, 5));
        Should.Throw<InvalidOperationException>(() => cache.Commit(plan)).Message.ShouldContain("Layer 0 holds 0");
        cache.Append(0, k, v, plan, 0);

        Should.Throw<InvalidOperationException>(() => cache.Append(0, k, v, plan, 0)).Message.ShouldContain("in order");
        Should.Throw<InvalidOperationException>(() => cache.Commit(plan)).Message.ShouldContain("Layer 1 holds 0");
        Should.Throw<InvalidOperationException>(() => cache.PlanAppend(1)).Message.ShouldContain("under way");
        Should.Throw<InvalidOperationException>(() => cache.Fork()).Message.ShouldContain("under way");
        Should.Throw<InvalidOperationException>(() => cache.Truncate(0)).Message.ShouldContain("under way");
        Should.Throw<ArgumentException>(() => cache.Append(1, k[..4], v, plan, 0)).Message.ShouldContain("[4, 2, 16]");
        Should.Throw<ArgumentException>(() => cache.Append(1, k, v.to(ScalarType.BFloat16), plan, 0)).Message.ShouldContain("BFloat16");
    }

    private static long TensorBytes(IKvCache cache)
    {
        // The cache's own fields, whatever they are: every tensor found from them.
        var tensors = new HashSet<Tensor>(ReferenceEqualityComparer.Instance);
        Collect(cache, 0);
        return tensors.Sum(t => t.NumberOfElements * t.ElementSize);

        void Collect(object? value, int depth)
        {
            if (value is Tensor tensor)
            {
                tensors.Add(tensor);
            }
            else if (value is System.Collections.IEnumerable items and not string)
            {
                foreach (var item in items)
                    Collect(item, depth + 1);
            }
            else if (value is IKvCache or PageBlock)
            {
                const System.Reflection.BindingFlags fields = System.Reflection.BindingFlags.Instance | System.Reflection.BindingFlags.NonPublic;
                foreach (var field in value.GetType().GetFields(fields))
                    Collect(field.GetValue(value), depth + 1);
            }
        }
    }

    internal static void ShouldBeIdentical(IKvCache actual, IKvCache expected)
    {
        using var scope = NewDisposeScope();
        actual.Length.ShouldBe(expected.Length);
        for (var layer = 0; layer < 2; layer++)
        {
            var (a, b) = (actual.View(layer), expected.View(layer));
            a.RowPositions.ToArray().ShouldBe(b.RowPositions.ToArray());
            Same(a.Keys, b.Keys);
            Same(a.Values, b.Values);
            a.Pages.Count.ShouldBe(b.Pages.Count);
            foreach (var (x, y) in a.Pages.Zip(b.Pages))
            {
                Same(x.Codes, y.Codes);
                Same(x.Scales, y.Scales);
                Same(x.Positions, y.Positions);
            }
        }

        static void Same(Tensor x, Tensor y)
        {
            x.shape.ShouldBe(y.shape);
            x.cpu().contiguous().bytes.SequenceEqual(y.cpu().contiguous().bytes).ShouldBeTrue();
        }
    }
}
