using System.Collections.Concurrent;
using LocalLlm.Batching;
using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Scheduling;

/// <summary>
/// The logits of one sequence, bit for bit: alone, and among others that come and go, share its steps and preempt it. So its greedy tokens cannot differ either.
/// </summary>
public sealed class BatchInvarianceTests
{
    private const int Mark = 38; // the first token of the sequence that is watched, and of no other

    public static TheoryData<AttentionBackend, WeightType, KvCacheKind> Cases
    {
        get
        {
            var data = new TheoryData<AttentionBackend, WeightType, KvCacheKind>();
            foreach (var backend in new[] { AttentionBackend.Cpu, AttentionBackend.Torch })
            {
                foreach (var type in new[] { WeightType.Float32, WeightType.BFloat16 })
                {
                    foreach (var kind in new[] { KvCacheKind.StreamingQuant, KvCacheKind.LogQuant, KvCacheKind.PartialLogQuant, KvCacheKind.HuggingFaceKivi, KvCacheKind.Dense })
                        data.Add(backend, type, kind);
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Logits_AmongOthers_AreThoseOfTheSequenceAlone(AttentionBackend backend, WeightType type, KvCacheKind kind)
    {
        using var model = new ModelLoop(backend, type);
        var cache = new KvCacheOptions { Kind = kind, Window = 32, RetainedConversations = 0 };
        var prompt = Prompt(173, seed: 1);
        prompt[0] = Mark;

        var alone = new ConcurrentDictionary<long, float[]>();
        var (loop, _) = model.Start(cache, null, maxSequences: 1, prefillChunk: 96, Observer(alone));
        string expected;
        using (loop)
        {
            var watched = model.Sequence(prompt, 60);
            loop.Submit(watched);
            expected = (await ModelLoop.ReadAsync(watched)).Text;
        }

        // Room for three or so; the watched one has the lowest priority, so others interrupt it again and again, in the prompt and later.
        var together = new ConcurrentDictionary<long, float[]>();
        var (observe, step) = (Observer(together), 0);
        var waiting = new Queue<LocalLlm.Scheduling.Sequence>(
            Enumerable.Range(0, 18).Select(i => model.Sequence(Prompt(10 + (i * 37 % 170), seed: i + 2), 10 + (i * 13 % 50), priority: 1)));
        var others = waiting.ToList();
        var memory = (new KvCacheFactory(cache, model.Shape).PeakBytesFor(234) * 7) / 2;
        (loop, var pool) = model.Start(cache, memory, maxSequences: 6, prefillChunk: 96, (batch, logits) =>
        {
            observe(batch, logits);
            for (var i = 0; i < 3 && step % 8 == 1 && waiting.TryDequeue(out var other); i++)
                loop.Submit(other);
            step++;
        });
        using (loop)
        {
            var watched = model.Sequence(prompt, 60);
            loop.Submit(watched);
            (await ModelLoop.ReadAsync(watched)).Text.ShouldBe(expected);
            foreach (var other in others)
                await ModelLoop.ReadAsync(other);
            pool.PeakBytes.ShouldBeLessThanOrEqualTo(memory);
            loop.Preemptions.ShouldBeGreaterThan(0);
        }

        alone.Count.ShouldBe(60);
        together.Keys.Order().ShouldBe(alone.Keys.Order());
        foreach (var (position, logits) in alone)
            together[position].AsSpan().SequenceEqual(logits).ShouldBeTrue($"position {position}: the largest difference is {together[position].Zip(logits, (a, b) => Math.Abs(a - b)).Max()}");
    }

    private static int[] Prompt(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.Next(Mark))];
    }

    // Caches are known by the first token that they are given.
    private static Action<StepBatch, Tensor> Observer(ConcurrentDictionary<long, float[]> seen)
    {
        var watched = new HashSet<IKvCache>(ReferenceEqualityComparer.Instance);
        return (batch, logits) =>
        {
            var (ids, positions, rows) = (Numbers(batch.TokenIds), Numbers(batch.Positions), Numbers(batch.LogitRows));
            foreach (var slice in batch.Slices.Where(s => s.Plan.Position == 0 && ids[s.Start] == Mark))
                watched.Add(slice.Cache);
            for (var i = 0; i < rows.Length; i++)
            {
                var row = (int)rows[i];
                if (!watched.Contains(batch.Slices.First(s => row >= s.Start && row < s.Start + s.Count).Cache))
                    continue;
                using var values = logits[i].contiguous();
                var copy = values.data<float>().ToArray();
                seen.TryAdd(positions[row], copy).ShouldBeTrue("a token was sampled twice");
            }
        };

        static long[] Numbers(Tensor tensor) => tensor.numel() == 0 ? [] : tensor.data<long>().ToArray();
    }
}
