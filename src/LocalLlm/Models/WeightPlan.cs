using LocalLlm.Loading;
using static TorchSharp.torch;

namespace LocalLlm.Models;

/// <summary>A stored tensor that becomes a weight or some of its rows.</summary>
/// <param name="Name">Its name in the checkpoint.</param>
/// <param name="Shape">The shape it must have.</param>
internal sealed record StoredPart(string Name, IReadOnlyList<long> Shape);

/// <summary>A weight in memory: stored tensors laid one below the other.</summary>
/// <param name="Shape">Its shape; the sum of its parts' rows comes first.</param>
/// <param name="Parts">The stored tensors.</param>
internal sealed record PlannedWeight(IReadOnlyList<long> Shape, IReadOnlyList<StoredPart> Parts)
{
    /// <summary>A weight that is one stored tensor.</summary>
    public static PlannedWeight Of(string name, params long[] shape) => new(shape, [new StoredPart(name, shape)]);

    /// <summary>A weight of stored tensors with the same columns: <paramref name="columns"/> is null where they are vectors.</summary>
    public static PlannedWeight Stack(long? columns, params (string Name, long Rows)[] parts) =>
        new(Shaped(parts.Sum(p => p.Rows), columns), [.. parts.Select(p => new StoredPart(p.Name, Shaped(p.Rows, columns)))]);

    private static long[] Shaped(long rows, long? columns) => columns is { } count ? [rows, count] : [rows];
}

/// <summary>The weights of one layer: T is a plan or a tensor.</summary>
/// <param name="InputNorm">[H].</param>
/// <param name="Qkv">[(Hq + 2·Hkv)·D, H]: query, key and value projections, one below the other.</param>
/// <param name="QkvBias">[(Hq + 2·Hkv)·D], if the model has it.</param>
/// <param name="QueryNorm">[D], if the model has it.</param>
/// <param name="KeyNorm">[D], if the model has it.</param>
/// <param name="Output">[H, Hq·D].</param>
/// <param name="OutputBias">[H], if the model has it.</param>
/// <param name="PostAttentionNorm">[H].</param>
/// <param name="GateUp">[2·I, H]: gate and up projections, one below the other.</param>
/// <param name="GateUpBias">[2·I], if the model has it.</param>
/// <param name="Down">[H, I].</param>
/// <param name="DownBias">[H], if the model has it.</param>
internal sealed record LayerWeights<T>(
    T InputNorm, T Qkv, T? QkvBias, T? QueryNorm, T? KeyNorm, T Output, T? OutputBias,
    T PostAttentionNorm, T GateUp, T? GateUpBias, T Down, T? DownBias) where T : class
{
    /// <summary>All that are there.</summary>
    public IEnumerable<T> All =>
        new[] { InputNorm, Qkv, QkvBias, QueryNorm, KeyNorm, Output, OutputBias, PostAttentionNorm, GateUp, GateUpBias, Down, DownBias }.OfType<T>();

    /// <summary>The same weights, each turned into another thing.</summary>
    public LayerWeights<TResult> Select<TResult>(Func<T, TResult> selector) where TResult : class
    {
        return new(
            selector(InputNorm), selector(Qkv), Optional(QkvBias), Optional(QueryNorm), Optional(KeyNorm), selector(Output), Optional(OutputBias),
            selector(PostAttentionNorm), selector(GateUp), Optional(GateUpBias), selector(Down), Optional(DownBias));

        TResult? Optional(T? weight) => weight is null ? null : selector(weight);
    }
}

/// <summary>
/// Which stored tensors make up a model's weights. Projections that read the same input are one matrix in memory, as Phi-3 stores them, so that
/// a step multiplies once where other checkpoints have three tensors.
/// </summary>
/// <param name="Embedding">[V, H].</param>
/// <param name="Layers">The layers.</param>
/// <param name="FinalNorm">[H].</param>
/// <param name="Head">[V, H]; null where it is the embedding, or where there is none.</param>
internal sealed record WeightPlan(PlannedWeight Embedding, IReadOnlyList<LayerWeights<PlannedWeight>> Layers, PlannedWeight FinalNorm, PlannedWeight? Head)
{
    private const string EmbeddingName = "embed_tokens.weight";
    private const string HeadName = "lm_head.weight";

    /// <summary>All weights, in the order in which they are loaded.</summary>
    public IEnumerable<PlannedWeight> All =>
        new[] { Embedding }.Concat(Layers.SelectMany(l => l.All)).Append(FinalNorm).Concat(Head is null ? [] : [Head]);

    /// <summary>The stored tensors that are read.</summary>
    public IEnumerable<StoredPart> Parts => All.SelectMany(w => w.Parts);

    /// <summary>The plan of a model.</summary>
    /// <param name="config">Its configuration.</param>
    /// <param name="stored">Its tensors: embedding models are often stored without the "model." that names of whole models begin with.</param>
    public static WeightPlan For(ModelConfig config, IReadOnlyDictionary<string, StoredTensor>? stored = null)
    {
        var prefix = stored is not null && !stored.ContainsKey("model." + EmbeddingName) && stored.ContainsKey(EmbeddingName) ? "" : "model.";
        var embedding = PlannedWeight.Of(prefix + EmbeddingName, config.VocabSize, config.HiddenSize);
        var layers = Enumerable.Range(0, config.Layers).Select(layer => PlanLayer(config, $"{prefix}layers.{layer}.")).ToArray();
        var finalNorm = PlannedWeight.Of(prefix + "norm.weight", config.HiddenSize);
        var hasOwnHead = config.Architecture.HasHead && !config.TieWordEmbeddings;
        return new(embedding, layers, finalNorm, hasOwnHead ? PlannedWeight.Of(HeadName, config.VocabSize, config.HiddenSize) : null);
    }

    /// <summary>Everything wrong with a checkpoint for this plan: missing, unknown, of the wrong shape or type.</summary>
    public IEnumerable<string> Check(IReadOnlyDictionary<string, StoredTensor> tensors, ModelConfig config)
    {
        var expected = new HashSet<string>();
        foreach (var part in Parts)
        {
            expected.Add(part.Name);
            if (!tensors.TryGetValue(part.Name, out var stored))
                yield return $"tensor {part.Name} of shape [{string.Join(", ", part.Shape)}] is missing.{MissingHint(part.Name)}";
            else if (!stored.Shape.SequenceEqual(part.Shape))
                yield return $"tensor {part.Name} has shape {stored.ShapeText}; config.json asks for [{string.Join(", ", part.Shape)}].";
            else if (stored.Type is null)
                yield return $"tensor {part.Name} has dtype {stored.TypeName}; weights must be BF16, F16 or F32.";
        }

        foreach (var name in tensors.Keys.Where(name => !expected.Contains(name) && !IsHarmless(name, config)))
            yield return $"tensor {LoadErrors.Quote(name)} of shape {tensors[name].ShapeText} is not part of a {config.Architecture.Name} with this config.json.";
    }

    private static string MissingHint(string name) =>
        name == HeadName ? " config.json has tie_word_embeddings false (or leaves it out); set it to true if the output projection is the embedding." : "";

    // Rotary frequencies follow from config.json; some old checkpoints store them all the same. Tied models may store the head again.
    private static bool IsHarmless(string name, ModelConfig config) =>
        name.EndsWith("rotary_emb.inv_freq", StringComparison.Ordinal) || (name == HeadName && config.TieWordEmbeddings);

    private static LayerWeights<PlannedWeight> PlanLayer(ModelConfig config, string prefix)
    {
        var (attention, mlp) = (prefix + "self_attn.", prefix + "mlp.");
        long hidden = config.HiddenSize, intermediate = config.IntermediateSize;
        long queryRows = config.QueryHeads * config.HeadDim, kvRows = config.KvHeads * config.HeadDim;
        return new(
            InputNorm: PlannedWeight.Of(prefix + "input_layernorm.weight", hidden),
            Qkv: Qkv("weight", hidden),
            QkvBias: config.QkvBias ? Qkv("bias", null) : null,
            QueryNorm: config.Architecture.QkNorm ? PlannedWeight.Of(attention + "q_norm.weight", config.HeadDim) : null,
            KeyNorm: config.Architecture.QkNorm ? PlannedWeight.Of(attention + "k_norm.weight", config.HeadDim) : null,
            Output: PlannedWeight.Of(attention + "o_proj.weight", hidden, queryRows),
            OutputBias: config.OutputBias ? PlannedWeight.Of(attention + "o_proj.bias", hidden) : null,
            PostAttentionNorm: PlannedWeight.Of(prefix + "post_attention_layernorm.weight", hidden),
            GateUp: GateUp("weight", hidden),
            GateUpBias: config.MlpBias ? GateUp("bias", null) : null,
            Down: PlannedWeight.Of(mlp + "down_proj.weight", hidden, intermediate),
            DownBias: config.MlpBias ? PlannedWeight.Of(mlp + "down_proj.bias", hidden) : null);

        PlannedWeight Qkv(string kind, long? columns) => config.Architecture.IsFused
            ? PlannedWeight.Stack(columns, ($"{attention}qkv_proj.{kind}", queryRows + (2 * kvRows)))
            : PlannedWeight.Stack(columns, ($"{attention}q_proj.{kind}", queryRows), ($"{attention}k_proj.{kind}", kvRows), ($"{attention}v_proj.{kind}", kvRows));

        PlannedWeight GateUp(string kind, long? columns) => config.Architecture.IsFused
            ? PlannedWeight.Stack(columns, ($"{mlp}gate_up_proj.{kind}", 2 * intermediate))
            : PlannedWeight.Stack(columns, ($"{mlp}gate_proj.{kind}", intermediate), ($"{mlp}up_proj.{kind}", intermediate));
    }
}
