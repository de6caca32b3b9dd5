using System.Text.Json.Nodes;
using LocalLlm.Tests.Loading;

namespace LocalLlm.Tests.Models;

/// <summary>A small configuration of any architecture, and random weights for it.</summary>
internal static class RandomCheckpoint
{
    /// <summary>A configuration; fields given replace those of the common one, or with null take them out.</summary>
    public static JsonObject Config(string architecture, JsonObject? fields = null)
    {
        var config = new JsonObject
        {
            ["architectures"] = new JsonArray(architecture),
            ["hidden_size"] = 32,
            ["intermediate_size"] = 48,
            ["num_hidden_layers"] = 2,
            ["num_attention_heads"] = 4,
            ["num_key_value_heads"] = 2,
            ["head_dim"] = 8,
            ["vocab_size"] = 40,
            ["max_position_embeddings"] = 512,
            ["rms_norm_eps"] = 1e-5,
            ["rope_theta"] = 10000.0,
            ["hidden_act"] = "silu",
            ["tie_word_embeddings"] = false,
            ["sliding_window"] = null,
        };
        foreach (var (name, value) in fields ?? [])
        {
            config.Remove(name);
            if (value is not null)
                config[name] = value.DeepClone();
        }

        // Read back, so that numbers convert as those of a file do.
        return JsonNode.Parse(config.ToJsonString())!.AsObject();
    }

    /// <summary>Weights, rounded to what their type stores, so large that attention is far from even.</summary>
    public static Dictionary<string, TestTensor> Tensors(JsonObject config, string type = "F32", int seed = 1)
    {
        var random = new Random(seed);
        var tensors = new Dictionary<string, TestTensor>();
        var architecture = (string)config["architectures"]![0]!;
        long hidden = (int)config["hidden_size"]!, intermediate = (int)config["intermediate_size"]!, vocabulary = (int)config["vocab_size"]!;
        var queryHeads = (int)config["num_attention_heads"]!;
        long headDim = (int?)config["head_dim"] ?? ((int)hidden / queryHeads);
        long queryRows = queryHeads * headDim, kvRows = ((int?)config["num_key_value_heads"] ?? queryHeads) * headDim;
        var attentionBias = (bool?)config["attention_bias"] ?? false;
        var qkvBias = architecture == "Qwen2ForCausalLM" || attentionBias;
        var mlpBias = (bool?)config["mlp_bias"] ?? false;

        Matrix("model.embed_tokens.weight", vocabulary, hidden, 1);
        for (var layer = 0; layer < (int)config["num_hidden_layers"]!; layer++)
        {
            var prefix = $"model.layers.{layer}.";
            Vector(prefix + "input_layernorm.weight", hidden, 1);
            Vector(prefix + "post_attention_layernorm.weight", hidden, 1);
            if (architecture == "Phi3ForCausalLM")
            {
                Linear(prefix + "self_attn.qkv_proj", queryRows + (2 * kvRows), hidden, false);
                Linear(prefix + "mlp.gate_up_proj", 2 * intermediate, hidden, false);
            }
            else
            {
                Linear(prefix + "self_attn.q_proj", queryRows, hidden, qkvBias);
                Linear(prefix + "self_attn.k_proj", kvRows, hidden, qkvBias);
                Linear(prefix + "self_attn.v_proj", kvRows, hidden, qkvBias);
                Linear(prefix + "mlp.gate_proj", intermediate, hidden, mlpBias);
                Linear(prefix + "mlp.up_proj", intermediate, hidden, mlpBias);
            }

            if (architecture == "Qwen3ForCausalLM")
            {
                Vector(prefix + "self_attn.q_norm.weight", headDim, 1.5);
                Vector(prefix + "self_attn.k_norm.weight", headDim, 1.5);
            }

            Linear(prefix + "self_attn.o_proj", hidden, queryRows, attentionBias);
            Linear(prefix + "mlp.down_proj", hidden, intermediate, mlpBias);
        }

        Vector("model.norm.weight", hidden, 1);
        if (!((bool?)config["tie_word_embeddings"] ?? false))
            Matrix("lm_head.weight", vocabulary, hidden, 1 / Math.Sqrt(hidden));
        return tensors;

        void Linear(string name, long rows, long columns, bool hasBias)
        {
            Matrix(name + ".weight", rows, columns, 1.5 / Math.Sqrt(columns));
            if (hasBias)
                Vector(name + ".bias", rows, 0);
        }

        void Matrix(string name, long rows, long columns, double deviation) => Add(name, [rows, columns], () => deviation * Gaussian());

        void Vector(string name, long count, double mean) => Add(name, [count], () => mean + (0.3 * Gaussian()));

        void Add(string name, long[] shape, Func<double> next) =>
            tensors.Add(name, new TestTensor(shape, [.. Enumerable.Range(0, (int)shape.Aggregate((a, b) => a * b)).Select(_ => CheckpointWriter.Round(next(), type))], type));

        double Gaussian() => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
    }

    /// <summary>Random token ids.</summary>
    public static int[] Ids(JsonObject config, int count, int seed = 2)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.Next((int)config["vocab_size"]!))];
    }
}
