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
        using var model = new ModelLoop(backend, type, kernelsForPrompts: true);
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
}
