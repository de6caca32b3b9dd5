using System.Runtime.InteropServices;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using LocalLlm.KvCache.Policies;
using LocalLlm.Quantization;
using LocalLlm.Tests.Attention;
using LocalLlm.Tests.Scheduling;
using static TorchSharp.torch;

namespace LocalLlm.Tests.KvCache;

/// <summary>What caches take from their pool against the tensors that there are, and against what they said beforehand.</summary>
[Collection(TensorCountCollection.Name)]
public sealed partial class CacheMemoryTests
{
    public CacheMemoryTests() => LibTorch.EnsureLoaded();

    private static KvShape Shape => new(2, 2, 24, ScalarType.Float32, CPU);

    [Fact]
    public void CopyOf_WhatDoesNotFit_GivesTheMemoryBack()
    {
        var (pool, format) = (new KvPool(1 << 20), new PageFormat(2, new PageLayout(32, 24)));
        var memory = new PagedMemory(pool, Shape, new LogQuantPolicy(32), format);
        var wider = new PagedMemory(new KvPool(), Shape with { KvHeads = 3 }, new LogQuantPolicy(32), format);
        var (rows, block) = (wider.TakeRows(), wider.TakeBlock());

        Should.Throw<Exception>(() => memory.CopyOf(rows));
        Should.Throw<Exception>(() => memory.CopyOf(block));

        pool.UsedBytes.ShouldBe(0);
        rows.Release();
        block.Release();
        pool.Dispose();
    }

    [Theory]
    [MemberData(nameof(CacheCases.OnEveryBackend), MemberType = typeof(CacheCases))]
    public void RandomTurnsAndForks_AlwaysTakeWhatTheySaidAndNoMoreThanTheLimit(string name, string backend)
    {
        using var mode = inference_mode(true);
        using var testBackend = TestBackend.Open(backend);
        var stream = new KvStream(testBackend.On(Shape), 2, 1500, seed: 3);
        const long limit = 4 << 20;
        var pool = new KvPool(limit);
        var factory = testBackend.Factory(CacheCases.Named(name), stream.Shape, pool);
        var random = new Random(11);
        var caches = new List<IKvCache>();
        for (var i = 0; i < 120; i++)
        {
            var cache = caches.Count == 0 ? null : caches[random.Next(caches.Count)];
            switch (random.Next(6))
            {
                case 0 when caches.Count < 8 && factory.PeakBytesFor(0) <= pool.FreeBytes:
                    caches.Add(factory.Create());
                    break;
                case 1 when cache is not null && caches.Count < 8:
                    var length = cache.CanTruncate(cache.Length - 3) ? cache.Length - 3 : cache.Length;
                    var grown = length + random.Next(40);
                    if (cache.ForkBytes(length, grown) > pool.FreeBytes)
                        break;
                    Exactly(pool, cache.ForkBytes(length, grown), () =>
                    {
                        caches.Add(cache.Fork(length));
                        caches[^1].Reserve(grown);
                    });
                    break;
                case 2 when cache is not null && random.Next(3) == 0:
                    cache.Dispose();
                    caches.Remove(cache);
                    break;
                case 3 when cache is not null && factory.PeakBytesFor(cache.Length) <= pool.FreeBytes && random.Next(4) == 0:
                    cache.Reserve(cache.Length);
                    cache.EndPrompt();
                    break;
                default:
                    var count = 1 + random.Next(random.Next(2) == 0 ? 3 : 150);
                    if (cache is null || cache.Length + count > 1400 || cache.GrowthBytes(cache.Length + count) > pool.FreeBytes)
                        break;
                    Exactly(pool, cache.GrowthBytes(cache.Length + count), () => cache.Reserve(cache.Length + count));
                    var used = pool.UsedBytes;
                    stream.Append(cache, count);
                    if (random.Next(4) == 0)
                        cache.EndPrompt();
                    pool.UsedBytes.ShouldBe(used, "an append took memory that was not reserved");
                    break;
            }

            var units = caches.SelectMany(c => c.Units).Distinct().ToList();
            units.Sum(TensorBytes).ShouldBe(pool.UsedBytes);
            units.ShouldAllBe(u => u.Owners == caches.Count(c => c.Units.Contains(u)));
            (pool.UsedBytes + pool.IdleBytes).ShouldBeLessThanOrEqualTo(limit);
        }

        caches.ForEach(c => c.Dispose());
        pool.UsedBytes.ShouldBe(0);
        pool.Dispose();
        pool.IdleBytes.ShouldBe(0);
    }

    [Fact]
    public void ManyCaches_ProcessMemory_GrowsByWhatThePoolSays()
    {
        using var mode = inference_mode(true);
        var shape = new KvShape(8, 4, 64, ScalarType.Float32, CPU);
        using var pool = new KvPool(400 << 20);
        var factory = new KvCacheFactory(new KvCacheOptions(), shape, useKernels: true, pool);
        // What other tests gave back to the allocator is in the process still, and would be taken for the caches first.
        GC.Collect();
        if (OperatingSystem.IsLinux())
            _ = malloc_trim(0);
        var before = Environment.WorkingSet;
        var caches = new List<IKvCache>();
        while (factory.PeakBytesFor(3000) <= pool.FreeBytes)
        {
            var cache = factory.Create();
            caches.Add(cache);
            cache.Reserve(3000);
            foreach (var unit in cache.Units)
                Tensors(unit).ToList().ForEach(t => t.fill_(1)); // the system gives memory when it is written to
        }

        var grown = Environment.WorkingSet - before;

        pool.UsedBytes.ShouldBeGreaterThan(350 << 20);
        ((double)grown / pool.UsedBytes).ShouldBeInRange(0.85, 1.15);
        caches.ForEach(c => c.Dispose());
    }

    [LibraryImport("libc")]
    private static partial int malloc_trim(nuint pad);

    // Neither a byte less nor a byte more: a stop-gap takes what the others must not.
    private static void Exactly(KvPool pool, long bytes, Action take)
    {
        var kind = new KvUnitKind<FakeCache.FakeUnit>("a stop-gap", pool.FreeBytes - bytes, () => new FakeCache.FakeUnit(() => { }));
        var stopGap = pool.Take(kind);
        pool.FreeBytes.ShouldBe(bytes);
        var used = pool.UsedBytes;
        take();
        stopGap.Release();
        if (bytes == 0)
            (pool.UsedBytes + kind.Bytes).ShouldBe(used);
    }

    private static long TensorBytes(KvUnit unit) => Tensors(unit).Sum(t => t.NumberOfElements * t.ElementSize);

    private static IEnumerable<Tensor> Tensors(KvUnit unit) => unit switch
    {
        RowSet rows => [rows.Keys, rows.Values, .. rows.Packed?.Tensors ?? []],
        PageBlock block => block.Tensors,
        DenseRows rows => [rows.Keys, rows.Values],
        _ => throw new NotSupportedException(unit.GetType().Name),
    };
}
