using System.Runtime.InteropServices;
using LocalLlm.Attention;
using LocalLlm.Batching;
using LocalLlm.KvCache;
using LocalLlm.Models;
using static TorchSharp.torch;

namespace LocalLlm.Benchmarks;

/// <summary>Steps of one sequence through a model, without the engine's loop.</summary>
internal static class ModelSteps
{
    /// <summary>Runs the next tokens.</summary>
    /// <returns>[1, vocabulary] float32 of the last one; the caller's.</returns>
    public static Tensor Forward(DecoderModel model, IAttentionBackend backend, IKvCache cache, IReadOnlyList<int> tokens)
    {
        using var scope = NewDisposeScope();
        var plan = cache.PlanAppend(tokens.Count);
        long[] ids = [.. tokens.Select(t => (long)t)], positions = [.. Enumerable.Range(cache.Length, tokens.Count).Select(p => (long)p)];
        var batch = new StepBatch(tensor(ids), tensor(positions), tensor(new[] { tokens.Count - 1L }), [new StepSlice(cache, 0, tokens.Count, plan)]);
        var logits = model.Forward(batch, backend).MoveToOuterDisposeScope();
        cache.Commit(plan);
        return logits;
    }

    /// <summary>Runs one generated token of each of several conversations, as an engine packs them.</summary>
    /// <returns>[conversations, vocabulary] float32; the caller's.</returns>
    public static Tensor Decode(DecoderModel model, IAttentionBackend backend, IReadOnlyList<IKvCache> caches, IReadOnlyList<int> tokens)
    {
        using var scope = NewDisposeScope();
        long[] ids = [.. tokens.Select(t => (long)t)], positions = [.. caches.Select(c => (long)c.Length)];
        long[] rows = [.. Enumerable.Range(0, caches.Count)];
        List<StepSlice> slices = [.. caches.Select((cache, i) => new StepSlice(cache, i, 1, cache.PlanAppend(1)))];
        var batch = new StepBatch(tensor(ids), tensor(positions), tensor(rows), slices) { Generated = new GeneratedRows(caches.Count, caches.Count) };
        var logits = model.Forward(batch, backend).MoveToOuterDisposeScope();
        foreach (var slice in slices)
            slice.Cache.Commit(slice.Plan);
        return logits;
    }

    /// <summary>The numbers of logits on the CPU.</summary>
    public static Span<float> Numbers(Tensor logits) => MemoryMarshal.Cast<byte, float>(logits.bytes);

    /// <summary>Appends random keys and values, as good as any for the time it takes.</summary>
    public static void Fill(IKvCache cache, KvShape shape, int tokens)
    {
        const int chunk = 1024;
        using var numbers = randn(chunk, shape.KvHeads, shape.HeadDim, device: shape.Device).to(shape.Type);
        while (cache.Length < tokens)
        {
            var plan = cache.PlanAppend(Math.Min(chunk, tokens - cache.Length));
            for (var layer = 0; layer < shape.Layers; layer++)
            {
                for (var s = 0; s < plan.Segments.Count; s++)
                {
                    using var rows = numbers.narrow(0, plan.Segments[s].Start, plan.Segments[s].Count);
                    cache.Append(layer, rows, rows, plan, s);
                }
            }

            cache.Commit(plan);
        }
    }
}
