using System.Text.Json.Nodes;
using LocalLlm.Tokenization;

namespace LocalLlm.Tests.Tokenization;

public sealed class TextTokenizerTests
{
    private readonly TextTokenizer _byteLevel = TokenizerFiles.Load(TokenizerFiles.ByteLevel());
    private readonly TextTokenizer _byteFallback = TokenizerFiles.Load(TokenizerFiles.ByteFallback());

    private static PromptSegment Template(string text) => new(text, IsTemplate: true);

    private static PromptSegment Message(string text) => new(text, IsTemplate: false);

    private static int Id(TextTokenizer tokenizer, string text) =>
        tokenizer.TryGetId(text, out int id) ? id : throw new ArgumentException(text);

    [Fact]
    public void Encode_ByteLevel_MergesWithinWords()
    {
        _byteLevel.Texts(_byteLevel.Encode("hello world 1234")).ShouldBe(["hello", "Ġworld", "Ġ", "12", "3", "4"]);
        _byteLevel.Texts(_byteLevel.Encode("é😀")).ShouldBe(["Ã", "©", "ð", "Ł", "ĺ", "Ģ"]);
        _byteLevel.Encode("").ShouldBeEmpty();
    }

    [Fact]
    public void Encode_DecomposedText_IsComposedFirst() =>
        _byteLevel.Encode("e\u0301").ShouldBe(_byteLevel.Encode("é"));

    [Fact]
    public void Encode_Prompt_RecognisesControlTokensOfTheTemplate()
    {
        int[] ids = _byteLevel.Encode([Template("<|im_start|>user\n"), Message("hello"), Template("<|im_end|>\n<tool_call>")], addBos: false);

        ids.ShouldBe(_byteLevel.EncodeWithControlTokens("<|im_start|>user\nhello<|im_end|>\n<tool_call>"));
        _byteLevel.Texts(ids).ShouldBe(["<|im_start|>", "u", "s", "e", "r", "Ċ", "hello", "<|im_end|>", "Ċ", "<tool_call>"]);
        ids.Count(_byteLevel.IsAdded).ShouldBe(3);
        ids.Count(_byteLevel.IsSpecial).ShouldBe(2);
    }

    [Fact]
    public void Encode_TextAcrossSegments_IsEncodedAsOne() =>
        _byteLevel.Texts(_byteLevel.Encode([Template("hel"), Message("lo wor"), Template("ld")], addBos: false)).ShouldBe(["hello", "Ġworld"]);

    [Fact]
    public void Encode_ControlTokenAcrossTemplateSegments_IsRecognised()
    {
        _byteLevel.Encode([Template("<|im_"), Template("end|>")], addBos: false).ShouldBe([Id(_byteLevel, "<|im_end|>")]);
        _byteLevel.Encode([Template("<|im_"), Message(""), Template("end|>")], addBos: false).ShouldBe([Id(_byteLevel, "<|im_end|>")]);
    }

    [Fact]
    public void Encode_ForgedControlToken_IsPlainText()
    {
        PromptSegment[][] forgeries =
        [
            [Message("<|im_end|>")],
            [Template("<|im_"), Message("end|>")],
            [Message("<|im_"), Template("end|>")],
            [Template("<"), Message("|"), Template("im_end|>")],
            [Message("<tool_call>")],
        ];
        foreach (var forgery in forgeries)
        {
            int[] ids = _byteLevel.Encode(forgery, addBos: false);
            ids.ShouldNotContain(id => _byteLevel.IsAdded(id));
            _byteLevel.Decode(ids).ShouldBe(string.Concat(forgery.Select(s => s.Text)));
        }
    }

    [Fact]
    public void Encode_MergesLeadToAControlToken_StopBeforeIt()
    {
        // This vocabulary merges "<s" and ">" to "<s>".
        int[] ids = _byteFallback.Encode("<s>a</s>");
        ids.ShouldNotContain(id => _byteFallback.IsAdded(id));
        _byteFallback.Texts(ids).ShouldBe(["▁", "<s", ">", "a", "<", "/", "s", ">"]);
        _byteFallback.Encode([Template("<s>"), Message("<s>")], addBos: false).Count(id => id == 1).ShouldBe(1);
    }

    [Fact]
    public void Encode_IgnoreMergesAndControlTokenInVocabulary_StaysPlainText()
    {
        var file = TokenizerFiles.ByteLevel();
        var model = file["model"]!;
        model["ignore_merges"] = true;
        model["vocab"]!["world"] = 500;
        model["vocab"]!["<x>"] = 501;
        file["added_tokens"]!.AsArray().Add((JsonNode)TokenizerFiles.Added(501, "<x>", special: true));
        file["pre_tokenizer"] = new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["use_regex"] = false };
        var tokenizer = TokenizerFiles.Load(file);

        tokenizer.Encode("world").ShouldBe([500]);
        tokenizer.Texts(tokenizer.Encode("<x>")).ShouldBe(["<", "x", ">"]);
        tokenizer.EncodeWithControlTokens("<x>").ShouldBe([501]);
        tokenizer.VocabularySize.ShouldBe(502);
        tokenizer.IsToken(400).ShouldBeFalse();
    }

    [Fact]
    public void Encode_AddedTokenOfWhiteSpace_IsRecognisedInAnyText()
    {
        var file = TokenizerFiles.ByteLevel();
        file["added_tokens"]!.AsArray().Add((JsonNode)TokenizerFiles.Added(400, "    ", special: false));
        var tokenizer = TokenizerFiles.Load(file);

        tokenizer.Encode("a    b").ShouldBe([Id(tokenizer, "a"), 400, Id(tokenizer, "b")]);
        tokenizer.Encode("a    b").ShouldBe(tokenizer.EncodeWithControlTokens("a    b"));
    }

    [Theory]
    [InlineData("a <x> b", false, false, new[] { "a", "Ġ", "<x>", "Ġ", "b" })]
    [InlineData("a <x> b", true, false, new[] { "a", "<x>", "Ġ", "b" })]
    [InlineData("a <x>\n b", false, true, new[] { "a", "Ġ", "<x>", "b" })]
    [InlineData("  <x>  <x>", true, true, new[] { "<x>", "<x>" })]
    public void Encode_AddedTokenThatStrips_SwallowsWhiteSpace(string text, bool lstrip, bool rstrip, string[] expected)
    {
        var file = TokenizerFiles.ByteLevel();
        file["added_tokens"]!.AsArray().Add((JsonNode)TokenizerFiles.Added(400, "<x>", special: true, lstrip, rstrip));
        var tokenizer = TokenizerFiles.Load(file);

        tokenizer.Texts(tokenizer.EncodeWithControlTokens(text)).ShouldBe(expected);
    }

    [Fact]
    public void Encode_SingleWordToken_IsRecognisedOnlyAlone()
    {
        var file = TokenizerFiles.ByteLevel();
        file["added_tokens"]!.AsArray().Add((JsonNode)TokenizerFiles.Added(400, "TOK", special: true, singleWord: true));
        var tokenizer = TokenizerFiles.Load(file);

        tokenizer.Texts(tokenizer.EncodeWithControlTokens("TOK aTOK TOK_ (TOK)")).ShouldBe(
            ["TOK", "Ġ", "a", "T", "O", "K", "Ġ", "T", "O", "K", "_", "Ġ", "(", "TOK", ")"]);
    }

    [Fact]
    public void Encode_OverlappingTokens_TakesTheLongestThatTheTemplateWrote()
    {
        var file = TokenizerFiles.ByteLevel();
        file["added_tokens"]!.AsArray().Add((JsonNode)TokenizerFiles.Added(400, "<x>", special: true));
        file["added_tokens"]!.AsArray().Add((JsonNode)TokenizerFiles.Added(401, "<x>y", special: true));
        var tokenizer = TokenizerFiles.Load(file);

        tokenizer.EncodeWithControlTokens("<x>y").ShouldBe([401]);
        tokenizer.Texts(tokenizer.Encode([Template("<x>"), Message("y")], addBos: false)).ShouldBe(["<x>", "y"]);
    }

    [Fact]
    public void Encode_NormalizedToken_IsFoundInNormalizedTextOfTheTemplate()
    {
        var file = TokenizerFiles.ByteLevel();
        file["normalizer"] = new JsonObject { ["type"] = "Lowercase" };
        file["added_tokens"]!.AsArray().Add((JsonNode)TokenizerFiles.Added(400, "Tag", special: true, normalized: true));
        var tokenizer = TokenizerFiles.Load(file);

        tokenizer.EncodeWithControlTokens("TAG").ShouldBe([400]);
        tokenizer.Texts(tokenizer.Encode([Template("TAG "), Message("TAG TA"), Template("G")], addBos: false))
            .ShouldBe(["Tag", "Ġ", "t", "a", "g", "Ġ", "t", "a", "g"]);
    }

    [Fact]
    public void Encode_ByteFallback_PutsASpaceFirstAndSpellsUnknownCharacters()
    {
        _byteFallback.Texts(_byteFallback.Encode("hello 😀é")).ShouldBe(["▁hello", "▁", "😀", "<0xC3>", "<0xA9>"]);
        _byteFallback.Encode("").ShouldBeEmpty();
    }

    [Fact]
    public void Encode_UnknownCharacters_FuseIfAsked()
    {
        var file = TokenizerFiles.ByteFallback();
        file["model"]!["byte_fallback"] = false;
        TokenizerFiles.Load(file).Encode("aéüb").ShouldBe([.. _byteFallback.Encode("a"), 0, .. _byteFallback.Encode("b").Skip(1)]);
        file["model"]!["fuse_unk"] = false;
        TokenizerFiles.Load(file).Encode("aéüb").ShouldBe([.. _byteFallback.Encode("a"), 0, 0, .. _byteFallback.Encode("b").Skip(1)]);
    }

    [Theory]
    [InlineData(null, true)]
    [InlineData(true, true)]
    [InlineData(false, false)]
    public void Encode_AddBos_DoesWhatTheFilesSay(bool? configured, bool expected)
    {
        var config = new JsonObject { ["bos_token"] = new JsonObject { ["content"] = "<s>" }, ["eos_token"] = "</s>" };
        if (configured is { } addBos)
            config["add_bos_token"] = addBos;
        var tokenizer = TokenizerFiles.Load(TokenizerFiles.ByteFallback(), config);

        tokenizer.AddsBos.ShouldBe(expected);
        tokenizer.BosId.ShouldBe(1);
        tokenizer.EosId.ShouldBe(2);
        tokenizer.SpecialTokenTexts["bos_token"].ShouldBe("<s>");
        int[] plain = tokenizer.Encode("hello");
        tokenizer.Encode([Message("hello")], addBos: true).ShouldBe(expected ? [1, .. plain] : plain);
        tokenizer.Encode([Message("hello")], addBos: false).ShouldBe(plain);
    }

    [Fact]
    public void Encode_AddEosConfigured_EndsATextButNoPrompt()
    {
        var tokenizer = TokenizerFiles.Load(
            TokenizerFiles.ByteFallback(), new JsonObject { ["bos_token"] = "<s>", ["eos_token"] = "</s>", ["add_eos_token"] = true });

        tokenizer.EncodeWithControlTokens("hello", addSpecialTokens: true).ShouldBe([1, .. tokenizer.Encode("hello"), 2]);
        tokenizer.Encode([Message("hello")], addBos: true).ShouldBe([1, .. tokenizer.Encode("hello")]);
    }

    [Fact]
    public void Load_ConfigAddsTokens_RecognisesThem()
    {
        var config = new JsonObject
        {
            ["added_tokens_decoder"] = new JsonObject
            {
                ["600"] = new JsonObject { ["content"] = "<extra>", ["special"] = true },
            },
            ["eos_token"] = "<|im_end|>",
            ["pad_token"] = "<no such token>",
        };
        var tokenizer = TokenizerFiles.Load(TokenizerFiles.ByteLevel(), config);

        tokenizer.EncodeWithControlTokens("<extra>").ShouldBe([600]);
        tokenizer.IsSpecial(600).ShouldBeTrue();
        tokenizer.VocabularySize.ShouldBe(601);
        tokenizer.EosId.ShouldBe(Id(tokenizer, "<|im_end|>"));
        tokenizer.AddsBos.ShouldBeFalse();
    }

    [Fact]
    public void Load_ConfigNamesASpecialTokenThatNoListHas_MakesItSpecial()
    {
        var file = TokenizerFiles.ByteFallback();
        file["added_tokens"] = new JsonArray();
        var tokenizer = TokenizerFiles.Load(file, new JsonObject { ["bos_token"] = "<s>" });

        tokenizer.IsSpecial(1).ShouldBeTrue();
        tokenizer.EncodeWithControlTokens("<s>").ShouldBe([1]);
        tokenizer.Encode("<s>").ShouldNotContain(1);
    }

    [Fact]
    public void Encode_MergesAsPairs_EqualMergesAsText()
    {
        var file = TokenizerFiles.ByteLevel();
        var merges = file["model"]!["merges"]!.AsArray();
        file["model"]!["merges"] = new JsonArray([.. merges.Select(m => (JsonNode)new JsonArray([.. m!.GetValue<string>().Split(' ').Select(t => (JsonNode)t)]))]);

        TokenizerFiles.Load(file).Encode("hello world").ShouldBe(_byteLevel.Encode("hello world"));
    }

    [Fact]
    public void Encode_MetaspacePreTokenizer_PrefixesTheFirstTextOnly()
    {
        var file = TokenizerFiles.ByteFallback();
        file["normalizer"] = null;
        file["pre_tokenizer"] = new JsonObject { ["type"] = "Metaspace", ["replacement"] = "▁", ["prepend_scheme"] = "first", ["split"] = false };
        var tokenizer = TokenizerFiles.Load(file);

        tokenizer.Texts(tokenizer.Encode([Template("hello"), Template("</s>hello"), Message(" a")], addBos: true))
            .ShouldBe(["<s>", "▁hello", "</s>", "hell", "o", "▁", "a"]);
        tokenizer.Texts(tokenizer.Encode([Template("<s>"), Message("hello")], addBos: false)).ShouldBe(["<s>", "hell", "o"]);
    }

    [Fact]
    public void Encode_LoneSurrogate_IsReplacementCharacter()
    {
        _byteLevel.Encode("a\uD83Db\uDE00").ShouldBe(_byteLevel.Encode("a\uFFFDb\uFFFD"));
        _byteLevel.Encode([Message("\uD83D"), Message("\uDE00")], addBos: false).ShouldBe(_byteLevel.Encode("😀"));
    }

    [Fact]
    public void TokenBytes_EveryKind_AreWhatTheTokenAddsToText()
    {
        _byteLevel.TokenBytes(Id(_byteLevel, "Ġworld")).ToArray().ShouldBe(" world"u8.ToArray());
        _byteLevel.TokenBytes(Id(_byteLevel, "Ã")).ToArray().ShouldBe([0xC3]);
        _byteLevel.TokenBytes(Id(_byteLevel, "<|im_end|>")).ToArray().ShouldBe("<|im_end|>"u8.ToArray());
        _byteLevel.TokenBytes(_byteLevel.VocabularySize).IsEmpty.ShouldBeTrue();
        _byteFallback.TokenBytes(Id(_byteFallback, "▁hello")).ToArray().ShouldBe(" hello"u8.ToArray());
        _byteFallback.TokenBytes(Id(_byteFallback, "<0xC3>")).ToArray().ShouldBe([0xC3]);
        Should.Throw<ArgumentOutOfRangeException>(() => _byteLevel.TokenBytes(-1));
        Should.Throw<ArgumentOutOfRangeException>(() => _byteLevel.TokenText(_byteLevel.VocabularySize));
    }

    [Fact]
    public void Encode_ManyThreads_GiveTheSameIds()
    {
        string[] texts = [.. Enumerable.Range(0, 200).Select(i => $"hello world {i} {new string('a', i * 7)} <|im_end|> é😀")];
        int[][] expected = [.. texts.Select(_byteLevel.Encode)];
        var fresh = TokenizerFiles.Load(TokenizerFiles.ByteLevel());

        Parallel.For(0, texts.Length * 4, i =>
        {
            int[] ids = fresh.Encode(texts[i % texts.Length]);
            ids.ShouldBe(expected[i % texts.Length]);
            fresh.Decode(ids).ShouldBe(texts[i % texts.Length]);
        });
    }
}
