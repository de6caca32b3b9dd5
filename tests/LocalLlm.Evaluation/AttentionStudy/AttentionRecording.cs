using LocalLlm.Attention;
using LocalLlm.Batching;
using LocalLlm.Evaluation.Models;
using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Evaluation.AttentionStudy;

/// <summary>What one layer's attention was given, and gave, over a whole text with full precision.</summary>
/// <param name="Queries">[T, Hq, D] after rotary embedding.</param>
/// <param name="Keys">[T, Hkv, D] after rotary embedding.</param>
/// <param name="Values">[T, Hkv, D].</param>
/// <param name="Outputs">[T, Hq, D].</param>
/// <param name="Scale">Factor of q·k.</param>
/// <param name="SlidingWindow">Positions that the layer attends to; null for all.</param>
internal sealed record RecordedLayer(Tensor Queries, Tensor Keys, Tensor Values, Tensor Outputs, double Scale, int? SlidingWindow);

/// <summary>
/// Records the attention of a model over a text, and replays it through other caches: what differs then is the cache alone, layer by layer.
/// </summary>
internal sealed class AttentionRecording : IDisposable
{
    private const int ChunkTokens = 256;

    private readonly EvaluatedModel model;
    private readonly List<RecordedLayer> layers = [];

    /// <summary>Runs a text through a model with a full-precision cache.</summary>
    public AttentionRecording(EvaluatedModel model, IReadOnlyList<int> ids, CancellationToken cancellationToken)
    {
        this.model = model;
        Tokens = ids.Count;
        using var noGradient = no_grad();
        var recorder = new Recorder(model.Attention, model.Shape.Layers);
        try
        {
            using var cache = new DenseKvCache(model.Shape);
            foreach (var chunk in ids.Chunk(ChunkTokens))
            {
                cancellationToken.ThrowIfCancellationRequested();
                using var scope = NewDisposeScope();
                var batch = BatchOf(cache, chunk);
                model.Decoder.Forward(batch, recorder);
                cache.Commit(batch.Slices[0].Plan);
            }

            for (var layer = 0; layer < model.Shape.Layers; layer++)
                layers.Add(recorder.Join(layer));
        }
        finally
        {
            recorder.Dispose();
        }
    }

    /// <summary>Tokens of the text.</summary>
    public int Tokens { get; }

    /// <summary>The layers.</summary>
    public IReadOnlyList<RecordedLayer> Layers => layers;

    /// <summary>
    /// Gives the recorded queries, keys and values to another cache, as its owner would, and hands each layer's outputs of each chunk over.
    /// </summary>
    /// <param name="cache">Empty.</param>
    /// <param name="promptEnds">Lengths at which a prompt ends, ascending; the cache is told.</param>
    /// <param name="consume">Gets the layer, the index of the chunk's first token and [n, Hq, D], which is freed after the call.</param>
    /// <param name="cancellationToken">Ends the run between two chunks.</param>
    public void Replay(
        IKvCache cache, IReadOnlyList<int> promptEnds, Action<int, int, Tensor> consume, CancellationToken cancellationToken)
    {
        using var noGradient = no_grad();
        for (var start = 0; start < Tokens; start = cache.Length)
        {
            cancellationToken.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            var nextEnd = promptEnds.FirstOrDefault(e => e > start, Tokens);
            var count = Math.Min(ChunkTokens, Math.Min(Tokens, nextEnd) - start);
            var batch = BatchOf(cache, new int[count]);
            for (var index = 0; index < layers.Count; index++)
            {
                var layer = layers[index];
                var output = model.Attention.Attend(
                    index, layer.Queries.narrow(0, start, count), layer.Keys.narrow(0, start, count), layer.Values.narrow(0, start, count),
                    layer.Scale, layer.SlidingWindow, batch);
                if (batch.Slices[0].Fault is { } fault)
                    throw fault;
                consume(index, start, output);
            }

            cache.Commit(batch.Slices[0].Plan);
            if (promptEnds.Contains(cache.Length))
                cache.EndPrompt();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var layer in layers)
        {
            foreach (var tensor in new[] { layer.Queries, layer.Keys, layer.Values, layer.Outputs })
                tensor.Dispose();
        }
    }

    private static StepBatch BatchOf(IKvCache cache, int[] ids)
    {
        var slice = new StepSlice(cache, 0, ids.Length, cache.PlanAppend(ids.Length));
        return new StepBatch(
            tensor(Array.ConvertAll(ids, id => (long)id)), arange(cache.Length, cache.Length + ids.Length),
            tensor(new long[] { ids.Length - 1 }), [slice]);
    }

    private sealed class Recorder(IAttentionBackend inner, int layers) : IAttentionBackend, IDisposable
    {
        private readonly List<Tensor>[] parts = [.. Enumerable.Range(0, 4 * layers).Select(_ => new List<Tensor>())];
        private readonly (double Scale, int? Window)[] settings = new (double, int?)[layers];

        public Tensor Attend(int layer, Tensor q, Tensor k, Tensor v, double scale, int? slidingWindow, StepBatch batch)
        {
            settings[layer] = (scale, slidingWindow);
            var output = inner.Attend(layer, q, k, v, scale, slidingWindow, batch);
            Tensor[] tensors = [q, k, v, output];
            for (var i = 0; i < tensors.Length; i++)
                parts[(4 * layer) + i].Add(tensors[i].clone().DetachFromDisposeScope());
            return output;
        }

        public RecordedLayer Join(int layer)
        {
            var whole = Enumerable.Range(4 * layer, 4).Select(i => cat(parts[i], 0).DetachFromDisposeScope()).ToArray();
            return new(whole[0], whole[1], whole[2], whole[3], settings[layer].Scale, settings[layer].Window);
        }

        public void Complete(StepBatch batch) => inner.Complete(batch);

        public void Dispose()
        {
            foreach (var tensor in parts.SelectMany(p => p))
                tensor.Dispose();
        }
    }
}
