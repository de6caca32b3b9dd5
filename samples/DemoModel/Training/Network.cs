using TorchSharp;
using static TorchSharp.torch;

namespace DemoModel.Training;

/// <summary>
/// The demo model as a differentiable function: float32 weights under their Hugging Face names, activations in
/// <paramref name="compute"/>. Tied embeddings; no cache, whole sequences at a time.
/// </summary>
internal sealed class Network : IDisposable
{
    private readonly ScalarType _compute;
    private Tensor? _cos, _sin;

    public Network(NetworkConfig config, ScalarType compute, long seed)
    {
        Config = config;
        _compute = compute;
        random.manual_seed(seed);
        int hidden = config.HiddenSize, queries = config.QueryHeads * config.HeadDim, keys = config.KvHeads * config.HeadDim;
        Add("model.embed_tokens.weight", randn(config.VocabularySize, hidden) * 0.03);
        for (int i = 0; i < config.Layers; i++)
        {
            string layer = $"model.layers.{i}.";
            Add(layer + "input_layernorm.weight", ones(hidden));
            Add(layer + "self_attn.q_proj.weight", Uniform(queries, hidden));
            Add(layer + "self_attn.k_proj.weight", Uniform(keys, hidden));
            Add(layer + "self_attn.v_proj.weight", Uniform(keys, hidden));
            // Blocks start as the identity: their last projection is zero.
            Add(layer + "self_attn.o_proj.weight", zeros(hidden, queries));
            Add(layer + "self_attn.q_norm.weight", ones(config.HeadDim));
            Add(layer + "self_attn.k_norm.weight", ones(config.HeadDim));
            Add(layer + "post_attention_layernorm.weight", ones(hidden));
            Add(layer + "mlp.gate_proj.weight", Uniform(config.IntermediateSize, hidden));
            Add(layer + "mlp.up_proj.weight", Uniform(config.IntermediateSize, hidden));
            Add(layer + "mlp.down_proj.weight", zeros(hidden, config.IntermediateSize));
        }

        Add("model.norm.weight", ones(hidden));
        using (no_grad())
        {
            using DisposeScope scope = NewDisposeScope();
            InductionCircuit.Implant(config, Weights);
        }
    }

    public NetworkConfig Config { get; }

    /// <summary>Whether tokens far back are seen as a 2-bit cache holds them; see <see cref="QuantizedAttention"/>.</summary>
    public bool QuantizesPast { get; set; }

    /// <summary>Float32 weights by Hugging Face name, in the order of the forward pass.</summary>
    public Dictionary<string, Tensor> Weights { get; } = [];

    public long ParameterCount => Weights.Values.Sum(w => w.numel());

    /// <summary>Hidden states after the last norm.</summary>
    /// <param name="ids">int64 [batch, tokens].</param>
    /// <returns>[batch, tokens, hidden] in the compute type.</returns>
    public Tensor Forward(Tensor ids)
    {
        long tokens = ids.shape[1];
        EnsureRotary();
        Tensor cos = _cos!.narrow(0, 0, tokens), sin = _sin!.narrow(0, 0, tokens);
        Tensor x = Weights["model.embed_tokens.weight"].index_select(0, ids.flatten()).view(ids.shape[0], tokens, Config.HiddenSize).to(_compute);
        for (int i = 0; i < Config.Layers; i++)
        {
            string layer = $"model.layers.{i}.";
            x = x + Attention(Norm(x, layer + "input_layernorm.weight"), layer + "self_attn.", cos, sin);
            x = x + Mlp(Norm(x, layer + "post_attention_layernorm.weight"), layer + "mlp.");
        }

        return Norm(x, "model.norm.weight");
    }

    /// <summary>float32 logits [n, vocabulary] of hidden states [n, hidden].</summary>
    public Tensor Logits(Tensor hidden) => nn.functional.linear(hidden, Weight("model.embed_tokens.weight")).to(ScalarType.Float32);

    public void Dispose()
    {
        _cos?.Dispose();
        _sin?.Dispose();
        foreach (Tensor weight in Weights.Values)
            weight.Dispose();
    }

    private Tensor Attention(Tensor x, string name, Tensor cos, Tensor sin)
    {
        long batch = x.shape[0], tokens = x.shape[1];
        int dim = Config.HeadDim, group = Config.QueryHeads / Config.KvHeads;
        Tensor q = Linear(x, name + "q_proj.weight").view(batch, tokens, Config.QueryHeads, dim);
        Tensor k = Linear(x, name + "k_proj.weight").view(batch, tokens, Config.KvHeads, dim);
        Tensor v = Linear(x, name + "v_proj.weight").view(batch, tokens, Config.KvHeads, dim);
        q = Rotate(Norm(q, name + "q_norm.weight"), cos, sin).transpose(1, 2);
        k = Rotate(Norm(k, name + "k_norm.weight"), cos, sin).transpose(1, 2).repeat_interleave(group, dim: 1);
        v = v.transpose(1, 2).repeat_interleave(group, dim: 1);
        Tensor heads = QuantizesPast
            ? QuantizedAttention.Attend(q, k, v)
            : nn.functional.scaled_dot_product_attention(q, k, v, is_casual: true);
        return Linear(heads.transpose(1, 2).reshape(batch, tokens, Config.QueryHeads * dim), name + "o_proj.weight");
    }

    private Tensor Mlp(Tensor x, string name) =>
        Linear(nn.functional.silu(Linear(x, name + "gate_proj.weight")) * Linear(x, name + "up_proj.weight"), name + "down_proj.weight");

    // x: [batch, tokens, heads, dim]; cos, sin: [tokens, 1, dim]
    private static Tensor Rotate(Tensor x, Tensor cos, Tensor sin)
    {
        Tensor[] halves = x.chunk(2, -1);
        return x * cos + cat([-halves[1], halves[0]], -1) * sin;
    }

    private Tensor Norm(Tensor x, string name)
    {
        Tensor scale = (x * x).mean([-1], keepdim: true, type: ScalarType.Float32).add(Config.NormEpsilon).rsqrt().to(_compute);
        return x * scale * Weight(name);
    }

    private Tensor Linear(Tensor x, string name) => nn.functional.linear(x, Weight(name));

    private Tensor Weight(string name) => Weights[name].to(_compute);

    private void EnsureRotary()
    {
        if (_cos is not null)
            return;
        using (no_grad())
        {
            using DisposeScope scope = NewDisposeScope();
            Tensor inverse = pow(tensor(Config.RopeTheta, ScalarType.Float64), arange(0, Config.HeadDim, 2, ScalarType.Float64) / -Config.HeadDim);
            Tensor angles = outer(arange(Config.ContextTokens, ScalarType.Float64), inverse);
            angles = cat([angles, angles], -1).unsqueeze(1);
            _cos = angles.cos().to(_compute).DetachFromDisposeScope();
            _sin = angles.sin().to(_compute).DetachFromDisposeScope();
        }
    }

    private static Tensor Uniform(long rows, long columns) =>
        (rand(rows, columns) - 0.5) * (2 * Math.Sqrt(3) * 0.5 / Math.Sqrt(columns));

    private void Add(string name, Tensor initial)
    {
        Tensor weight = initial.detach().requires_grad_(true);
        Weights.Add(name, weight.DetachFromDisposeScope());
    }
}
