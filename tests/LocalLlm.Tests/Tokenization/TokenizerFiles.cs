using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using CsCheck;
using LocalLlm.Tokenization;

namespace LocalLlm.Tests.Tokenization;

/// <summary>Small tokenizer files made by code, so that the tests need no model.</summary>
internal static class TokenizerFiles
{
    /// <summary>How Llama 3 splits text.</summary>
    public const string Llama3Pattern =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>
    /// A byte-level tokenizer in the manner of Qwen and Llama 3: 256 bytes, a few merges, special tokens for chats and tool tokens that are not
    /// special.
    /// </summary>
    public static JsonObject ByteLevel()
    {
        var tokens = Enumerable.Range(0, 256).Select(b => ByteLevelAlphabet.CharOf((byte)b).ToString()).ToList();
        (string, string)[] merges =
        [
            ("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("Ġ", "w"), ("o", "r"), ("Ġw", "or"), ("l", "d"), ("Ġwor", "ld"), ("a", "a"),
            ("aa", "aa"), ("Ġ", "Ġ"), ("1", "2"), ("<", "|"), ("|", ">"), ("i", "m"), ("im", "_"), ("e", "n"), ("en", "d"), ("im_", "end"),
        ];
        tokens.AddRange(merges.Select(m => m.Item1 + m.Item2));
        int next = tokens.Count;
        return new JsonObject
        {
            ["version"] = "1.0",
            ["added_tokens"] = new JsonArray(
                Added(next, "<|endoftext|>", special: true), Added(next + 1, "<|im_start|>", special: true),
                Added(next + 2, "<|im_end|>", special: true), Added(next + 3, "<tool_call>", special: false),
                Added(next + 4, "</tool_call>", special: false)),
            ["normalizer"] = new JsonObject { ["type"] = "NFC" },
            ["pre_tokenizer"] = new JsonObject
            {
                ["type"] = "Sequence",
                ["pretokenizers"] = new JsonArray(
                    new JsonObject
                    {
                        ["type"] = "Split",
                        ["pattern"] = new JsonObject { ["Regex"] = Llama3Pattern },
                        ["behavior"] = "Isolated",
                        ["invert"] = false,
                    },
                    new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["trim_offsets"] = true, ["use_regex"] = false }),
            },
            ["post_processor"] = null,
            ["decoder"] = new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = true, ["trim_offsets"] = true, ["use_regex"] = true },
            ["model"] = Bpe(tokens, merges),
        };
    }

    /// <summary>A tokenizer in the manner of Llama 2: ▁ for spaces, bytes for unknown characters, &lt;s&gt; before a text.</summary>
    public static JsonObject ByteFallback()
    {
        List<string> tokens = ["<unk>", "<s>", "</s>", .. Enumerable.Range(0, 256).Select(b => $"<0x{b:X2}>")];
        tokens.AddRange("▁abcdehlmnorstw<>/.,!😀".EnumerateRunes().Select(r => r.ToString()));
        (string, string)[] merges = [("h", "e"), ("l", "l"), ("he", "ll"), ("▁", "hell"), ("▁hell", "o"), ("▁", "▁"), ("a", "a"), ("<", "s"), ("<s", ">")];
        tokens.AddRange(merges.Select(m => m.Item1 + m.Item2).Where(t => t != "<s>"));
        var model = Bpe(tokens, merges);
        model["unk_token"] = "<unk>";
        model["fuse_unk"] = true;
        model["byte_fallback"] = true;
        return new JsonObject
        {
            ["version"] = "1.0",
            ["added_tokens"] = new JsonArray(Added(0, "<unk>", true), Added(1, "<s>", true), Added(2, "</s>", true)),
            ["normalizer"] = new JsonObject
            {
                ["type"] = "Sequence",
                ["normalizers"] = new JsonArray(
                    new JsonObject { ["type"] = "Prepend", ["prepend"] = "▁" },
                    new JsonObject { ["type"] = "Replace", ["pattern"] = new JsonObject { ["String"] = " " }, ["content"] = "▁" }),
            },
            ["pre_tokenizer"] = null,
            ["post_processor"] = Template("<s>", 1),
            ["decoder"] = new JsonObject
            {
                ["type"] = "Sequence",
                ["decoders"] = new JsonArray(
                    new JsonObject { ["type"] = "Replace", ["pattern"] = new JsonObject { ["String"] = "▁" }, ["content"] = " " },
                    new JsonObject { ["type"] = "ByteFallback" },
                    new JsonObject { ["type"] = "Fuse" },
                    new JsonObject { ["type"] = "Strip", ["content"] = " ", ["start"] = 1, ["stop"] = 0 }),
            },
            ["model"] = model,
        };
    }

    public static JsonObject Template(string token, int id) => new()
    {
        ["type"] = "TemplateProcessing",
        ["single"] = new JsonArray(
            new JsonObject { ["SpecialToken"] = new JsonObject { ["id"] = token, ["type_id"] = 0 } },
            new JsonObject { ["Sequence"] = new JsonObject { ["id"] = "A", ["type_id"] = 0 } }),
        ["pair"] = new JsonArray(),
        ["special_tokens"] = new JsonObject
        {
            [token] = new JsonObject { ["id"] = token, ["ids"] = new JsonArray(id), ["tokens"] = new JsonArray(token) },
        },
    };

    public static JsonObject Added(
        int id, string content, bool special, bool lstrip = false, bool rstrip = false, bool singleWord = false, bool normalized = false) => new()
        {
            ["id"] = id,
            ["content"] = content,
            ["single_word"] = singleWord,
            ["lstrip"] = lstrip,
            ["rstrip"] = rstrip,
            ["normalized"] = normalized,
            ["special"] = special,
        };

    public static JsonObject Bpe(IReadOnlyList<string> tokens, IEnumerable<(string Left, string Right)> merges)
    {
        var vocabulary = new JsonObject();
        for (int id = 0; id < tokens.Count; id++)
            vocabulary.Add(tokens[id], id);
        return new JsonObject
        {
            ["type"] = "BPE",
            ["dropout"] = null,
            ["unk_token"] = null,
            ["continuing_subword_prefix"] = null,
            ["end_of_word_suffix"] = null,
            ["fuse_unk"] = false,
            ["byte_fallback"] = false,
            ["ignore_merges"] = false,
            ["vocab"] = vocabulary,
            ["merges"] = new JsonArray([.. merges.Select(m => (JsonNode)$"{m.Left} {m.Right}")]),
        };
    }

    /// <summary>Loads a tokenizer.json and, if given, a tokenizer_config.json.</summary>
    public static TextTokenizer Load(JsonObject tokenizer, JsonObject? config = null)
    {
        using var folder = new TemporaryFolder();
        folder.Write("tokenizer.json", tokenizer.ToJsonString(new JsonSerializerOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }));
        if (config is not null)
            folder.Write("tokenizer_config.json", config.ToJsonString());
        return TextTokenizer.Load(folder.Path);
    }

    /// <summary>Generates one of the texts.</summary>
    public static Gen<string> OneOf(params string[] texts) => Gen.Int[0, texts.Length - 1].Select(i => texts[i]);

    /// <summary>The token texts of ids, which say more in a failing test.</summary>
    public static string[] Texts(this TextTokenizer tokenizer, IEnumerable<int> ids) => [.. ids.Select(tokenizer.TokenText)];
}

/// <summary>A folder that is gone with the test.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("tokenizer-test-").FullName;

    public void Write(string name, string text) => File.WriteAllText(System.IO.Path.Combine(Path, name), text);

    public void Write(string name, byte[] bytes) => File.WriteAllBytes(System.IO.Path.Combine(Path, name), bytes);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
