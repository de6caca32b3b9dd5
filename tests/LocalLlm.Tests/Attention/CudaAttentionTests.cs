using LocalLlm.Batching;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using LocalLlm.Tests.Kernels.Cuda;
using LocalLlm.Tests.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Attention;

/// <summary>What is the CUDA backend's alone: its launches, its scratch memory.</summary>
public class CudaAttentionTests
{
    public CudaAttentionTests() => LibTorch.EnsureLoaded();

    [Theory]
    [InlineData(TestBackend.Emulated, ScalarType.Float32)]
    [InlineData(TestBackend.Emulated, ScalarType.BFloat16)]
    [InlineData(TestBackend.Cuda, ScalarType.Float32)]
    [InlineData(TestBackend.Cuda, ScalarType.BFloat16)]
    public void Attend_StatesBeyondTheirBound_GivesTheSameBitsByFurtherLaunches(string name, ScalarType type)
    {
        float[][] outputs = [.. new[] { long.MaxValue, 1 }.Select(most =>
        {
            using var backend = TestBackend.Open(name, most);
            var stream = new KvStream(new KvShape(1, 2, 16, type, backend.Device), 4, 170, seed: 5);
            var factory = backend.Factory(new KvCacheOptions { Kind = KvCacheKind.Dense }, stream.Shape);
            var caches = Enumerable.Range(0, 3).Select(_ => factory.Create()).ToList();
            foreach (var (i, cache) in caches.Index())
            {
                cache.Reserve(160);
                stream.Append(cache, 50 + (40 * i));
            }

            using var scope = NewDisposeScope();
            var ids = zeros(3, ScalarType.Int64, backend.Device);
            var batch = new StepBatch(ids, ids, ids, [.. caches.Select((c, i) => new StepSlice(c, i, 1, c.PlanAppend(1)))]);
            var output = backend.Attention.Attend(
                0, stream.Queries(0, 150, 3), stream.Keys(0, 150, 3), stream.Values(0, 150, 3), stream.Scale, null, batch);
            backend.Attention.Complete(batch);
            if (backend.Queue.Launcher is EmulatedLauncher emulated)
                emulated.Launches["merge_attention"].ShouldBe(most == 1 ? 3 : 1);
            var numbers = KvStream.Floats(output);
            caches.ForEach(c => c.Dispose());
            return numbers;
        })];

        outputs[1].ShouldBe(outputs[0]);
    }

    [Fact]
    public void Attend_ManySequences_LaunchesOnceForAll()
    {
        using var backend = TestBackend.Open(TestBackend.Emulated);
        var stream = new KvStream(new KvShape(1, 1, 8, ScalarType.Float32, CPU), 1, 20, seed: 1);
        var factory = backend.Factory(new KvCacheOptions { Window = 32 }, stream.Shape);
        var caches = Enumerable.Range(0, 5).Select(_ => factory.Create()).ToList();
        caches.ForEach(c => stream.Append(c, 10));
        var launches = ((EmulatedLauncher)backend.Queue.Launcher).Launches;
        launches.Clear();
        using var scope = NewDisposeScope();
        var ids = zeros(5, ScalarType.Int64);
        var batch = new StepBatch(ids, ids, ids, [.. caches.Select((c, i) => new StepSlice(c, i, 1, c.PlanAppend(1)))]);

        backend.Attention.Attend(0, stream.Queries(0, 10, 5), stream.Keys(0, 10, 5), stream.Values(0, 10, 5), 1, null, batch);

        launches.OrderBy(l => l.Key).ShouldBe(
            [KeyValuePair.Create("append_rows", 1), KeyValuePair.Create("decode_attention", 1), KeyValuePair.Create("merge_attention", 1)]);
        caches.ForEach(c => c.Dispose());
    }

    [Fact]
    public void Dispose_AfterSteps_LeavesNoTensor()
    {
        var before = LiveTensors.Count;
        using (var backend = TestBackend.Open(TestBackend.Emulated))
        {
            foreach (var kind in new[] { KvCacheKind.LogQuant, KvCacheKind.PartialLogQuant, KvCacheKind.Dense })
            {
                var stream = new KvStream(new KvShape(2, 1, 8, ScalarType.Float32, CPU), 1, 130, seed: 1);
                using var cache = backend.Factory(new KvCacheOptions { Kind = kind, Window = 32 }, stream.Shape).Create();
                stream.Run(backend.Attention, cache, [100, 1, 29], slidingWindow: 60);
                using var fork = cache.Fork();
                cache.EndPrompt();
            }

            backend.Queue.Bytes.ShouldBeGreaterThan(0);
        }

        LiveTensors.Count.ShouldBe(before);
    }
}
