using LocalLlm.Batching;
using LocalLlm.Evaluation.Models;
using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Evaluation.Decoding;

/// <summary>
/// Runs given tokens through a model and a cache. Every token attends to the cache as it would if the tokens came one at a time: a plan
/// cuts each chunk where the cache changes, so the chunks only save time.
/// </summary>
internal static class TeacherForcing
{
    private const int MostChunkTokens = 256;
    private const long MostLogits = 32 << 20; // 128 MiB of float32

    /// <summary>Runs the tokens.</summary>
    /// <param name="model">The model.</param>
    /// <param name="cache">Empty, or the tokens before these; keeps them afterwards.</param>
    /// <param name="ids">The tokens.</param>
    /// <param name="consume">
    /// Gets the index of a chunk's first token and the chunk's logits, [n, V] float32: row i is what follows token first + i. They are
    /// freed after the call. Null if nobody wants them.
    /// </param>
    /// <param name="promptEnds">Lengths of the sequence at which a prompt ends, ascending; null for none.</param>
    /// <param name="cancellationToken">Ends the run between two chunks.</param>
    /// <exception cref="ArgumentException">The tokens exceed the model's context.</exception>
    /// <exception cref="LocalLlmException">Numbers are not finite, or fit no page.</exception>
    public static void Run(
        EvaluatedModel model, IKvCache cache, IReadOnlyList<int> ids, Action<int, Tensor>? consume, IReadOnlyList<int>? promptEnds = null,
        CancellationToken cancellationToken = default)
    {
        if (cache.Length + ids.Count > model.ContextTokens)
        {
            throw new ArgumentException(
                $"{model.Name} has a context of {model.ContextTokens} tokens, got {cache.Length + ids.Count}; lower --tokens.");
        }

        using var noGradient = no_grad();
        var most = (int)Math.Clamp(MostLogits / model.Decoder.Config.VocabSize, 1, MostChunkTokens);
        for (var start = 0; start < ids.Count;)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var nextEnd = promptEnds?.FirstOrDefault(e => e > cache.Length) ?? 0;
            var count = Math.Min(most, ids.Count - start);
            if (nextEnd > 0)
                count = Math.Min(count, nextEnd - cache.Length);
            using var scope = NewDisposeScope();
            var logits = Step(model, cache, [.. ids.Skip(start).Take(count)], allLogits: consume is not null);
            consume?.Invoke(start, logits);
            if (cache.Length == nextEnd)
                cache.EndPrompt();
            start += count;
        }
    }

    /// <summary>Appends tokens to a cache in one step.</summary>
    /// <returns>[n, V] float32, or [1, V] for the last token alone.</returns>
    /// <exception cref="LocalLlmException">Numbers are not finite, or fit no page.</exception>
    public static Tensor Step(EvaluatedModel model, IKvCache cache, int[] ids, bool allLogits)
    {
        using var noGradient = no_grad();
        using var scope = NewDisposeScope();
        var count = ids.Length;
        var slice = new StepSlice(cache, 0, count, cache.PlanAppend(count));
        var positions = Enumerable.Range(cache.Length, count).Select(p => (long)p).ToArray();
        var rows = allLogits ? [.. Enumerable.Range(0, count).Select(r => (long)r)] : new long[] { count - 1 };
        var batch = new StepBatch(tensor(Array.ConvertAll(ids, id => (long)id)), tensor(positions), tensor(rows), [slice]);
        var logits = model.Decoder.Forward(batch, model.Attention);
        if (slice.Fault is { } fault)
            throw fault;
        cache.Commit(slice.Plan);
        return logits.MoveToOuterDisposeScope();
    }
}
