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

        // One that decodes, then one of a higher priority while the other is somewhere in its prompt or its answer, and so on.
        var memory = 2 * new KvCacheFactory(cache, model.Shape).PeakBytesFor(420);
        var rows = 0L;
        var (loop, pool) = model.Start(
            cache, memory, maxSequences: 2, prefillChunk: 96, (batch, _) => Interlocked.Add(ref rows, batch.TokenIds.size(0)), directory);
        using (loop)
        {
            var sequences = new List<LocalLlm.Scheduling.Sequence>();
            for (var i = 0; i < prompts.Length; i++)
            {
                sequences.Add(model.Sequence(prompts[i], 80, priority: i));
                loop.Submit(sequences[i]);
                var before = Interlocked.Read(ref rows);
                while (Interlocked.Read(ref rows) < before + 130 + (50 * i))
                    await Task.Delay(1, TestContext.Current.CancellationToken);
            }

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
