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
    [InlineData(AttentionBackend.Torch)]
    [InlineData(AttentionBackend.Cpu)]
    [InlineData(AttentionBackend.Cuda)] // emulated
    public async Task Numbers_OfOneSequenceGoWrong_EndItAloneAndNothingOfItIsKept(AttentionBackend backend)
    {
        using var model = new ModelLoop(backend, WeightType.Float32);
        var prompts = Prompts(3).ConvertAll(p => p[..40]);
        var expected = await AnswersAsync(model, KvCacheKind.LogQuant, prompts);
        var spoiled = 0;
        var options = new KvCacheOptions { Kind = KvCacheKind.LogQuant, Window = 32, RetainedConversations = 4 };
        var (loop, pool) = model.Start(options, null, maxSequences: 4, prefillChunk: 64,
            wrap: attention => new Faulty(attention, _ => { }, (layer, k, batch) =>
            {
                // One sequence's second token of an answer.
                if (layer == 0 && spoiled == 0 && batch.Slices[^1] is { Count: 1, Plan.Position: 41 } slice && ++spoiled > 0)
                    k.narrow(0, slice.Start, 1).fill_(float.NaN);
            }));
        var ended = await CompareAsync(model, loop, prompts, expected, "Layer 0: a key is NaN (token 41, KV head 0, channel 0");

        (spoiled, ended).ShouldBe((1, 1));
        loop.Dispose();
        (pool.UsedBytes, pool.IdleBytes).ShouldBe((0, 0));
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

    [Theory]
    [InlineData(KvCacheKind.StreamingQuant, false)]
    [InlineData(KvCacheKind.LogQuant, true)]
    [InlineData(KvCacheKind.Dense, false)]
    [InlineData(KvCacheKind.Dense, true)]
    public async Task Faults_AtRandomInConversationsOfManyTurns_LeaveNoMemory(KvCacheKind kind, bool spills)
    {
        var directory = spills ? Directory.CreateTempSubdirectory("spill-faults-").FullName : null;
        using var model = new ModelLoop(AttentionBackend.Cpu, WeightType.Float32);
        var cache = new KvCacheOptions { Kind = kind, Window = 32, RetainedConversations = 3 };
        var chance = new Random(11);
        var faults = 0;
        var (loop, pool) = model.Start(cache, 3 * new KvCacheFactory(cache, model.Shape).PeakBytesFor(400), maxSequences: 5, prefillChunk: 64, spillDirectory: directory,
            wrap: attention => new Faulty(attention, _ => Fail(60, "the kernel burnt")), allocating: _ => Fail(5, "no memory left"));
        await Task.WhenAll(Enumerable.Range(0, 16).Select(async c =>
        {
            var random = new Random(c);
            var history = Tokens(random, 130 + random.Next(60));
            for (var turn = 0; turn < 5; turn++)
            {
                var sequence = model.Sequence([.. history], 1 + random.Next(12), priority: random.Next(3), maxUnread: 1 + random.Next(8));
                loop.Submit(sequence);
                try
                {
                    await ModelLoop.ReadAsync(sequence);
                }
                catch (LocalLlmException e)
                {
                    e.InnerException.ShouldBeOfType<InsufficientMemoryException>();
                }

                // Now and then an earlier point, to which a cache may have to go back.
                history = random.Next(3) == 0 ? history[..(history.Count - 20)] : [.. sequence.Tokens, .. Tokens(random, 10)];
            }
        })).WaitAsync(TimeSpan.FromMinutes(2));

        faults.ShouldBeGreaterThan(0);
        loop.Statistics().Fault.ShouldBeNull();
        loop.Dispose();
        (pool.UsedBytes, pool.IdleBytes).ShouldBe((0, 0));
        if (directory is not null)
            Directory.Delete(directory, recursive: true);

        void Fail(int oneIn, string message)
        {
            if (chance.Next(oneIn) != 0)
                return;
            faults++;
            throw new InsufficientMemoryException(message);
        }
    }

    private static List<int> Tokens(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => random.Next(39))];

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
        return [.. Enumerable.Range(0, count).Select(_ => Tokens(random, 40 + random.Next(160)).ToArray())];
    }

    /// <summary>A backend that fails where it is told to.</summary>
    private sealed class Faulty(IAttentionBackend inner, Action<int> attending, Action<int, Tensor, StepBatch>? spoil = null) : IAttentionBackend
    {
        public Tensor Attend(int layer, Tensor q, Tensor k, Tensor v, double scale, int? slidingWindow, StepBatch batch)
        {
            attending(layer);
            spoil?.Invoke(layer, k, batch);
            return inner.Attend(layer, q, k, v, scale, slidingWindow, batch);
        }

        public void Complete(StepBatch batch) => inner.Complete(batch);
    }
}
