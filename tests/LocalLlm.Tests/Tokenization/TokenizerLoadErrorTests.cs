using System.Text.Json.Nodes;
using CsCheck;
using LocalLlm.Tokenization;

namespace LocalLlm.Tests.Tokenization;

public sealed class TokenizerLoadErrorTests
{
    public static TheoryData<string, string, string> WrongFiles => new()
    {
        { "model", """null""", "no object \"model\"" },
        { "model.type", "\"WordPiece\"", "of type \"WordPiece\"; only \"BPE\"" },
        { "model.type", "\"Unigram\"", "only \"BPE\"" },
        { "model.vocab", "[]", "no object \"model.vocab\"" },
        { "model.vocab", "{}", "model.vocab is empty" },
        { "model.vocab", """{"a": 0, "b": 0}""", "'b' the id 0, which is that of 'a'" },
        { "model.vocab", """{"a": 2000000000}""", "ids are whole numbers from 0 to 4194303" },
        { "model.vocab", """{"a": -1}""", "has the id -1" },
        { "model.vocab", """{"a": 1.5}""", "has the id 1.5" },
        { "model.vocab", """{"a": "x"}""", "has the id \"x\"" },
        { "model.merges", "null", "no list \"model.merges\"" },
        { "model.merges", """["a"]""", "model.merges[0] is \"a\"; it must be" },
        { "model.merges", """["a b c"]""", "it must be" },
        { "model.merges", """[["a"]]""", "it must be" },
        { "model.merges", """[17]""", "it must be" },
        { "model.merges", """["a zzz"]""", "needs the token 'zzz', which model.vocab has not" },
        { "model.merges", """["a b"]""", "needs the token 'ab', which model.vocab has not" },
        { "model.unk_token", "\"nope\"", "model.unk_token is \"nope\"" },
        { "model.dropout", "0.1", "model.dropout is 0.1" },
        { "model.end_of_word_suffix", "\"</w>\"", "model.end_of_word_suffix is \"</w>\"" },
        { "model.byte_fallback", "\"yes\"", "model.byte_fallback is \"yes\"" },
        { "added_tokens", "{}", "added_tokens is not a list" },
        { "added_tokens", """[{"id": 0, "content": "zzz"}]""", "'zzz' the id 0, which is that of" },
        { "added_tokens", """[{"id": 999, "content": "a"}]""", "'a' the id 999, but it has" },
        { "added_tokens", """[{"id": 99999999, "content": "zzz"}]""", "no \"id\" that is a whole number" },
        { "added_tokens", """[{"id": 300, "content": ""}]""", "a text \"content\" that is not empty" },
        { "added_tokens", """[{"id": 300, "content": "zzz", "special": 1}]""", "special is not true or false" },
        { "normalizer", """{"type": "Precompiled"}""", "of type 'Precompiled'" },
        { "normalizer", """{"type": "Sequence"}""", "no list \"normalizers\"" },
        { "normalizer", "3", "normalizer is not an object with a text \"type\"" },
        { "pre_tokenizer", """{"type": "BertPreTokenizer"}""", "of type 'BertPreTokenizer'" },
        { "pre_tokenizer", """{"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated"}""", "pattern '(' cannot be used" },
        { "pre_tokenizer", """{"type": "Split", "pattern": {"Regex": "[[:alpha:]]"}, "behavior": "Isolated"}""", "a bracket inside a character class" },
        { "pre_tokenizer", """{"type": "Split", "pattern": "x", "behavior": "Isolated"}""", "neither {\"String\"" },
        { "pre_tokenizer", """{"type": "Split", "pattern": {"String": "x"}, "behavior": "Sideways"}""", "behavior is \"Sideways\"" },
        { "pre_tokenizer", """{"type": "Metaspace", "replacement": "ab"}""", "must be one character" },
        { "decoder", """{"type": "WordPiece"}""", "of type 'WordPiece'" },
        { "decoder", """{"type": "Strip", "content": " ", "start": 0, "stop": 1}""", "of type 'Strip'" },
        { "post_processor", """{"type": "BertProcessing"}""", "of type 'BertProcessing'" },
        { "post_processor", """{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}]}""", "uses '<s>', for which special_tokens has no" },
        { "post_processor", """{"type": "TemplateProcessing", "single": [7]}""", "neither a Sequence nor a SpecialToken" },
    };

    [Theory]
    [MemberData(nameof(WrongFiles))]
    public void Load_WrongFile_SaysWhatIsWrong(string path, string value, string expected)
    {
        var file = TokenizerFiles.ByteLevel();
        string[] names = path.Split('.');
        var parent = names.Length == 1 ? file : file[names[0]]!.AsObject();
        parent[names[^1]] = JsonNode.Parse(value);

        var error = Should.Throw<ModelLoadException>(() => TokenizerFiles.Load(file));
        error.Errors.ShouldContain(e => e.Contains(expected, StringComparison.Ordinal), $"not among: {string.Join(" | ", error.Errors)}");
    }

    [Fact]
    public void Load_TemplateNamesWrongId_IsRefused()
    {
        var file = TokenizerFiles.ByteLevel();
        file["post_processor"] = TokenizerFiles.Template("<s>", 5);

        Should.Throw<ModelLoadException>(() => TokenizerFiles.Load(file)).Message.ShouldContain("the id 5 and the token \"<s>\"");
    }

    [Fact]
    public void Load_SeveralThingsWrong_ListsAll()
    {
        var file = TokenizerFiles.ByteLevel();
        file["decoder"] = new JsonObject { ["type"] = "CTC" };
        file["normalizer"] = new JsonObject { ["type"] = "Nmt" };
        file["model"]!["merges"] = new JsonArray([.. Enumerable.Range(0, 50).Select(i => (JsonNode)$"x{i} y")]);
        var error = Should.Throw<ModelLoadException>(() => TokenizerFiles.Load(file, new JsonObject { ["eos_token"] = "<none>", ["add_bos_token"] = 3 }));

        error.Errors.ShouldContain(e => e.Contains("'CTC'", StringComparison.Ordinal));
        error.Errors.ShouldContain(e => e.Contains("'Nmt'", StringComparison.Ordinal));
        error.Errors.ShouldContain(e => e.Contains("eos_token is '<none>'", StringComparison.Ordinal));
        error.Errors.ShouldContain(e => e.Contains("add_bos_token is not true or false", StringComparison.Ordinal));
        error.Errors.ShouldContain(e => e.Contains("more errors of the same kind", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("{", "not valid JSON")]
    [InlineData("[]", "not a JSON object")]
    [InlineData("", "not valid JSON")]
    [InlineData("{}", "no object \"model\"")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"\ud800": 0}, "merges": []}}""", "not valid Unicode")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0, "a": 1}, "merges": []}}""", "'a' the id 1, but it has 0 already")]
    public void Load_BrokenJson_SaysSo(string json, string expected)
    {
        using var folder = new TemporaryFolder();
        folder.Write("tokenizer.json", json);

        Should.Throw<ModelLoadException>(() => TextTokenizer.Load(folder.Path)).Message.ShouldContain(expected);
    }

    [Fact]
    public void Load_DeeplyNestedJson_IsRefused()
    {
        using var folder = new TemporaryFolder();
        folder.Write("tokenizer.json", string.Concat(Enumerable.Repeat("{\"normalizer\":", 10_000)));

        Should.Throw<ModelLoadException>(() => TextTokenizer.Load(folder.Path)).Message.ShouldContain("not valid JSON");
    }

    [Fact]
    public void Load_NoFiles_NamesThem()
    {
        using var folder = new TemporaryFolder();

        Should.Throw<ModelLoadException>(() => TextTokenizer.Load(folder.Path)).Message.ShouldContain("neither a tokenizer.json nor a tokenizer.model");
        Should.Throw<ModelLoadException>(() => TextTokenizer.Load(Path.Combine(folder.Path, "none"))).Message.ShouldContain("no such folder");
    }

    [Fact]
    public void Load_EveryTokenAdded_IsRefused()
    {
        var file = TokenizerFiles.ByteLevel();
        file["model"] = TokenizerFiles.Bpe(["<x>"], []);
        file["added_tokens"] = new JsonArray(TokenizerFiles.Added(0, "<x>", special: true));

        Should.Throw<ModelLoadException>(() => TokenizerFiles.Load(file)).Message.ShouldContain("no text can be encoded");
    }

    [Fact]
    public void Encode_PatternThatBacktracksWithoutEnd_EndsInAnError()
    {
        var file = TokenizerFiles.ByteLevel();
        file["pre_tokenizer"]!["pretokenizers"]![0]!["pattern"]!["Regex"] = "(a+)+$";
        var tokenizer = TokenizerFiles.Load(file);

        Should.Throw<LocalLlmException>(() => tokenizer.Encode(new string('a', 60) + "b")).Message.ShouldContain("backtracks without end");
    }

    [Fact]
    public void Load_ReplacementOfAnEmptyText_IsALoadError()
    {
        var file = TokenizerFiles.ByteLevel();
        file["decoder"] = JsonNode.Parse("""{"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": ""}, "content": "x"}, {"type": "Fuse"}]}""");

        Should.Throw<ModelLoadException>(() => TokenizerFiles.Load(file)).Message.ShouldContain("pattern is an empty text");
    }

    [Fact]
    public void Load_AnyValueReplaced_LoadsOrIsALoadError()
    {
        string[] values = ["null", "3", "-1", "\"x\"", "\"\"", "[]", "{}", "true", "[[]]", "{\"type\": \"Sequence\"}", "1e99"];
        Gen.Select(Gen.Bool, Gen.Int[0, 10_000], Gen.Int[0, values.Length - 1]).Sample((byteLevel, place, value) =>
        {
            var file = byteLevel ? TokenizerFiles.ByteLevel() : TokenizerFiles.ByteFallback();
            var places = new List<JsonNode>();
            Collect(file, places);
            places[place % places.Count].ReplaceWith(JsonNode.Parse(values[value]));
            try
            {
                var tokenizer = TokenizerFiles.Load(file);
                tokenizer.Decode(tokenizer.EncodeWithControlTokens("hello <s> 12")).ShouldNotBeNull();
            }
            catch (ModelLoadException e)
            {
                e.Errors.ShouldNotBeEmpty();
            }
        });

        // Every value but the root; of the long lists of tokens and merges only a few.
        static void Collect(JsonNode node, List<JsonNode> places)
        {
            var children = node switch
            {
                JsonObject o => o.Select(p => p.Value),
                JsonArray a => a,
                _ => [],
            };
            foreach (var child in children.Take(12).OfType<JsonNode>())
            {
                places.Add(child);
                Collect(child, places);
            }
        }
    }
}
