using System.Diagnostics;
using LocalLlm.Attention;
using LocalLlm.Batching;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Loading;
using TorchSharp;
using static TorchSharp.torch;

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
    private readonly LayerLinears[] layerLinears;
    private readonly Linear head;
    private readonly ILayerFunctions functions;
    private long linearTicks;
    private long attentionTicks;

    private DecoderModel(ModelConfig config, DecoderWeights weights, RotaryEmbedding rotary, ILayerFunctions functions, RowMatmul? kernels, int contextTokens,
        long parameterCount)
    {
        (Config, this.weights, this.rotary, this.functions) = (config, weights, rotary, functions);
        (RowKernels, ContextTokens, ParameterCount) = (kernels, contextTokens, parameterCount);
        layerLinears = [.. weights.Layers.Select(layer => LayerLinears.Of(layer, kernels))];
        head = new Linear(weights.Head, null, kernels);
    }

    /// <summary>The model's configuration.</summary>
    public ModelConfig Config { get; }

    /// <summary>The context length its rotary frequencies were chosen for; see <see cref="RotaryFrequencies.Compute"/>.</summary>
    public int ContextTokens { get; }

    /// <summary>Weights of the model, tied ones counted once.</summary>
    public long ParameterCount { get; }

    /// <summary>The type of its weights, its queries, keys and values.</summary>
    public ScalarType Type => weights.Embedding.dtype;

    /// <summary>What multiplies rows; null where torch multiplies all.</summary>
    public RowMatmul? RowKernels { get; }

    /// <summary>The weights of each layer.</summary>
    public IReadOnlyList<LayerWeights<Tensor>> Layers => weights.Layers;

    /// <summary>The matrices that a decode step multiplies by, each once.</summary>
    public IEnumerable<Tensor> LinearWeights => weights.Layers.SelectMany(l => new[] { l.Qkv, l.Output, l.GateUp, l.Down }).Append(weights.Head);

    /// <summary>Time spent in linear layers so far; of a GPU, the time it takes to ask for them.</summary>
    public TimeSpan LinearTime => Stopwatch.GetElapsedTime(0, linearTicks);

    /// <summary>Time spent in attention so far, appending to the caches included; of a GPU, the time it takes to ask for it.</summary>
    public TimeSpan AttentionTime => Stopwatch.GetElapsedTime(0, attentionTicks);

    /// <summary>Where it runs.</summary>
    public Device Device => weights.Embedding.device;

    /// <summary>Checks a folder's tensors against its configuration and loads them.</summary>
    /// <param name="folder">The folder, opened; not needed any more afterwards.</param>
    /// <param name="device">Where the model will run.</param>
    /// <param name="weightType">In which type.</param>
    /// <param name="contextTokens">The longest context that will be used; null for the model's own.</param>
    /// <param name="progress">Told the bytes loaded.</param>
    /// <param name="team">The threads of the row kernels, on a CPU; not disposed with the model. Null leaves every linear layer to torch.</param>
    /// <param name="cancellationToken">Ends the loading; what was loaded is freed.</param>
    /// <exception cref="ModelLoadException">Lists everything that is wrong with the folder, or says that memory ran out.</exception>
    public static DecoderModel Load(
        ModelFolder folder, Device device, WeightType weightType = WeightType.Auto, int? contextTokens = null,
        IProgress<LoadProgress>? progress = null, WorkerTeam? team = null, CancellationToken cancellationToken = default)
    {
        var plan = folder.Config is null ? null : WeightPlan.For(folder.Config, folder.Weights?.Tensors);
        folder.ThrowIfInvalid(plan is null || folder.Weights is null ? null : plan.Check(folder.Weights.Tensors, folder.Config!));
        var (config, checkpoint) = (folder.Config!, folder.Weights!);
        var context = contextTokens ?? config.MaxPositions;
        ArgumentOutOfRangeException.ThrowIfLessThan(context, 1, nameof(contextTokens));

        var stored = plan!.Parts.Select(p => checkpoint.Tensors[p.Name]).ToArray();
        var type = WeightTypes.Choose(weightType, device, stored);
        var weights = DecoderWeights.Load(plan, checkpoint, device, type, progress, cancellationToken);
        RowMatmul? kernels = null;
        RotaryEmbedding? rotary = null;
        ILayerFunctions? functions = null;
        try
        {
            if (team is not null && device.type == DeviceType.CPU)
                kernels = new RowMatmul(team);
            rotary = new RotaryEmbedding(config.Rope, context, device);
            functions = kernels is null ? new TorchLayerFunctions(rotary, config.NormEpsilon) : new CpuLayerFunctions(team!, (float)config.NormEpsilon);
            return new DecoderModel(config, weights, rotary, functions, kernels, context, stored.Sum(t => t.ElementCount));
        }
        catch
        {
            functions?.Dispose();
            rotary?.Dispose();
            kernels?.Dispose();
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
        var logits = Apply(head, States(batch, attention), batch.Generated?.LogitRows).to(ScalarType.Float32);
        attention.Complete(batch); // a GPU has all of the step's work by now
        return logits.MoveToOuterDisposeScope();
    }

    /// <summary>Runs one step up to the last norm.</summary>
    /// <param name="batch">The step, its tensors on the model's device.</param>
    /// <param name="attention">Attends over the caches of the batch and appends to them.</param>
    /// <returns>[L, H] of the model's type: the states of the rows <see cref="StepBatch.LogitRows"/>, of which logits are made.</returns>
    public Tensor Hidden(StepBatch batch, IAttentionBackend attention)
    {
        var states = States(batch, attention);
        attention.Complete(batch);
        return states;
    }

    private Tensor States(StepBatch batch, IAttentionBackend attention)
    {
        using var scope = NewDisposeScope();
        var x = weights.Embedding.index_select(0, batch.TokenIds);   // [T, H]
        var (cosine, sine) = rotary.At(batch.Positions);             // [T, 1, R/2]

        // What a block adds to the residual stream x is added when the next one begins, in one pass with its norm.
        Tensor? added = null;
        for (var layer = 0; layer < weights.Layers.Count; layer++)
        {
            // One scope a layer, so that a step's memory does not grow with the layers; x itself is changed in place.
            using var layerScope = NewDisposeScope();
            var layerWeights = weights.Layers[layer];
            var attended = Attend(layer, functions.AddNorm(x, added, layerWeights.InputNorm), cosine, sine, batch, attention);
            added?.Dispose();
            added = FeedForward(layerLinears[layer], functions.AddNorm(x, attended, layerWeights.PostAttentionNorm), batch.Generated?.Rows).MoveToOuterDisposeScope();
        }

        var last = functions.AddNorm(x.index_select(0, batch.LogitRows), added!.index_select(0, batch.LogitRows), weights.FinalNorm);   // [L, H]
        return last.MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        weights.Dispose();
        rotary.Dispose();
        functions.Dispose();
        RowKernels?.Dispose();
    }

    // Grouped-query attention; x: [T, H] normed -> [T, H].
    private Tensor Attend(int layer, Tensor x, Tensor cosine, Tensor sine, StepBatch batch, IAttentionBackend attention)
    {
        var layerWeights = weights.Layers[layer];
        int queryHeads = Config.QueryHeads, kvHeads = Config.KvHeads, headDim = Config.HeadDim;
        var heads = Apply(layerLinears[layer].Qkv, x, batch.Generated?.Rows).view(-1, queryHeads + (2 * kvHeads), headDim);   // [T, Hq + 2·Hkv, D]
        if (layerWeights is { QueryNorm: { } queryNorm, KeyNorm: { } keyNorm })
        {
            functions.NormHeads(heads, 0, queryHeads, queryNorm);
            functions.NormHeads(heads, queryHeads, kvHeads, keyNorm);
        }

        var qk = functions.Rotate(heads, queryHeads + kvHeads, cosine, sine);   // [T, Hq + Hkv, D]
        var q = qk.narrow(1, 0, queryHeads);                                    // [T, Hq, D]
        var k = qk.narrow(1, queryHeads, kvHeads);                              // [T, Hkv, D]
        var v = heads.narrow(1, queryHeads + kvHeads, kvHeads);                 // [T, Hkv, D]
        var start = Stopwatch.GetTimestamp();
        var attended = attention.Attend(layer, q, k, v, 1 / Math.Sqrt(headDim), Config.SlidingWindows[layer], batch);   // [T, Hq, D]
        attentionTicks += Stopwatch.GetTimestamp() - start;
        return Apply(layerLinears[layer].Output, attended.reshape(-1, queryHeads * headDim), batch.Generated?.Rows);
    }

    // x: [T, H] normed -> [T, H].
    private Tensor FeedForward(LayerLinears linears, Tensor x, int? generatedRows) =>
        Apply(linears.Down, functions.SwiGlu(Apply(linears.GateUp, x, generatedRows)), generatedRows);

    private Tensor Apply(Linear linear, Tensor x, int? generatedRows)
    {
        var start = Stopwatch.GetTimestamp();
        var y = generatedRows is { } generated ? linear.Apply(x, generated) : linear.Apply(x);
        linearTicks += Stopwatch.GetTimestamp() - start;
        return y;
    }

    /// <summary>The linear layers of one decoder layer.</summary>
    private sealed record LayerLinears(Linear Qkv, Linear Output, Linear GateUp, Linear Down)
    {
        public static LayerLinears Of(LayerWeights<Tensor> weights, RowMatmul? kernels) => new(
            new(weights.Qkv, weights.QkvBias, kernels), new(weights.Output, weights.OutputBias, kernels),
            new(weights.GateUp, weights.GateUpBias, kernels), new(weights.Down, weights.DownBias, kernels));
    }
}
