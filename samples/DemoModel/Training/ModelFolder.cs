using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using DemoModel.Dialogues;
using DemoModel.Tokenizer;
using static TorchSharp.torch;

namespace DemoModel.Training;

/// <summary>Writes a network and its tokenizer as a Hugging Face model folder.</summary>
internal static class ModelFolder
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static void Write(string folder, Network network, BytePairEncoder encoder)
    {
        Directory.CreateDirectory(folder);
        File.Delete(Path.Combine(folder, "kv_cache.json")); // bits that were tuned for the weights before
        Safetensors.Write(Path.Combine(folder, "model.safetensors"), network.Weights, ScalarType.BFloat16);
        WriteJson(folder, "config.json", Config(network.Config, encoder));
        WriteJson(folder, "generation_config.json", new JsonObject
        {
            ["bos_token_id"] = encoder.Added[ChatFormat.EndOfText],
            ["do_sample"] = false,
            ["eos_token_id"] = new JsonArray(encoder.Added[ChatFormat.TurnEnd], encoder.Added[ChatFormat.EndOfText]),
            ["pad_token_id"] = encoder.Added[ChatFormat.EndOfText],
        });
        WriteTokenizer(folder, encoder, network.Config.ContextTokens);
    }

    /// <summary>Writes tokenizer.json and tokenizer_config.json.</summary>
    public static void WriteTokenizer(string folder, BytePairEncoder encoder, int contextTokens)
    {
        Directory.CreateDirectory(folder);
        WriteJson(folder, "tokenizer.json", TokenizerJson(encoder));
        WriteJson(folder, "tokenizer_config.json", new JsonObject
        {
            ["add_bos_token"] = false,
            ["add_prefix_space"] = false,
            ["added_tokens_decoder"] = new JsonObject(encoder.Added.Select(a =>
            {
                JsonObject token = AddedToken(a.Key, a.Value);
                token.Remove("id");
                return KeyValuePair.Create<string, JsonNode?>(a.Value.ToString(CultureInfo.InvariantCulture), token);
            })),
            ["bos_token"] = null,
            ["chat_template"] = ChatFormat.Template,
            ["clean_up_tokenization_spaces"] = false,
            ["eos_token"] = ChatFormat.TurnEnd,
            ["model_max_length"] = contextTokens,
            ["pad_token"] = ChatFormat.EndOfText,
            ["tokenizer_class"] = "PreTrainedTokenizerFast",
            ["unk_token"] = null,
        });
    }

    private static JsonObject Config(NetworkConfig config, BytePairEncoder encoder) => new()
    {
        ["architectures"] = new JsonArray("Qwen3ForCausalLM"),
        ["attention_bias"] = false,
        ["attention_dropout"] = 0.0,
        ["bos_token_id"] = encoder.Added[ChatFormat.EndOfText],
        ["eos_token_id"] = encoder.Added[ChatFormat.TurnEnd],
        ["head_dim"] = config.HeadDim,
        ["hidden_act"] = "silu",
        ["hidden_size"] = config.HiddenSize,
        ["initializer_range"] = 0.02,
        ["intermediate_size"] = config.IntermediateSize,
        ["max_position_embeddings"] = config.ContextTokens,
        ["max_window_layers"] = config.Layers,
        ["model_type"] = "qwen3",
        ["num_attention_heads"] = config.QueryHeads,
        ["num_hidden_layers"] = config.Layers,
        ["num_key_value_heads"] = config.KvHeads,
        ["rms_norm_eps"] = config.NormEpsilon,
        ["rope_scaling"] = null,
        ["rope_theta"] = config.RopeTheta,
        ["sliding_window"] = null,
        ["tie_word_embeddings"] = true,
        ["torch_dtype"] = "bfloat16",
        ["use_cache"] = true,
        ["use_sliding_window"] = false,
        ["vocab_size"] = config.VocabularySize,
    };

    private static JsonObject TokenizerJson(BytePairEncoder encoder)
    {
        var vocabulary = new JsonObject();
        int plain = encoder.Count - encoder.Added.Count;
        for (int id = 0; id < plain; id++)
            vocabulary[Visible(encoder.BytesOf(id))] = id;
        return new()
        {
            ["version"] = "1.0",
            ["truncation"] = null,
            ["padding"] = null,
            ["added_tokens"] = new JsonArray([.. encoder.Added.Select(a => AddedToken(a.Key, a.Value))]),
            ["normalizer"] = null,
            ["pre_tokenizer"] = new JsonObject
            {
                ["type"] = "Sequence",
                ["pretokenizers"] = new JsonArray(
                    new JsonObject
                    {
                        ["type"] = "Split",
                        ["pattern"] = new JsonObject { ["Regex"] = BytePairEncoder.SplitPattern },
                        ["behavior"] = "Isolated",
                        ["invert"] = false,
                    },
                    ByteLevel()),
            },
            ["post_processor"] = ByteLevel(),
            ["decoder"] = ByteLevel(),
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["dropout"] = null,
                ["unk_token"] = null,
                ["continuing_subword_prefix"] = "",
                ["end_of_word_suffix"] = "",
                ["fuse_unk"] = false,
                ["byte_fallback"] = false,
                ["ignore_merges"] = false,
                ["vocab"] = vocabulary,
                ["merges"] = new JsonArray([.. encoder.Merges.Select(m =>
                    JsonValue.Create($"{Visible(encoder.BytesOf(m.Left))} {Visible(encoder.BytesOf(m.Right))}"))]),
            },
        };
    }

    private static JsonObject ByteLevel() => new()
    {
        ["type"] = "ByteLevel",
        ["add_prefix_space"] = false,
        ["trim_offsets"] = false,
        ["use_regex"] = false,
    };

    private static JsonObject AddedToken(string content, int id) => new()
    {
        ["id"] = id,
        ["content"] = content,
        ["single_word"] = false,
        ["lstrip"] = false,
        ["rstrip"] = false,
        ["normalized"] = false,
        ["special"] = content.StartsWith("<|", StringComparison.Ordinal),
    };

    // GPT-2's visible characters for bytes: printable Latin-1 stands for itself, the others follow from U+0100.
    private static string Visible(ReadOnlySpan<byte> bytes)
    {
        var text = new StringBuilder();
        foreach (byte b in bytes)
            text.Append(VisibleBytes[b]);
        return text.ToString();
    }

    private static readonly char[] VisibleBytes = MakeVisibleBytes();

    private static char[] MakeVisibleBytes()
    {
        var visible = new char[256];
        int next = 256;
        for (int b = 0; b < 256; b++)
            visible[b] = b is (>= 33 and <= 126) or (>= 161 and <= 172) or (>= 174 and <= 255) ? (char)b : (char)next++;
        return visible;
    }

    private static void WriteJson(string folder, string name, JsonObject json) =>
        File.WriteAllText(Path.Combine(folder, name), json.ToJsonString(Indented) + "\n");
}
