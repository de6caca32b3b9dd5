using System.Collections.Concurrent;
using LocalLlm.Batching;
using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Scheduling;

/// <summary>Thirty conversations of several turns in memory for about five, with priorities and cancellations, over real caches.</summary>
public sealed class ConversationStressTests
{
    private const int Conversations = 30;
    private const int Turns = 3;

    [Theory]
    [InlineData(KvCacheKind.StreamingQuant, AttentionBackend.Cpu, 0, false)]
    [InlineData(KvCacheKind.LogQuant, AttentionBackend.Cpu, 4, false)]
    [InlineData(KvCacheKind.PartialLogQuant, AttentionBackend.Torch, 4, false)]
    [InlineData(KvCacheKind.Dense, AttentionBackend.Cpu, 4, false)]
    [InlineData(KvCacheKind.StreamingQuant, AttentionBackend.Cpu, 4, true)]
    [InlineData(KvCacheKind.HuggingFaceKivi, AttentionBackend.Torch, 4, true)]
    [InlineData(KvCacheKind.Dense, AttentionBackend.Cpu, 4, true)]
    public async Task Conversations_InTooLittleMemory_EachAnswerIsTheOneAlone(KvCacheKind kind, AttentionBackend backend, int retained, bool spills)
    {
        var directory = spills ? Directory.CreateTempSubdirectory("spill-stress-").FullName : null;
        using var model = new ModelLoop(backend, WeightType.Float32);
        var cache = new KvCacheOptions { Kind = kind, Window = 32, RetainedConversations = retained };
        var memory = 5 * new KvCacheFactory(cache, model.Shape).PeakBytesFor(220);
        var firstTokens = spills ? 110 : 20;
        var (loop, pool) = model.Start(cache, memory, maxSequences: 12, prefillChunk: 64, spillDirectory: directory);
        var answers = new ConcurrentBag<(int[] Prompt, string Text)>();
        using (loop)
        {
            await Task.WhenAll(Enumerable.Range(0, Conversations).Select(async c =>
            {
                var random = new Random(c);
                var history = Tokens(random, firstTokens + random.Next(60));
                for (var turn = 0; turn < Turns; turn++)
                {
                    var sequence = model.Sequence([.. history], 5 + random.Next(30), priority: random.Next(3));
                    loop.Submit(sequence);
                    if (random.Next(6) == 0)
                    {
                        await Task.Delay(random.Next(30));
                        sequence.Cancel();
                        loop.Wake();
                    }

                    try
                    {
                        var (text, _) = await ModelLoop.ReadAsync(sequence);
                        answers.Add(([.. history], text));
                        history.AddRange(model.Tokenizer.Encode(text.Replace("<end>", "", StringComparison.Ordinal)));
                    }
                    catch (OperationCanceledException)
                    {
                    }

                    history.AddRange(Tokens(random, 5 + random.Next(15)));
                }
            }));

            pool.UsedBytes.ShouldBeLessThanOrEqualTo(memory);
            loop.Preemptions.ShouldBeGreaterThan(0);
        }

        pool.PeakBytes.ShouldBeInRange(memory / 2, memory);
        (pool.UsedBytes, pool.IdleBytes).ShouldBe((0, 0));
        answers.Count.ShouldBeGreaterThan(Conversations);
        await CompareAlone(model, cache with { RetainedConversations = 0 }, answers, isExact: retained == 0);
        if (directory is not null)
        {
            Directory.GetFiles(directory).ShouldNotBeEmpty();
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public async Task Dispose_InMidFlight_EndsAllAndLeavesNoMemory()
    {
        using var model = new ModelLoop(AttentionBackend.Cpu, WeightType.Float32);
        var cache = new KvCacheOptions { Window = 32 };
        var (loop, pool) = model.Start(cache, 4 * new KvCacheFactory(cache, model.Shape).PeakBytesFor(300), maxSequences: 8, prefillChunk: 64);
        var random = new Random(1);
        var sequences = Enumerable.Range(0, 20).Select(_ => model.Sequence([.. Tokens(random, 150)], 100)).ToList();
        sequences.ForEach(loop.Submit);
        while (loop.Running < 3)
            await Task.Delay(1);

        loop.Dispose();

        foreach (var sequence in sequences)
        {
            try
            {
                await ModelLoop.ReadAsync(sequence);
            }
            catch (LocalLlmException e)
            {
                e.Message.ShouldContain("disposed");
            }
        }

        (pool.UsedBytes, pool.IdleBytes, loop.Running, loop.Waiting).ShouldBe((0, 0, 0, 0));
    }

    // A follow-up turn that continues a cache adds in another order than one that is computed anew: then a token may differ where the two best are as good as equal.
    private static async Task CompareAlone(ModelLoop model, KvCacheOptions cache, IEnumerable<(int[] Prompt, string Text)> answers, bool isExact)
    {
        var logits = new ConcurrentDictionary<long, float[]>();
        var (loop, _) = model.Start(cache, null, maxSequences: 1, prefillChunk: 64, (batch, values) => Observe(batch, values, logits));
        using (loop)
        {
            foreach (var (prompt, text) in answers)
            {
                logits.Clear();
                var actual = Ids(model, text);
                var sequence = model.Sequence(prompt, actual.Count);
                loop.Submit(sequence);
                var expected = Ids(model, (await ModelLoop.ReadAsync(sequence)).Text);
                if (isExact)
                    actual.ShouldBe(expected);
                var differs = Enumerable.Range(0, Math.Min(actual.Count, expected.Count)).FirstOrDefault(i => actual[i] != expected[i], -1);
                if (differs < 0)
                    continue;
                var row = logits[prompt.Length + differs - 1];
                (row.Max() - row[actual[differs]]).ShouldBeLessThan(0.02f * (row.Max() - row.Min()), $"token {differs} of the answer to {prompt.Length} tokens");
            }
        }
    }

    private static List<int> Ids(ModelLoop model, string text) =>
        [.. text.Split("<end>").SelectMany((part, i) => i == 0 ? model.Tokenizer.Encode(part) : [39, .. model.Tokenizer.Encode(part)])];

    private static void Observe(StepBatch batch, Tensor values, ConcurrentDictionary<long, float[]> logits)
    {
        if (values.size(0) == 0)
            return;
        using var row = values[0].contiguous();
        using var index = batch.LogitRows[0];
        using var position = batch.Positions[index];
        logits[position.item<long>()] = row.data<float>().ToArray();
    }

    private static List<int> Tokens(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => random.Next(39))];
}
