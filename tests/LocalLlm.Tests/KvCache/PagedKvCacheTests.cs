using CsCheck;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using LocalLlm.Quantization;
using LocalLlm.Tests.Attention;
using LocalLlm.Tests.KvCache.Policies;
using static TorchSharp.torch;

namespace LocalLlm.Tests.KvCache;

public class PagedKvCacheTests
{
    public PagedKvCacheTests() => LibTorch.EnsureLoaded();

    private static KvShape Shape(int layers = 2, int kvHeads = 2, int headDim = 16, ScalarType type = ScalarType.Float32) =>
        new(layers, kvHeads, headDim, type, CPU);

    [Theory]
    [MemberData(nameof(CacheCases.All), MemberType = typeof(CacheCases))]
    public void Append_AnyChunking_LeavesABitIdenticalCache(string name)
    {
        const int tokens = 500, promptEnd = 333;
        var type = name.Contains("sinks", StringComparison.Ordinal) ? ScalarType.BFloat16 : ScalarType.Float32;
        var stream = new KvStream(Shape(type: type), 2, tokens, seed: 5);
        var factory = CacheCases.Factory(name, stream.Shape);
        using var single = factory.Create();
        stream.Append(single, Enumerable.Repeat(1, promptEnd));
        single.EndPrompt();
        stream.Append(single, Enumerable.Repeat(1, tokens - promptEnd));

        Gen.OneOf(Gen.Int[1, 9], Gen.Int[1, 120], Gen.Int[1, tokens]).Array[tokens]
            .Sample(
                sizes =>
                {
                    using var chunked = factory.Create();
                    for (var i = 0; chunked.Length < tokens; i++)
                    {
                        stream.Append(chunked, Math.Min(sizes[i], (chunked.Length < promptEnd ? promptEnd : tokens) - chunked.Length));
                        if (chunked.Length == promptEnd)
                            chunked.EndPrompt();
                    }

                    ShouldBeIdentical(chunked, single);
                },
                iter: 8,
                threads: 1);
    }

    [Theory]
    [MemberData(nameof(CacheCases.OnEveryBackend), MemberType = typeof(CacheCases))]
    public void View_EveryLayer_HoldsWhatTheRuleSaysAsTheScalarCodecStoresIt(string name, string backend)
    {
        const int tokens = 900;
        using var used = TestBackend.Open(backend);
        var stream = new KvStream(used.On(Shape(layers: 3, headDim: 24)), 2, tokens, seed: 4);
        using var cache = used.Factory(CacheCases.Named(name), stream.Shape).Create();
        var simulation = new ResidencySimulation(CacheCases.Named(name));
        foreach (var count in new[] { 70, 30, 1, 300, 1, 1, 97, 200, 200 })
        {
            for (var t = cache.Length; t < cache.Length + count; t++)
                simulation.Append(t);
            stream.Append(cache, count);
            if (count == 97)
            {
                simulation.EndPrompt();
                cache.EndPrompt();
            }

            for (var layer = 0; layer < 3; layer++)
                ShouldHold(cache.View(layer), layer, simulation, stream, CacheCases.Named(name).ClipSearch);
        }

        cache.Length.ShouldBe(tokens);
    }

    [Theory]
    [MemberData(nameof(CacheCases.All), MemberType = typeof(CacheCases))]
    public void Bytes_AtEveryLength_EqualTheTensorsAndTheArithmetic(string name)
    {
        var stream = new KvStream(Shape(type: name.Length % 2 == 0 ? ScalarType.Float32 : ScalarType.Float16, headDim: 24), 2, 700, seed: 1);
        var factory = CacheCases.Factory(name, stream.Shape);
        using var cache = factory.Create();
        for (var i = 0; cache.Length < 700; i++)
        {
            // Hugging Face's KIVI has the most pages where a prompt ends.
            cache.EndPrompt();
            cache.Bytes.ShouldBe(factory.BytesFor(cache.Length));
            TensorBytes(cache).ShouldBe(cache.Bytes);
            stream.Append(cache, Math.Min(i % 23 + 1, 700 - cache.Length));
            cache.Bytes.ShouldBeLessThanOrEqualTo(factory.BytesFor(cache.Length));
        }

        factory.BytesForFp16(10).ShouldBe(10 * 2 * 2 * 2 * 24 * 2);
    }

    [Theory]
    [InlineData(32_768, 6.15, 6.2)] // 20 KiB per token of pages and 24.5 MiB of rows, against 128 KiB: 2.6 bits an element
    [InlineData(131_072, 6.3, 6.4)]
    public void Bytes_DefaultOptionsAndTheShapeOfLlama8B_AreSoManyTimesLessThanFp16(int tokens, double least, double most)
    {
        var factory = new KvCacheFactory(new KvCacheOptions(), new KvShape(32, 8, 128, ScalarType.BFloat16, CPU));

        ((double)factory.BytesForFp16(tokens) / factory.BytesFor(tokens)).ShouldBeInRange(least, most);
    }

    [Fact]
    public void Bytes_PartialLogQuant_SavesTheSparseValues()
    {
        var shape = new KvShape(32, 8, 128, ScalarType.BFloat16, CPU);
        var (whole, partial) = (Bytes(KvCacheKind.LogQuant), Bytes(KvCacheKind.PartialLogQuant));

        // 64 values of 128 bf16 channels become 32 bytes of codes and 2 groups' scale and minimum each.
        (whole - partial).ShouldBe(32L * 8 * 64 * (2 * 128 - 32 - 4));

        long Bytes(KvCacheKind kind) => new KvCacheFactory(new KvCacheOptions { Kind = kind }, shape).BytesFor(10_000);
    }

    [Theory]
    [MemberData(nameof(CacheCases.All), MemberType = typeof(CacheCases))]
    public void Fork_BothGoOn_AsIfTheyHadAlwaysBeenApart(string name)
    {
        var shape = Shape();
        var factory = CacheCases.Factory(name, shape);
        var (first, second) = (new KvStream(shape, 2, 1500, seed: 8), new KvStream(shape, 2, 1500, seed: 9));
        using var original = factory.Create();
        first.Append(original, 333); // LogQuant: 8 pages, half a block; a dense cache has room for 384
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
    [MemberData(nameof(CacheCases.All), MemberType = typeof(CacheCases))]
    public void Fork_OneGoesOn_TheOtherKeepsItsContent(string name)
    {
        var (first, second) = (new KvStream(Shape(), 2, 400, seed: 8), new KvStream(Shape(), 2, 400, seed: 9));
        var factory = CacheCases.Factory(name, first.Shape);
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
        var original = CacheCases.LogQuant(stream.Shape, 32);
        stream.Append(original, 700);
        using var fork = original.Fork();
        using var forkOfFork = fork.Fork();

        original.Dispose();
        fork.Dispose();
        stream.Append(forkOfFork, 200);
        Should.Throw<ObjectDisposedException>(() => fork.PlanAppend(1));
        Should.Throw<ObjectDisposedException>(() => fork.View(0));

        using var alone = CacheCases.LogQuant(stream.Shape, 32);
        stream.Append(alone, 900);
        ShouldBeIdentical(forkOfFork, alone);
    }

    [Fact]
    public void Truncate_NoCompactionSince_ThenAppend_IsAsIfNeverLonger()
    {
        const int window = 32;
        var (stream, other) = (new KvStream(Shape(), 2, 400, seed: 8), new KvStream(Shape(), 2, 400, seed: 5));
        using var cache = CacheCases.LogQuant(stream.Shape, window);
        stream.Append(cache, 200);
        other.Append(cache, 20);

        cache.CanTruncate(200).ShouldBeTrue();
        cache.Truncate(200);
        stream.Append(cache, 200);

        using var alone = CacheCases.LogQuant(stream.Shape, window);
        stream.Append(alone, 400);
        ShouldBeIdentical(cache, alone);
    }

    [Fact]
    public void Truncate_DenseCache_GivesMemoryBackAndKeepsTheRest()
    {
        var (stream, other) = (new KvStream(Shape(), 2, 500, seed: 8), new KvStream(Shape(), 2, 500, seed: 5));
        using IKvCache cache = new DenseKvCache(stream.Shape);
        stream.Append(cache, 100);
        other.Append(cache, 400);

        cache.Truncate(100);
        cache.Bytes.ShouldBe(DenseKvCache.BytesFor(stream.Shape, 100));
        stream.Append(cache, 50);

        using IKvCache alone = new DenseKvCache(stream.Shape);
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
        using var cache = CacheCases.LogQuant(stream.Shape, window);
        stream.Append(cache, 250); // compactions at tokens 96, 128, 160, 192, 224

        Enumerable.Range(-1, 255).Where(cache.CanTruncate).ShouldBe([0, .. Enumerable.Range(225, 26)]);
        Should.Throw<InvalidOperationException>(() => cache.Truncate(224)).Message.ShouldContain("page");
        Should.Throw<InvalidOperationException>(() => cache.Truncate(251));
        cache.Length.ShouldBe(250);
    }

    [Fact]
    public void CanTruncate_PackedValues_CountAsACompaction()
    {
        var stream = new KvStream(Shape(layers: 1, kvHeads: 1, headDim: 8), 1, 100, seed: 8);
        using var cache = new KvCacheFactory(new KvCacheOptions { Kind = KvCacheKind.PartialLogQuant, Window = 32, SinkTokens = 0 }, stream.Shape).Create();
        stream.Append(cache, 80); // the first 32 values are packed at token 64, before the first compaction

        Enumerable.Range(-1, 90).Where(cache.CanTruncate).ShouldBe([0, .. Enumerable.Range(65, 16)]);
    }

    [Fact]
    public void CanTruncate_AfterAPromptsEndThatMovedRows_NotBeforeIt()
    {
        var stream = new KvStream(Shape(layers: 1, kvHeads: 1, headDim: 8), 1, 200, seed: 8);
        var options = new KvCacheOptions { Kind = KvCacheKind.HuggingFaceKivi, Window = 128, PageTokens = 32 };
        using var cache = new KvCacheFactory(options, stream.Shape).Create();
        stream.Append(cache, 70);
        cache.EndPrompt(); // 64 tokens leave: at 64 to 69 they were rows
        stream.Append(cache, 20);

        Enumerable.Range(-1, 92).Where(cache.CanTruncate).ShouldBe([0, .. Enumerable.Range(70, 21)]);
    }

    [Theory]
    [MemberData(nameof(CacheCases.All), MemberType = typeof(CacheCases))]
    public void Truncate_ToNothing_StartsAnew(string name)
    {
        var (stream, other) = (new KvStream(Shape(), 2, 400, seed: 8), new KvStream(Shape(), 2, 400, seed: 5));
        var factory = CacheCases.Factory(name, stream.Shape);
        using var cache = factory.Create();
        other.Append(cache, 333);
        cache.EndPrompt();

        cache.Truncate(0);
        cache.Bytes.ShouldBe(factory.BytesFor(0));
        stream.Append(cache, 400);

        using var alone = factory.Create();
        stream.Append(alone, 400);
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
        using var cache = CacheCases.LogQuant(shape, 32);
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
            else if (value is IKvCache or KvUnit or PackedValues)
            {
                const System.Reflection.BindingFlags fields = System.Reflection.BindingFlags.Instance | System.Reflection.BindingFlags.NonPublic;
                foreach (var field in value.GetType().GetFields(fields))
                    Collect(field.GetValue(value), depth + 1);
            }
        }
    }

    // Rows, pages and packed values against the stream: bits for bits. The stream's head_dim is 24.
    private static void ShouldHold(KvView view, int layer, ResidencySimulation simulation, KvStream stream, bool clipSearch)
    {
        using var scope = NewDisposeScope();
        view.RowPositions.ToArray().ShouldBe(simulation.Rows);
        var valueRows = simulation.Rows.Where(t => !simulation.PackedValues.Contains(t)).ToArray();
        for (var head = 0; head < 2; head++)
        {
            float[] rowKeys = [.. simulation.Rows.SelectMany(t => stream.Key(layer, t, head))];
            float[] rowValues = [.. valueRows.SelectMany(t => stream.Value(layer, t, head))];
            KvStream.Floats(view.Keys[head]).AsSpan().SequenceEqual(rowKeys).ShouldBeTrue();
            KvStream.Floats(view.Values[head]).AsSpan().SequenceEqual(rowValues).ShouldBeTrue();
        }

        var page = 0;
        foreach (var pages in view.Pages)
        {
            for (var i = 0; i < pages.Codes.shape[0]; i++, page++)
            {
                pages.Positions[i].cpu().data<int>().ToArray().ShouldBe(simulation.Pages[page]);
                for (var head = 0; head < 2; head++)
                {
                    var (codes, scales) = Quantized(pages.Layout, simulation.Pages[page], head);
                    pages.Codes[i, head].cpu().bytes.SequenceEqual(codes).ShouldBeTrue();
                    pages.Scales[i, head].cpu().bytes.SequenceEqual(scales).ShouldBeTrue();
                }
            }
        }

        page.ShouldBe(simulation.Pages.Count);
        (view.PackedValues is null).ShouldBe(simulation.PackedValues.Count == 0);
        if (view.PackedValues is not { } packed)
            return;
        simulation.Rows.FindIndex(simulation.PackedValues.Contains).ShouldBe(packed.FirstRow);
        for (var head = 0; head < 2; head++)
        {
            var (codes, scales) = Quantized(packed.Layout, [.. simulation.PackedValues.Order()], head);
            packed.Codes[head].cpu().bytes.SequenceEqual(codes.AsSpan(packed.Layout.ValueOffset)).ShouldBeTrue();
            var firstScale = packed.Layout.ValueScaleIndex * packed.Layout.ScaleElementBytes;
            packed.Scales[head].cpu().bytes.SequenceEqual(scales.AsSpan(firstScale)).ShouldBeTrue();
        }

        (byte[] Codes, byte[] Scales) Quantized(PageLayout layout, int[] tokens, int head)
        {
            var (codes, scales) = (new byte[layout.CodeBytes], new byte[layout.ScaleBytes]);
            PageCodec.Quantize(
                layout, [.. tokens.SelectMany(t => stream.Key(layer, t, head))], [.. tokens.SelectMany(t => stream.Value(layer, t, head))],
                codes, scales, layer, clipSearch);
            return (codes, scales);
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
            (a.PackedValues is null).ShouldBe(b.PackedValues is null);
            if (a.PackedValues is { } packed)
            {
                Same(packed.Codes, b.PackedValues!.Codes);
                Same(packed.Scales, b.PackedValues.Scales);
            }

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
