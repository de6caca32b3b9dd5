using LocalLlm.Attention;
using LocalLlm.Batching;
using LocalLlm.Interop;
using LocalLlm.Loading;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace LocalLlm.Models;

/// <summary>
/// The decoder network of the Llama family: embedding, layers of attention and SwiGLU with RMSNorm before each, a last norm, logits. Shapes:
/// T packed tokens, L rows with logits, H hidden, I intermediate, Hq query heads, Hkv KV heads, D head_dim, V vocabulary. Weights and the
/// residual stream have the weight type; norms and rotations compute in float32. Used by the engine thread.
/// </summary>
internal sealed class DecoderModel : IDisposable
{
    private readonly DecoderWeights weights;
    private readonly RotaryEmbedding rotary;
    private readonly Scalar normEpsilon;

    private DecoderModel(ModelConfig config, DecoderWeights weights, RotaryEmbedding rotary, int contextTokens, long parameterCount)
    {
        (Config, this.weights, this.rotary, ContextTokens, ParameterCount) = (config, weights, rotary, contextTokens, parameterCount);
        normEpsilon = config.NormEpsilon;
    }

    /// <summary>The model's configuration.</summary>
    public ModelConfig Config { get; }

    /// <summary>The context length its rotary frequencies were chosen for; see <see cref="RotaryFrequencies.Compute"/>.</summary>
    public int ContextTokens { get; }

    /// <summary>Weights of the model, tied ones counted once.</summary>
    public long ParameterCount { get; }

    /// <summary>The type of its weights, its queries, keys and values.</summary>
    public ScalarType Type => weights.Embedding.dtype;

    /// <summary>Where it runs.</summary>
    public Device Device => weights.Embedding.device;

    /// <summary>Checks a folder's tensors against its configuration and loads them.</summary>
    /// <param name="folder">The folder, opened; not needed any more afterwards.</param>
    /// <param name="device">Where the model will run.</param>
    /// <param name="weightType">In which type.</param>
    /// <param name="contextTokens">The longest context that will be used; null for the model's own.</param>
    /// <param name="progress">Told the bytes loaded.</param>
    /// <param name="cancellationToken">Ends the loading; what was loaded is freed.</param>
    /// <exception cref="ModelLoadException">Lists everything that is wrong with the folder, or says that memory ran out.</exception>
    public static DecoderModel Load(
        ModelFolder folder, Device device, WeightType weightType = WeightType.Auto, int? contextTokens = null,
        IProgress<LoadProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        var plan = folder.Config is null ? null : WeightPlan.For(folder.Config);
        folder.ThrowIfInvalid(plan is null || folder.Weights is null ? null : plan.Check(folder.Weights.Tensors, folder.Config!));
        var (config, checkpoint) = (folder.Config!, folder.Weights!);
        var context = contextTokens ?? config.MaxPositions;
        ArgumentOutOfRangeException.ThrowIfLessThan(context, 1, nameof(contextTokens));

        var stored = plan!.Parts.Select(p => checkpoint.Tensors[p.Name]).ToArray();
        var type = WeightTypes.Choose(weightType, device, stored);
        var weights = DecoderWeights.Load(plan, checkpoint, device, type, progress, cancellationToken);
        try
        {
            return new DecoderModel(config, weights, new RotaryEmbedding(config.Rope, context, device), context, stored.Sum(t => t.ElementCount));
        }
        catch
        {
            weights.Dispose();
            throw;
        }
    }

    /// <summary>Runs one step: every token of the batch passes all layers once.</summary>
    /// <param name="batch">The step, its tensors on the model's device.</param>
    /// <param name="attention">Attends over the caches of the batch and appends to them; it gets q, k and v as views, not contiguous ones.</param>
    /// <returns>[L, V] float32: the logits of the rows <see cref="StepBatch.LogitRows"/>.</returns>
    public Tensor Forward(StepBatch batch, IAttentionBackend attention)
    {
        using var scope = NewDisposeScope();
        var x = weights.Embedding.index_select(0, batch.TokenIds);   // [T, H]
        var (cosine, sine) = rotary.At(batch.Positions);             // [T, 1, R/2]

        for (var layer = 0; layer < weights.Layers.Count; layer++)
        {
            // One scope a layer, so that a step's memory does not grow with the layers; x itself is changed in place.
            using var layerScope = NewDisposeScope();
            var layerWeights = weights.Layers[layer];
            x.add_(Attend(layer, Norm(x, layerWeights.InputNorm), cosine, sine, batch, attention), Scalars.One);
            x.add_(FeedForward(Norm(x, layerWeights.PostAttentionNorm), layerWeights), Scalars.One);
        }

        var last = Norm(x.index_select(0, batch.LogitRows), weights.FinalNorm);   // [L, H]
        var logits = linear(last, weights.Head).to(ScalarType.Float32);           // [L, V]
        return logits.MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        weights.Dispose();
        rotary.Dispose();
        normEpsilon.Dispose();
    }

    // Grouped-query attention; x: [T, H] normed -> [T, H].
    private Tensor Attend(int layer, Tensor x, Tensor cosine, Tensor sine, StepBatch batch, IAttentionBackend attention)
    {
        var layerWeights = weights.Layers[layer];
        int queryHeads = Config.QueryHeads, kvHeads = Config.KvHeads, headDim = Config.HeadDim;
        var heads = linear(x, layerWeights.Qkv, layerWeights.QkvBias).view(-1, queryHeads + (2 * kvHeads), headDim);   // [T, Hq + 2·Hkv, D]
        var qk = heads.narrow(1, 0, queryHeads + kvHeads);                                                             // [T, Hq + Hkv, D]
        var v = heads.narrow(1, queryHeads + kvHeads, kvHeads);                                                        // [T, Hkv, D]
        if (layerWeights is { QueryNorm: { } queryNorm, KeyNorm: { } keyNorm })
            qk = cat([Norm(qk.narrow(1, 0, queryHeads), queryNorm), Norm(qk.narrow(1, queryHeads, kvHeads), keyNorm)], 1);
        qk = rotary.Rotate(qk, cosine, sine);
        var q = qk.narrow(1, 0, queryHeads);          // [T, Hq, D]
        var k = qk.narrow(1, queryHeads, kvHeads);    // [T, Hkv, D]

        var attended = attention.Attend(layer, q, k, v, 1 / Math.Sqrt(headDim), Config.SlidingWindows[layer], batch);   // [T, Hq, D]
        return linear(attended.reshape(-1, queryHeads * headDim), layerWeights.Output, layerWeights.OutputBias);
    }

    // SwiGLU (arXiv 2002.05202); x: [T, H] normed -> [T, H].
    private Tensor FeedForward(Tensor x, LayerWeights<Tensor> layerWeights)
    {
        var gateUp = linear(x, layerWeights.GateUp, layerWeights.GateUpBias);            // [T, 2·I]
        var gate = silu(gateUp.narrow(1, 0, Config.IntermediateSize));                    // [T, I]
        var up = gateUp.narrow(1, Config.IntermediateSize, Config.IntermediateSize);      // [T, I]
        return linear(gate.mul_(up), layerWeights.Down, layerWeights.DownBias);
    }

    // RMSNorm (arXiv 1910.07467) over the last dimension: computed in float32, rounded, then weighted, as Hugging Face does.
    private Tensor Norm(Tensor x, Tensor weight)
    {
        using var scope = NewDisposeScope();
        var wide = x.to(ScalarType.Float32);
        var inverse = wide.square().mean([-1], keepdim: true).add_(normEpsilon, Scalars.One).rsqrt_();
        return wide.mul(inverse).to(x.dtype).mul_(weight).MoveToOuterDisposeScope();
    }
}
