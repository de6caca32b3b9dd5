using CsCheck;
using LocalLlm.Attention;
using LocalLlm.Batching;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using LocalLlm.Tests.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Attention;

public sealed class CpuAttentionTests : IDisposable
{
    private readonly WorkerTeam team;
    private readonly CpuAttention backend;

    public CpuAttentionTests()
    {
        LibTorch.EnsureLoaded();
        team = new WorkerTeam(2);
        backend = new CpuAttention(team);
    }

    public void Dispose()
    {
        backend.Dispose();
        team.Dispose();
    }

    public static TheoryData<KvCacheKind, ScalarType, int?> Kinds()
    {
        var data = new TheoryData<KvCacheKind, ScalarType, int?>();
        foreach (var kind in Enum.GetValues<KvCacheKind>())
        {
            data.Add(kind, ScalarType.Float32, null);
            data.Add(kind, ScalarType.Float32, 100);
            data.Add(kind, ScalarType.BFloat16, null);
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Attend_EveryKindOfCache_EqualsTorchAndLeavesTheSameCache(KvCacheKind kind, ScalarType type, int? slidingWindow)
    {
        const int tokens = 500;
        var stream = new KvStream(new KvShape(2, 2, 40, type, CPU), 6, tokens, seed: (int)kind);
        var options = new KvCacheOptions { Kind = kind, Window = 32, SinkTokens = 5, KeyBits = 3, ClipSearch = false };
        int[] chunks = [150, 1, 1, 1, 300, 47];
        using var expectedCache = new KvCacheFactory(options, stream.Shape).Create();
        using var cache = new KvCacheFactory(options, stream.Shape, useKernels: true).Create();

        var expected = stream.Run(new TorchAttention(), expectedCache, chunks, slidingWindow);
        var actual = stream.Run(backend, cache, chunks, slidingWindow);

        for (var layer = 0; layer < 2; layer++)
            KvStream.ShouldBeClose(actual[layer], expected[layer], type == ScalarType.Float32 ? 1e-5 : 0.032);
        PagedKvCacheTests.ShouldBeIdentical(cache, expectedCache);
    }

    [Theory]
    [InlineData(KvCacheKind.LogQuant, 2, 4, KvScaleFormat.Byte, true)]
    [InlineData(KvCacheKind.LogQuant, 4, 3, KvScaleFormat.Half, false)]
    [InlineData(KvCacheKind.PartialLogQuant, 3, 2, KvScaleFormat.Half, true)]
    [InlineData(KvCacheKind.PartialLogQuant, 2, 3, KvScaleFormat.Byte, false)]
    [InlineData(KvCacheKind.PartialLogQuant, 2, 4, KvScaleFormat.Byte, false)]
    public void Attend_AnyFormat_EqualsTorchAndLeavesTheSameCache(KvCacheKind kind, int keyBits, int valueBits, KvScaleFormat scales, bool clipSearch)
    {
        var stream = new KvStream(new KvShape(3, 2, 72, ScalarType.Float32, CPU), 4, 700, seed: keyBits);
        var options = new KvCacheOptions
        {
            Kind = kind,
            Window = 64,
            KeyBits = keyBits,
            ValueBits = valueBits,
            Scales = scales,
            ClipSearch = clipSearch,
            BoundaryLayers = 1,
            BoundaryKeyBits = 3,
            BoundaryValueBits = 4,
        };
        int[] chunks = [400, 1, 299];
        using var expectedCache = new KvCacheFactory(options, stream.Shape).Create();
        using var cache = new KvCacheFactory(options, stream.Shape, useKernels: true).Create();

        var expected = stream.Run(new TorchAttention(), expectedCache, chunks);
        var actual = stream.Run(backend, cache, chunks);

        for (var layer = 0; layer < 3; layer++)
            KvStream.ShouldBeClose(actual[layer], expected[layer], 1e-5);
        PagedKvCacheTests.ShouldBeIdentical(cache, expectedCache);
    }

    [Theory]
    [InlineData(KvCacheKind.LogQuant, null)]
    [InlineData(KvCacheKind.PartialLogQuant, 77)]
    public void Attend_AnyChunking_GivesTheSameOutputsAndTheSameCache(KvCacheKind kind, int? slidingWindow)
    {
        const int tokens = 420;
        var stream = new KvStream(new KvShape(2, 2, 16, ScalarType.Float32, CPU), 4, tokens, seed: 3);
        var factory = new KvCacheFactory(new KvCacheOptions { Kind = kind, Window = 32, SinkTokens = 4 }, stream.Shape, useKernels: true);
        using var single = factory.Create();
        var expected = stream.Run(backend, single, Enumerable.Repeat(1, tokens), slidingWindow);

        Gen.OneOf(Gen.Int[1, 9], Gen.Int[1, 101], Gen.Int[1, tokens]).Array[tokens]
            .Sample(
                sizes =>
                {
                    using var chunked = factory.Create();
                    var left = tokens;
                    var chunks = sizes.Select(s => { var n = Math.Min(s, left); left -= n; return n; }).Where(n => n > 0);
                    var outputs = stream.Run(backend, chunked, chunks, slidingWindow);
                    for (var layer = 0; layer < 2; layer++)
                        KvStream.ShouldBeClose(outputs[layer], expected[layer], 2e-6);
                    PagedKvCacheTests.ShouldBeIdentical(chunked, single);
                },
                iter: 12,
                threads: 1);
    }

    [Fact]
    public void Attend_SequencesOfManyLengths_GivesEachWhatItGetsAlone()
    {
        var shape = new KvShape(1, 2, 32, ScalarType.Float32, CPU);
        var factory = new KvCacheFactory(new KvCacheOptions { Window = 32 }, shape, useKernels: true);
        var sequences = new[] { 0, 1, 60, 96, 97, 300, 900 }.Select((past, i) => (Past: past, Stream: new KvStream(shape, 4, past + 140, seed: i))).ToList();
        int[] counts = [140, 1, 1, 33, 1, 97, 1]; // prompts of several segments beside single tokens
        var (together, alone) = (sequences.Select(_ => factory.Create()).ToList(), sequences.Select(_ => factory.Create()).ToList());
        using var scope = NewDisposeScope();
        var slices = new List<StepSlice>();
        var expected = new List<float>();
        for (var i = 0; i < sequences.Count; i++)
        {
            var (past, stream) = sequences[i];
            if (past > 0)
            {
                stream.Append(together[i], past);
                stream.Append(alone[i], past);
            }

            slices.Add(new StepSlice(together[i], slices.Sum(s => s.Count), counts[i], together[i].PlanAppend(counts[i])));
            expected.AddRange(stream.Step(backend, alone[i], counts[i])[0]);
        }

        var ids = zeros(counts.Sum(), ScalarType.Int64);
        var output = backend.Attend(
            0, cat([.. sequences.Select((s, i) => s.Stream.Queries(0, s.Past, counts[i]))]), cat([.. sequences.Select((s, i) => s.Stream.Keys(0, s.Past, counts[i]))]),
            cat([.. sequences.Select((s, i) => s.Stream.Values(0, s.Past, counts[i]))]), sequences[0].Stream.Scale, null, new StepBatch(ids, ids, ids, slices));

        KvStream.ShouldBeClose(KvStream.Floats(output), [.. expected], 2e-6);
        together.Concat(alone).ToList().ForEach(c => c.Dispose());
    }

    [Theory]
    [InlineData(float.NaN, true)]
    [InlineData(float.NegativeInfinity, false)]
    public void Attend_NumberNotFinite_ThrowsAsTheTorchPathDoes(float number, bool inKey)
    {
        var stream = new KvStream(new KvShape(2, 2, 16, ScalarType.Float32, CPU), 2, 300, seed: 8);
        using var cache = new KvCacheFactory(new KvCacheOptions(), stream.Shape, useKernels: true).Create();
        stream.Append(cache, 150);
        using var scope = NewDisposeScope();
        var plan = cache.PlanAppend(20);
        var (k, v) = (stream.Keys(1, 150, 20), stream.Values(1, 150, 20));
        (inKey ? k : v)[7, 1, 5] = number;

        var error = Should.Throw<LocalLlmException>(() => cache.Append(1, k, v, plan, 0));

        error.Message.ShouldContain($"Layer 1: a {(inKey ? "key" : "value")} is {number} (token 157, KV head 1, channel 5");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Attend_OneSequencesNumbersGoWrong_FaultsItAloneAndTheOtherGetsItsOwn(bool onKernels)
    {
        // Two layers; the first sequence's keys are wrong in the first one, in the second of its prompt's segments.
        var shape = new KvShape(2, 2, 16, ScalarType.Float32, CPU);
        IAttentionBackend used = onKernels ? backend : new TorchAttention();
        var factory = new KvCacheFactory(new KvCacheOptions { Window = 32, ClipSearch = false }, shape, onKernels);
        var (wrong, right) = (new KvStream(shape, 4, 140, seed: 1), new KvStream(shape, 4, 300, seed: 2));
        using IKvCache wrongCache = factory.Create(), rightCache = factory.Create(), alone = factory.Create();
        right.Append(rightCache, 250);
        right.Append(alone, 250);
        var expected = right.Step(used, alone, 7);
        using var scope = NewDisposeScope();
        StepSlice[] slices = [new(wrongCache, 0, 140, wrongCache.PlanAppend(140)), new(rightCache, 140, 7, rightCache.PlanAppend(7))];
        slices[0].Plan.Segments.Count.ShouldBeGreaterThan(1);
        var ids = zeros(147, ScalarType.Int64);
        for (var layer = 0; layer < 2; layer++)
        {
            var k = wrong.Keys(layer, 0, 140);
            k[120, 1, 3] = float.NaN;

            var output = used.Attend(
                layer, cat([wrong.Queries(layer, 0, 140), right.Queries(layer, 250, 7)]), cat([k, right.Keys(layer, 250, 7)]),
                cat([wrong.Values(layer, 0, 140), right.Values(layer, 250, 7)]), right.Scale, null, new StepBatch(ids, ids, ids, slices));

            KvStream.ShouldBeClose(KvStream.Floats(output[140..]), expected[layer], 2e-6);
            slices[0].Fault.ShouldNotBeNull().Message.ShouldContain("Layer 0: a key is NaN (token 120, KV head 1, channel 3");
            slices[1].Fault.ShouldBeNull();
        }

        rightCache.Commit(slices[1].Plan);
        alone.Length.ShouldBe(rightCache.Length);
    }
}
