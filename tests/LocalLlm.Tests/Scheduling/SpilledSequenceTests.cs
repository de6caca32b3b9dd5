using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Scheduling;

/// <summary>Sequences that are preempted into a spill directory and go on from there, over real caches.</summary>
public sealed class SpilledSequenceTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("spill-loop-").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [InlineData(KvCacheKind.Dense, AttentionBackend.Cpu, WeightType.Float32)]
    [InlineData(KvCacheKind.StreamingQuant, AttentionBackend.Cpu, WeightType.Float32)]
    [InlineData(KvCacheKind.StreamingQuant, AttentionBackend.Torch, WeightType.BFloat16)]
    [InlineData(KvCacheKind.LogQuant, AttentionBackend.Cpu, WeightType.BFloat16)]
    [InlineData(KvCacheKind.PartialLogQuant, AttentionBackend.Cpu, WeightType.Float32)]
    [InlineData(KvCacheKind.Kivi, AttentionBackend.Torch, WeightType.Float32)]
    [InlineData(KvCacheKind.HuggingFaceKivi, AttentionBackend.Cpu, WeightType.Float32)]
    public async Task Preempted_GoesOnFromItsFile_WithTheBitsOfTheOneAlone(KvCacheKind kind, AttentionBackend backend, WeightType type)
    {
        using var model = new ModelLoop(backend, type);
        var cache = new KvCacheOptions { Kind = kind, Window = 32, RetainedConversations = 0 };
        var random = new Random(1);
        var prompts = Enumerable.Range(0, 4).Select(i => Enumerable.Range(0, 300 + (i * 10)).Select(_ => random.Next(39)).ToArray()).ToArray();
        var expected = new List<string>();
        var (alone, _) = model.Start(cache, null, maxSequences: 1, prefillChunk: 96);
        using (alone)
        {
            foreach (var prompt in prompts)
            {
                var sequence = model.Sequence(prompt, 80);
                alone.Submit(sequence);
                expected.Add((await ModelLoop.ReadAsync(sequence)).Text);
            }
        }

        // Each comes, of a higher priority, while those before it are somewhere in their prompts or answers.
        var memory = 2 * new KvCacheFactory(cache, model.Shape).PeakBytesFor(420);
        var sequences = prompts.Select((prompt, i) => model.Sequence(prompt, 80, priority: i)).ToList();
        LocalLlm.Scheduling.EngineLoop? loop = null;
        var (rows, submitted) = (0L, 1);
        (loop, var pool) = model.Start(
            cache, memory, maxSequences: 2, prefillChunk: 96, (batch, _) =>
            {
                rows += batch.TokenIds.size(0);
                while (submitted < sequences.Count && rows >= 150 * submitted)
                    loop!.Submit(sequences[submitted++]);
            },
            directory);
        using (loop)
        {
            loop.Submit(sequences[0]);
            for (var i = 0; i < prompts.Length; i++)
                (await ModelLoop.ReadAsync(sequences[i])).Text.ShouldBe(expected[i]);
            loop.Preemptions.ShouldBeGreaterThan(0);
        }

        // No token twice, but for prompts that were interrupted before they were worth a file.
        rows.ShouldBeInRange(prompts.Sum(p => p.Length + 79), prompts.Sum(p => p.Length + 79) + (loop.Preemptions * 127));
        pool.PeakBytes.ShouldBeLessThanOrEqualTo(memory);
        (pool.UsedBytes, pool.IdleBytes).ShouldBe((0, 0));
    }

    [Theory]
    [InlineData(KvCacheKind.Dense)]
    [InlineData(KvCacheKind.StreamingQuant)]
    [InlineData(KvCacheKind.LogQuant)]
    [InlineData(KvCacheKind.Kivi)]
    public async Task PromptAlone_SavedUnderAName_ComesBackWithoutAStep(KvCacheKind kind)
    {
        using var model = new ModelLoop(AttentionBackend.Cpu, WeightType.Float32);
        var cache = new KvCacheOptions { Kind = kind, Window = 32, RetainedConversations = 2 };
        var random = new Random(2);
        int[] prompt = [.. Enumerable.Range(0, 500).Select(_ => random.Next(39))];
        var rows = 0L;
        string expected;
        var (loop, pool) = model.Start(cache, null, maxSequences: 2, prefillChunk: 96, (batch, _) => rows += batch.TokenIds.size(0), directory);
        using (loop)
        {
            var saving = model.Sequence(prompt, 0, saveName: "a");
            loop.Submit(saving);
            var (text, end) = await ModelLoop.ReadAsync(saving);
            (text, end.SampledIds.Count, end.Usage.CachedPromptTokens).ShouldBe(("", 0, 0));
            saving.Saved.ShouldNotBeNull().Tokens.ShouldBe(prompt);
            (await saving.Saved.Written).ShouldBeNull();

            // In memory it is there already.
            var again = model.Sequence(prompt, 0);
            loop.Submit(again);
            (await ModelLoop.ReadAsync(again)).End.Usage.CachedPromptTokens.ShouldBe(prompt.Length);
            rows.ShouldBe(prompt.Length);
            var next = model.Sequence([.. prompt, 1, 2, 3], 20);
            loop.Submit(next);
            expected = (await ModelLoop.ReadAsync(next)).Text;
        }

        (pool.UsedBytes, pool.IdleBytes).ShouldBe((0, 0));
        foreach (var other in Directory.GetFiles(directory, "tokens-*"))
            File.Delete(other);
        rows = 0;
        (loop, pool) = model.Start(cache, null, maxSequences: 2, prefillChunk: 96, (batch, _) => rows += batch.TokenIds.size(0), directory);
        using (loop)
        {
            var restoring = model.Sequence(prompt, 0);
            loop.Submit(restoring);
            (await ModelLoop.ReadAsync(restoring)).End.Usage.CachedPromptTokens.ShouldBe(prompt.Length);
            rows.ShouldBe(0);
            var next = model.Sequence([.. prompt, 1, 2, 3], 20);
            loop.Submit(next);
            (await ModelLoop.ReadAsync(next)).Text.ShouldBe(expected);
            rows.ShouldBe(3 + 19);
        }

        (pool.UsedBytes, pool.IdleBytes).ShouldBe((0, 0));
        File.Exists(Directory.GetFiles(directory, "name-*").ShouldHaveSingleItem()).ShouldBeTrue();
    }
}
