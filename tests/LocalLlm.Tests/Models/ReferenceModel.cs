using System.Text.Json.Nodes;
using LocalLlm.Tests.Loading;

namespace LocalLlm.Tests.Models;

/// <summary>
/// The oracle: a forward pass in double precision over plain arrays, written from the published semantics of Hugging Face's models and sharing
/// nothing with the engine. No cache, no batching, one sequence, every score computed.
/// </summary>
internal sealed class ReferenceModel(JsonObject config, IReadOnlyDictionary<string, TestTensor> tensors, int contextTokens)
{
    private readonly string architecture = (string)config["architectures"]![0]!;
    private readonly int hidden = (int)config["hidden_size"]!;
    private readonly int queryHeads = (int)config["num_attention_heads"]!;
    private readonly int kvHeads = (int?)config["num_key_value_heads"] ?? (int)config["num_attention_heads"]!;
    private readonly int headDim = (int?)config["head_dim"] ?? ((int)config["hidden_size"]! / (int)config["num_attention_heads"]!);
    private readonly double epsilon = (double)config["rms_norm_eps"]!;

    /// <summary>The logits after each token.</summary>
    public double[][] Logits(int[] ids)
    {
        var head = (bool?)config["tie_word_embeddings"] ?? false ? "model.embed_tokens" : "lm_head";
        return Each(Hidden(ids), r => Linear(r, head));
    }

    /// <summary>The states after each token, after the last norm.</summary>
    public double[][] Hidden(int[] ids)
    {
        var x = ids.Select(id => Row("model.embed_tokens.weight", id)).ToArray();
        var (angles, attentionFactor) = RotaryAngles(ids.Length);
        for (var layer = 0; layer < (int)config["num_hidden_layers"]!; layer++)
        {
            var prefix = $"model.layers.{layer}.";
            var attended = Attention(prefix + "self_attn.", layer, Each(x, r => RmsNorm(r, prefix + "input_layernorm.weight")), angles, attentionFactor);
            x = Zip(x, attended);
            x = Zip(x, Each(x, r => Mlp(prefix + "mlp.", RmsNorm(r, prefix + "post_attention_layernorm.weight"))));
        }

        return Each(x, r => RmsNorm(r, "model.norm.weight"));
    }

    private double[][] Attention(string prefix, int layer, double[][] x, double[,] angles, double attentionFactor)
    {
        int queryWidth = queryHeads * headDim, kvWidth = kvHeads * headDim;
        double[][] q, k, v;
        if (architecture == "Phi3ForCausalLM")
        {
            var fused = Each(x, r => Linear(r, prefix + "qkv_proj"));
            q = Each(fused, r => r[..queryWidth]);
            k = Each(fused, r => r[queryWidth..(queryWidth + kvWidth)]);
            v = Each(fused, r => r[(queryWidth + kvWidth)..]);
        }
        else
        {
            q = Each(x, r => Linear(r, prefix + "q_proj"));
            k = Each(x, r => Linear(r, prefix + "k_proj"));
            v = Each(x, r => Linear(r, prefix + "v_proj"));
        }

        if (architecture == "Qwen3ForCausalLM")
        {
            q = Each(q, r => PerHead(r, h => RmsNorm(h, prefix + "q_norm.weight")));
            k = Each(k, r => PerHead(r, h => RmsNorm(h, prefix + "k_norm.weight")));
        }

        var window = SlidingWindow(layer);
        var output = new double[x.Length][];
        for (var t = 0; t < x.Length; t++)
        {
            q[t] = PerHead(q[t], h => Rotate(h, angles, t, attentionFactor));
            k[t] = PerHead(k[t], h => Rotate(h, angles, t, attentionFactor));
            output[t] = new double[queryWidth];
            for (var head = 0; head < queryHeads; head++)
            {
                var kvHead = head / (queryHeads / kvHeads);
                var first = window is { } w ? Math.Max(0, t - w + 1) : 0;
                var scores = new double[t + 1 - first];
                for (var s = first; s <= t; s++)
                {
                    for (var i = 0; i < headDim; i++)
                        scores[s - first] += q[t][(head * headDim) + i] * k[s][(kvHead * headDim) + i] / Math.Sqrt(headDim);
                }

                var largest = scores.Max();
                var weights = scores.Select(score => Math.Exp(score - largest)).ToArray();
                for (var s = first; s <= t; s++)
                {
                    for (var i = 0; i < headDim; i++)
                        output[t][(head * headDim) + i] += weights[s - first] / weights.Sum() * v[s][(kvHead * headDim) + i];
                }
            }
        }

        return Each(output, r => Linear(r, prefix + "o_proj"));
    }

    private double[] Mlp(string prefix, double[] x)
    {
        double[] gate, up;
        if (architecture == "Phi3ForCausalLM")
        {
            var both = Linear(x, prefix + "gate_up_proj");
            (gate, up) = (both[..(both.Length / 2)], both[(both.Length / 2)..]);
        }
        else
        {
            (gate, up) = (Linear(x, prefix + "gate_proj"), Linear(x, prefix + "up_proj"));
        }

        return Linear([.. gate.Zip(up, (g, u) => g / (1 + Math.Exp(-g)) * u)], prefix + "down_proj");
    }

    private int? SlidingWindow(int layer)
    {
        var window = (int?)config["sliding_window"];
        if (architecture == "LlamaForCausalLM")
            return null;
        if (architecture is "MistralForCausalLM" or "Phi3ForCausalLM")
            return window;
        if (!((bool?)config["use_sliding_window"] ?? false))
            return null;
        var slides = config["layer_types"] is JsonArray types ? (string)types[layer]! == "sliding_attention" : layer >= (int)config["max_window_layers"]!;
        return slides ? window : null;
    }

    private (double[,] Angles, double AttentionFactor) RotaryAngles(int length)
    {
        var newer = config["rope_parameters"] as JsonObject;
        var scaling = newer ?? config["rope_scaling"] as JsonObject;
        var theta = (double?)newer?["rope_theta"] ?? (double?)config["rope_theta"] ?? 10000;
        var partial = (double?)newer?["partial_rotary_factor"] ?? (double?)config["partial_rotary_factor"] ?? 1;
        var dim = (int)(headDim * partial);
        var maxPositions = (double)config["max_position_embeddings"]!;
        var original = (double?)scaling?["original_max_position_embeddings"] ?? (double?)config["original_max_position_embeddings"] ?? maxPositions;
        var factor = (double?)scaling?["factor"] ?? (maxPositions / original);
        var attentionFactor = 1.0;

        var type = (string?)scaling?["rope_type"] ?? (string?)scaling?["type"] ?? "default";
        if (type == "dynamic")
        {
            var length0 = Math.Max(contextTokens, maxPositions);
            theta *= Math.Pow((factor * length0 / maxPositions) - (factor - 1), dim / (dim - 2.0));
        }

        var inverse = Enumerable.Range(0, dim / 2).Select(i => 1 / Math.Pow(theta, 2.0 * i / dim)).ToArray();
        if (type == "linear")
        {
            inverse = [.. inverse.Select(f => f / factor)];
        }
        else if (type == "llama3")
        {
            double lowFactor = (double)scaling!["low_freq_factor"]!, highFactor = (double)scaling["high_freq_factor"]!;
            for (var i = 0; i < inverse.Length; i++)
            {
                var wavelength = 2 * Math.PI / inverse[i];
                var smooth = ((original / wavelength) - lowFactor) / (highFactor - lowFactor);
                if (wavelength > original / lowFactor)
                    inverse[i] /= factor;
                else if (wavelength >= original / highFactor)
                    inverse[i] = ((1 - smooth) * inverse[i] / factor) + (smooth * inverse[i]);
            }
        }
        else if (type is "longrope" or "su")
        {
            var factors = (JsonArray)scaling![contextTokens > original ? "long_factor" : "short_factor"]!;
            for (var i = 0; i < inverse.Length; i++)
                inverse[i] /= (double)factors[i]!;
            attentionFactor = (double?)scaling["attention_factor"] ?? (factor <= 1 ? 1 : Math.Sqrt(1 + (Math.Log(factor) / Math.Log(original))));
        }
        else if (type == "yarn")
        {
            double Correction(double rotations) => dim * Math.Log(original / (rotations * 2 * Math.PI)) / (2 * Math.Log(theta));
            var low = Math.Max(Math.Floor(Correction((double?)scaling!["beta_fast"] ?? 32)), 0);
            var high = Math.Min(Math.Ceiling(Correction((double?)scaling["beta_slow"] ?? 1)), dim - 1);
            for (var i = 0; i < inverse.Length; i++)
            {
                var ramp = Math.Min(Math.Max((i - low) / (high == low ? 0.001 : high - low), 0), 1);
                var keep = 1 - ramp;
                inverse[i] = (inverse[i] / factor * (1 - keep)) + (inverse[i] * keep);
            }

            attentionFactor = (double?)scaling["attention_factor"] ?? ((0.1 * Math.Log(factor)) + 1);
        }

        var angles = new double[length, dim / 2];
        for (var t = 0; t < length; t++)
        {
            for (var i = 0; i < dim / 2; i++)
                angles[t, i] = t * inverse[i];
        }

        return (angles, attentionFactor);
    }

    private static double[] Rotate(double[] head, double[,] angles, int position, double attentionFactor)
    {
        var half = angles.GetLength(1);
        var turned = (double[])head.Clone();
        for (var i = 0; i < half; i++)
        {
            var (cosine, sine) = (attentionFactor * Math.Cos(angles[position, i]), attentionFactor * Math.Sin(angles[position, i]));
            turned[i] = (head[i] * cosine) - (head[i + half] * sine);
            turned[i + half] = (head[i + half] * cosine) + (head[i] * sine);
        }

        return turned;
    }

    private double[] RmsNorm(double[] x, string weight)
    {
        var root = Math.Sqrt(x.Average(value => value * value) + epsilon);
        return [.. x.Select((value, i) => value / root * tensors[weight].Values[i])];
    }

    private double[] Linear(double[] x, string name)
    {
        var weight = tensors[name + ".weight"];
        var bias = tensors.GetValueOrDefault(name + ".bias");
        var y = new double[weight.Shape[0]];
        for (var row = 0; row < y.Length; row++)
        {
            y[row] = bias?.Values[row] ?? 0;
            for (var column = 0; column < x.Length; column++)
                y[row] += weight.Values[(row * x.Length) + column] * x[column];
        }

        return y;
    }

    private double[] Row(string name, int row) => tensors[name].Values[(row * hidden)..((row + 1) * hidden)];

    private double[] PerHead(double[] row, Func<double[], double[]> function) => [.. row.Chunk(headDim).SelectMany(function)];

    private static double[][] Each(double[][] rows, Func<double[], double[]> function) => [.. rows.Select(function)];

    private static double[][] Zip(double[][] a, double[][] b) => [.. a.Zip(b, (x, y) => x.Zip(y, (p, q) => p + q).ToArray())];
}
