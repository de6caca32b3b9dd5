using LocalLlm.Attention;
using LocalLlm.Batching;
using LocalLlm.KvCache;
using LocalLlm.Scheduling;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Scheduling;

/// <summary>Faults in the middle of a step of a real model over real caches, some layers of which hold the step's tokens by then.</summary>
public sealed class ModelFaultTests
{
    [Theory]
    [InlineData(KvCacheKind.StreamingQuant, AttentionBackend.Cpu)]
    [InlineData(KvCacheKind.LogQuant, AttentionBackend.Torch)]
    [InlineData(KvCacheKind.Dense, AttentionBackend.Cpu)]
    public async Task Kernel_ThrowsInALaterLayer_EndsTheStepsSequencesAndTheOthersAreUnharmed(KvCacheKind kind, AttentionBackend backend)
    {
        using var model = new ModelLoop(backend, WeightType.Float32);
        var prompts = Prompts(12);
        var expected = await AnswersAsync(model, kind, prompts);
        var faults = 0;
        for (var at = 1; at < 40; at += 3)
        {
            var calls = 0;
            var (loop, pool) = model.Start(new KvCacheOptions { Kind = kind, Window = 32 }, null, maxSequences: 4, prefillChunk: 64,
                wrap: attention => new Faulty(attention, layer =>
                {
                    if (layer > 0 && ++calls == at && ++faults > 0)
                        throw new InvalidOperationException("the kernel burnt");
                }));
            var ended = await CompareAsync(model, loop, prompts, expected, "the kernel burnt");
            ended.ShouldBeInRange(calls >= at ? 1 : 0, calls >= at ? 4 : 0);
            loop.Dispose();
            (pool.UsedBytes, pool.IdleBytes).ShouldBe((0, 0));
        }

        faults.ShouldBeGreaterThan(5);
    }

    [Theory]
    [InlineData(KvCacheKind.StreamingQuant)]
    [InlineData(KvCacheKind.LogQuant)]
    [InlineData(KvCacheKind.Dense)]
    public async Task Memory_AnyAllocationFails_EndsItsSequenceAloneAndLeavesNothing(KvCacheKind kind)
    {
        using var model = new ModelLoop(AttentionBackend.Cpu, WeightType.Float32);
        var prompts = Prompts(6);
        var expected = await AnswersAsync(model, kind, prompts);
        var faults = 0;
        for (var fault = 0; fault < 24; fault++)
        {
            var left = fault;
            var (loop, pool) = model.Start(new KvCacheOptions { Kind = kind, Window = 32, RetainedConversations = 2 }, 1 << 22, maxSequences: 3, prefillChunk: 64,
                allocating: _ =>
                {
                    if (left-- == 0)
                        throw new InsufficientMemoryException("no memory left");
                });
            var ended = await CompareAsync(model, loop, prompts, expected, "no memory left");
            ended.ShouldBe(left < 0 ? 1 : 0, $"allocation {fault}");
            faults += ended;
            loop.Dispose();
            (pool.UsedBytes, pool.IdleBytes).ShouldBe((0, 0), $"allocation {fault}");
        }

        faults.ShouldBeGreaterThan(2);
    }

    private static async Task<List<string>> AnswersAsync(ModelLoop model, KvCacheKind kind, List<int[]> prompts)
    {
        var (loop, _) = model.Start(new KvCacheOptions { Kind = kind, Window = 32, RetainedConversations = 0 }, null, maxSequences: 1, prefillChunk: 64);
        using (loop)
        {
            var answers = new List<string>();
            foreach (var prompt in prompts)
            {
                var sequence = model.Sequence(prompt, 12);
                loop.Submit(sequence);
                answers.Add((await ModelLoop.ReadAsync(sequence)).Text);
            }

            return answers;
        }
    }

    // Every answer is the one alone, or the fault; after it all are answered.
    private static async Task<int> CompareAsync(ModelLoop model, EngineLoop loop, List<int[]> prompts, List<string> expected, string message)
    {
        var sequences = prompts.ConvertAll(p => model.Sequence(p, 12));
        sequences.ForEach(loop.Submit);
        var faults = 0;
        for (var i = 0; i < sequences.Count; i++)
        {
            try
            {
                (await ModelLoop.ReadAsync(sequences[i])).Text.ShouldBe(expected[i]);
            }
            catch (LocalLlmException e)
            {
                e.Message.ShouldContain(message);
                faults++;
            }
        }

        var last = model.Sequence(prompts[0], 12);
        loop.Submit(last);
        (await ModelLoop.ReadAsync(last)).Text.ShouldBe(expected[0]);
        return faults;
    }

    private static List<int[]> Prompts(int count)
    {
        var random = new Random(3);
        return [.. Enumerable.Range(0, count).Select(_ => Enumerable.Range(0, 40 + random.Next(160)).Select(_ => random.Next(39)).ToArray())];
    }

    /// <summary>A backend that fails where it is told to.</summary>
    private sealed class Faulty(IAttentionBackend inner, Action<int> attending) : IAttentionBackend
    {
        public Tensor Attend(int layer, Tensor q, Tensor k, Tensor v, double scale, int? slidingWindow, StepBatch batch)
        {
            attending(layer);
            return inner.Attend(layer, q, k, v, scale, slidingWindow, batch);
        }
    }
}
