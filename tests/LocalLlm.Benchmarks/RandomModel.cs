using System.Buffers.Binary;
using System.Text;
using System.Text.Json.Nodes;
using LocalLlm.Tokenization;

namespace LocalLlm.Benchmarks;

/// <summary>A model folder of a known shape with random bfloat16 weights, in the temporary folder; deleted at the end.</summary>
internal sealed class RandomModel : IDisposable
{
    private const int Vocabulary = 128256;

    private readonly DirectoryInfo folder = Directory.CreateTempSubdirectory("localllm-benchmark-");

    /// <summary>Writes a model of Llama-3.2-1B's shape.</summary>
    public RandomModel(int layers) : this(ModelShape.Llama1B, layers)
    {
    }

    /// <summary>Writes a model.</summary>
    public RandomModel(ModelShape shape, int layers)
    {
        try
        {
            Write(shape, layers);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public string FolderPath => folder.FullName;

    public void Dispose() => folder.Delete(recursive: true);

    // Of single bytes: nearly all that the model samples has no text.
    private static JsonObject Tokenizer()
    {
        var byteLevel = new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["use_regex"] = true };
        var bytes = new JsonObject();
        for (var b = 0; b < 256; b++)
            bytes[ByteLevelAlphabet.CharOf((byte)b).ToString()] = b;
        return new JsonObject
        {
            ["added_tokens"] = new JsonArray(),
            ["normalizer"] = null,
            ["pre_tokenizer"] = byteLevel,
            ["post_processor"] = null,
            ["decoder"] = byteLevel.DeepClone(),
            ["model"] = new JsonObject { ["type"] = "BPE", ["vocab"] = bytes, ["merges"] = new JsonArray() },
        };
    }

    private void Write(ModelShape shape, int layers)
    {
        var (hidden, queries, keys) = (shape.Hidden, shape.QueryHeads * shape.HeadDim, shape.KvHeads * shape.HeadDim);
        var config = new JsonObject
        {
            ["architectures"] = new JsonArray("LlamaForCausalLM"),
            ["hidden_size"] = hidden,
            ["intermediate_size"] = shape.Intermediate,
            ["num_hidden_layers"] = layers,
            ["num_attention_heads"] = shape.QueryHeads,
            ["num_key_value_heads"] = shape.KvHeads,
            ["head_dim"] = shape.HeadDim,
            ["vocab_size"] = Vocabulary,
            ["max_position_embeddings"] = 131072,
            ["rms_norm_eps"] = 1e-5,
            ["rope_theta"] = 500000.0,
            ["hidden_act"] = "silu",
            ["tie_word_embeddings"] = shape.IsTied,
        };
        File.WriteAllText(Path.Combine(FolderPath, "config.json"), config.ToJsonString());
        File.WriteAllText(Path.Combine(FolderPath, "tokenizer.json"), Tokenizer().ToJsonString());

        List<(string Name, long[] Shape)> tensors = [("model.embed_tokens.weight", [Vocabulary, hidden]), ("model.norm.weight", [hidden])];
        if (!shape.IsTied)
            tensors.Add(("lm_head.weight", [Vocabulary, hidden]));
        for (var layer = 0; layer < layers; layer++)
        {
            var prefix = $"model.layers.{layer}.";
            tensors.AddRange(
            [
                (prefix + "input_layernorm.weight", [hidden]), (prefix + "post_attention_layernorm.weight", [hidden]),
                (prefix + "self_attn.q_proj.weight", [queries, hidden]), (prefix + "self_attn.k_proj.weight", [keys, hidden]),
                (prefix + "self_attn.v_proj.weight", [keys, hidden]), (prefix + "self_attn.o_proj.weight", [hidden, queries]),
                (prefix + "mlp.gate_proj.weight", [shape.Intermediate, hidden]), (prefix + "mlp.up_proj.weight", [shape.Intermediate, hidden]),
                (prefix + "mlp.down_proj.weight", [hidden, shape.Intermediate]),
            ]);
        }

        var header = new JsonObject();
        var offset = 0L;
        foreach (var (name, dimensions) in tensors)
        {
            var bytes = dimensions.Aggregate(2L, (a, b) => a * b);
            header[name] = new JsonObject
            {
                ["dtype"] = "BF16",
                ["shape"] = new JsonArray([.. dimensions.Select(d => (JsonNode)d)]),
                ["data_offsets"] = new JsonArray(offset, offset + bytes),
            };
            offset += bytes;
        }

        var text = Encoding.UTF8.GetBytes(header.ToJsonString());
        using var file = File.Create(Path.Combine(FolderPath, "model.safetensors"));
        var length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, text.Length);
        file.Write(length);
        file.Write(text);
        // ±(1 to 2)·2⁻⁶, about as large as a trained model's.
        var numbers = new byte[1 << 20];
        var random = new Random(1);
        random.NextBytes(numbers);
        for (var i = 0; i < numbers.Length; i += 2)
            BinaryPrimitives.WriteUInt16LittleEndian(numbers.AsSpan(i), (ushort)(BinaryPrimitives.ReadUInt16LittleEndian(numbers.AsSpan(i)) & 0x807F | 0x3C80));
        for (var left = offset; left > 0; left -= numbers.Length)
        {
            random.Shuffle<ushort>(System.Runtime.InteropServices.MemoryMarshal.Cast<byte, ushort>(numbers.AsSpan())[..4096]); // not the same block again and again
            file.Write(numbers.AsSpan(0, (int)Math.Min(left, numbers.Length)));
        }
    }
}
