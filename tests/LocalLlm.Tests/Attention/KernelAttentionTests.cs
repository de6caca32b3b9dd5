using CsCheck;
using LocalLlm.Attention;
using LocalLlm.Batching;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using LocalLlm.Tests.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Attention;

/// <summary>The backends of kernels against the one of torch operations.</summary>
public class KernelAttentionTests
{
    public KernelAttentionTests() => LibTorch.EnsureLoaded();

    public static TheoryData<string, KvCacheKind, ScalarType, int?> Kinds()
    {
        var data = new TheoryData<string, KvCacheKind, ScalarType, int?>();
        foreach (var (backend, kind) in TestBackend.Kernels.SelectMany(_ => Enum.GetValues<KvCacheKind>(), (b, kind) => ((string)b.Data, kind)))
        {
            data.Add(backend, kind, ScalarType.Float32, null);
            data.Add(backend, kind, ScalarType.Float32, 100);
            data.Add(backend, kind, ScalarType.BFloat16, null);
        }

        return data;
    }

    public static TheoryData<string, KvCacheKind, int, int, KvScaleFormat, bool> Formats()
    {
        var data = new TheoryData<string, KvCacheKind, int, int, KvScaleFormat, bool>();
        foreach (var backend in TestBackend.Kernels.Select(b => (string)b.Data))
        {
            data.Add(backend, KvCacheKind.LogQuant, 2, 4, KvScaleFormat.Byte, true);
            data.Add(backend, KvCacheKind.LogQuant, 4, 3, KvScaleFormat.Half, false);
            data.Add(backend, KvCacheKind.PartialLogQuant, 3, 2, KvScaleFormat.Half, true);
            data.Add(backend, KvCacheKind.PartialLogQuant, 2, 3, KvScaleFormat.Byte, false);
            data.Add(backend, KvCacheKind.PartialLogQuant, 2, 4, KvScaleFormat.Byte, false);
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Attend_EveryKindOfCache_EqualsTorchAndLeavesTheSameCache(string name, KvCacheKind kind, ScalarType type, int? slidingWindow)
    {
        int[] chunks = name == TestBackend.Emulated ? [100, 1, 1, 1, 90, 27] : [150, 1, 1, 1, 300, 47]; // the emulation is slow
        var stream = new KvStream(new KvShape(2, 2, 40, type, CPU), 6, chunks.Sum(), seed: (int)kind);
        var options = new KvCacheOptions { Kind = kind, Window = 32, SinkTokens = 5, KeyBits = 3, ClipSearch = false };
        using var backend = TestBackend.Open(name);
        using var expectedCache = new KvCacheFactory(options, stream.Shape).Create();
        using var cache = backend.Factory(options, stream.Shape).Create();

        var expected = stream.Run(new TorchAttention(), expectedCache, chunks, slidingWindow);
        var actual = stream.On(backend.Device).Run(backend.Attention, cache, chunks, slidingWindow);

        for (var layer = 0; layer < 2; layer++)
            KvStream.ShouldBeClose(actual[layer], expected[layer], type == ScalarType.Float32 ? 1e-5 : 0.032);
        PagedKvCacheTests.ShouldBeIdentical(cache, expectedCache);
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Attend_AnyFormat_EqualsTorchAndLeavesTheSameCache(
        string name, KvCacheKind kind, int keyBits, int valueBits, KvScaleFormat scales, bool clipSearch)
    {
        int[] chunks = name == TestBackend.Emulated ? [210, 1, 60] : [400, 1, 299];
        var stream = new KvStream(new KvShape(3, 2, 72, ScalarType.Float32, CPU), 4, chunks.Sum(), seed: keyBits);
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
        using var backend = TestBackend.Open(name);
        using var expectedCache = new KvCacheFactory(options, stream.Shape).Create();
        using var cache = backend.Factory(options, stream.Shape).Create();

        var expected = stream.Run(new TorchAttention(), expectedCache, chunks);
        var actual = stream.On(backend.Device).Run(backend.Attention, cache, chunks);

        for (var layer = 0; layer < 3; layer++)
            KvStream.ShouldBeClose(actual[layer], expected[layer], 1e-5);
        PagedKvCacheTests.ShouldBeIdentical(cache, expectedCache);
    }

    [Theory]
    [InlineData(TestBackend.Cpu, KvCacheKind.LogQuant, null)]
    [InlineData(TestBackend.Cpu, KvCacheKind.PartialLogQuant, 77)]
    [InlineData(TestBackend.Emulated, KvCacheKind.LogQuant, 77)]
    [InlineData(TestBackend.Emulated, KvCacheKind.PartialLogQuant, null)]
    [InlineData(TestBackend.Cuda, KvCacheKind.LogQuant, null)]
    [InlineData(TestBackend.Cuda, KvCacheKind.PartialLogQuant, 77)]
    public void Attend_AnyChunking_GivesTheSameOutputsAndTheSameCache(string name, KvCacheKind kind, int? slidingWindow)
    {
        var tokens = name == TestBackend.Emulated ? 130 : 420;
        using var used = TestBackend.Open(name);
        var backend = used.Attention;
        var stream = new KvStream(new KvShape(2, 2, 16, ScalarType.Float32, used.Device), 4, tokens, seed: 3);
        var factory = used.Factory(new KvCacheOptions { Kind = kind, Window = 32, SinkTokens = 4 }, stream.Shape);
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
                iter: name == TestBackend.Emulated ? 3 : 12,
                threads: 1);
    }

    [Theory]
    [MemberData(nameof(TestBackend.Kernels), MemberType = typeof(TestBackend))]
    public void Attend_SequencesOfManyLengths_GivesEachWhatItGetsAlone(string name)
    {
        using var used = TestBackend.Open(name);
        var backend = used.Attention;
        var shape = new KvShape(1, 2, 32, ScalarType.Float32, used.Device);
        var factory = used.Factory(new KvCacheOptions { Window = 32 }, shape);
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

        var ids = zeros(counts.Sum(), ScalarType.Int64, shape.Device);
        var output = backend.Attend(
            0, cat([.. sequences.Select((s, i) => s.Stream.Queries(0, s.Past, counts[i]))]), cat([.. sequences.Select((s, i) => s.Stream.Keys(0, s.Past, counts[i]))]),
            cat([.. sequences.Select((s, i) => s.Stream.Values(0, s.Past, counts[i]))]), sequences[0].Stream.Scale, null, new StepBatch(ids, ids, ids, slices));

        KvStream.ShouldBeClose(KvStream.Floats(output), [.. expected], 2e-6);
        together.Concat(alone).ToList().ForEach(c => c.Dispose());
    }

    [Theory]
    [InlineData(float.NaN, true)]
    [InlineData(float.NegativeInfinity, false)]
    public void Append_NumberNotFinite_ThrowsAsTheTorchPathDoes(float number, bool inKey)
    {
        var stream = new KvStream(new KvShape(2, 2, 16, ScalarType.Float32, CPU), 2, 300, seed: 8);
        using var backend = TestBackend.Open(TestBackend.Cpu);
        using var cache = backend.Factory(new KvCacheOptions(), stream.Shape).Create();
        stream.Append(cache, 150);
        using var scope = NewDisposeScope();
        var plan = cache.PlanAppend(20);
        var (k, v) = (stream.Keys(1, 150, 20), stream.Values(1, 150, 20));
        (inKey ? k : v)[7, 1, 5] = number;

        var error = Should.Throw<LocalLlmException>(() => cache.Append(1, k, v, plan, 0));

        error.Message.ShouldContain($"Layer 1: a {(inKey ? "key" : "value")} is {number} (token 157, KV head 1, channel 5");
    }
}
