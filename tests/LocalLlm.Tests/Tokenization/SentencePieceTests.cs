using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using CsCheck;
using LocalLlm.Tokenization;

namespace LocalLlm.Tests.Tokenization;

/// <summary>tokenizer.model: protocol buffers written by the tests, from the tokens and merges of a tokenizer.json.</summary>
public sealed class SentencePieceTests
{
    private const int Normal = 1, Unknown = 2, Control = 3, UserDefined = 4, Byte = 6;

    private static void Number(MemoryStream message, int field, ulong value)
    {
        Varint(message, (ulong)(field << 3));
        Varint(message, value);
    }

    private static void Bytes(MemoryStream message, int field, ReadOnlySpan<byte> value)
    {
        Varint(message, (ulong)((field << 3) | 2));
        Varint(message, (ulong)value.Length);
        message.Write(value);
    }

    private static void Varint(MemoryStream message, ulong value)
    {
        for (; value >= 0x80; value >>= 7)
            message.WriteByte((byte)(value | 0x80));
        message.WriteByte((byte)value);
    }

    private static byte[] Model(
        IEnumerable<(string Text, float Score, int Type)> pieces, int modelType = 2, bool addDummyPrefix = true,
        bool removeSpaces = false, bool byteFallback = true, string map = "")
    {
        using var model = new MemoryStream();
        foreach (var (text, score, type) in pieces)
        {
            using var piece = new MemoryStream();
            Bytes(piece, 1, Encoding.UTF8.GetBytes(text));
            Varint(piece, (2 << 3) | 5);
            piece.Write(BitConverter.GetBytes(score));
            Number(piece, 3, (ulong)type);
            Bytes(model, 1, piece.ToArray());
        }
        using var trainer = new MemoryStream();
        Number(trainer, 3, (ulong)modelType);
        Number(trainer, 35, byteFallback ? 1u : 0);
        Bytes(model, 2, trainer.ToArray());
        using var normalizer = new MemoryStream();
        Bytes(normalizer, 1, "identity"u8);
        Bytes(normalizer, 2, Encoding.UTF8.GetBytes(map));
        Number(normalizer, 3, addDummyPrefix ? 1u : 0);
        Number(normalizer, 4, removeSpaces ? 1u : 0);
        Number(normalizer, 5, 1);
        Bytes(model, 3, normalizer.ToArray());
        return model.ToArray();
    }

    /// <summary>The pieces that have a tokenizer.json's ids; of two merges the first has the higher score.</summary>
    private static List<(string Text, float Score, int Type)> Pieces(JsonNode tokenizer)
    {
        var ranks = new Dictionary<string, int>();
        foreach (var merge in tokenizer["model"]!["merges"]!.AsArray())
            ranks.TryAdd(merge!.GetValue<string>().Replace(" ", "", StringComparison.Ordinal), ranks.Count);
        return [.. tokenizer["model"]!["vocab"]!.AsObject().OrderBy(t => t.Value!.GetValue<int>()).Select(t => (
            t.Key,
            ranks.TryGetValue(t.Key, out int rank) ? -rank : -1000f,
            t.Key switch { "<unk>" => Unknown, "<s>" or "</s>" => Control, _ => t.Key.Length == 6 && t.Key.StartsWith("<0x", StringComparison.Ordinal) ? Byte : Normal }))];
    }

    private static TextTokenizer Load(byte[] model, JsonObject? config = null)
    {
        using var folder = new TemporaryFolder();
        folder.Write("tokenizer.model", model);
        if (config is not null)
            folder.Write("tokenizer_config.json", config.ToJsonString());
        return TextTokenizer.Load(folder.Path);
    }

    [Fact]
    public void Encode_SentencePieceFile_EqualsTheSameTokenizerAsJson()
    {
        var json = TokenizerFiles.Load(TokenizerFiles.ByteFallback());
        var tokenizer = Load(Model(Pieces(TokenizerFiles.ByteFallback())));

        tokenizer.VocabularySize.ShouldBe(json.VocabularySize);
        tokenizer.BosId.ShouldBe(1);
        tokenizer.EosId.ShouldBe(2);
        tokenizer.AddsBos.ShouldBeTrue();
        tokenizer.EncodeWithControlTokens("hello<s> a</s>", addSpecialTokens: true)
            .ShouldBe([1, .. json.EncodeWithControlTokens("hello<s> a</s>")]);
        RoundTripTests.AnyText.Sample(text => tokenizer.Encode(text).ShouldBe(json.Encode(text)));
        RoundTripTests.Check(tokenizer, RoundTripTests.UnderscoreAsSpace);
    }

    [Fact]
    public void Encode_ForgedControlPiece_IsPlainText()
    {
        // The scores of this file merge "<s" and ">" to the control piece "<s>".
        var tokenizer = Load(Model(Pieces(TokenizerFiles.ByteFallback())));

        tokenizer.Texts(tokenizer.Encode("<s>a</s>")).ShouldBe(["▁", "<s", ">", "a", "<", "/", "s", ">"]);
        tokenizer.Encode("<unk>").ShouldNotContain(id => tokenizer.IsAdded(id));
    }

    [Fact]
    public void Encode_PieceOfSeveralPairs_MergesByScoreThenLeftmost()
    {
        // "aaa" is "aa" and "a" or "a" and "aa"; of equal pairs the leftmost is merged first.
        var tokenizer = Load(Model(
            [("<unk>", 0, Unknown), ("a", -10, Normal), ("b", -10, Normal), ("aa", -2, Normal), ("ab", -1, Normal), ("aaa", -3, Normal)],
            addDummyPrefix: false, byteFallback: false));

        tokenizer.Texts(tokenizer.Encode("aaaaa")).ShouldBe(["aa", "aaa"]);
        tokenizer.Texts(tokenizer.Encode("aaab")).ShouldBe(["aa", "ab"]);
        tokenizer.Encode("axyb").ShouldBe([1, 0, 2]);
    }

    [Fact]
    public void Encode_NotLegacy_PrefixesTheFirstTextOnly()
    {
        var tokenizer = Load(Model(Pieces(TokenizerFiles.ByteFallback())), new JsonObject { ["legacy"] = false, ["add_bos_token"] = false });

        tokenizer.AddsBos.ShouldBeFalse();
        tokenizer.Texts(tokenizer.EncodeWithControlTokens("hello</s>hello")).ShouldBe(["▁hello", "</s>", "hell", "o"]);
    }

    [Fact]
    public void Encode_Stories260KAsSentencePiece_EqualsGolden()
    {
        string folder = SharedData.Require("stories260K");
        var tokenizer = Load(Model(Pieces(JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "tokenizer.json")))!)));
        using var json = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "golden.json")));
        foreach (var golden in json.RootElement.GetProperty("encode").EnumerateArray())
        {
            int[] expected = [.. golden.GetProperty("ids").EnumerateArray().Select(e => e.GetInt32())];
            tokenizer.Encode([new PromptSegment(golden.GetProperty("text").GetString()!, false)], addBos: true).ShouldBe(expected);
        }
    }

    [Fact]
    public void Load_UserDefinedPiece_IsAddedButNotSpecial()
    {
        var tokenizer = Load(Model([.. Pieces(TokenizerFiles.ByteFallback()), ("[INST]", 0, UserDefined)]));
        int id = tokenizer.VocabularySize - 1;

        tokenizer.EncodeWithControlTokens("[INST]").ShouldBe([id]);
        tokenizer.IsAdded(id).ShouldBeTrue();
        tokenizer.IsSpecial(id).ShouldBeFalse();
        tokenizer.Encode("[INST]").ShouldNotContain(id);
    }

    [Fact]
    public void Load_UnsupportedSettings_ListsThem()
    {
        var pieces = Pieces(TokenizerFiles.ByteFallback());
        var error = Should.Throw<ModelLoadException>(() => Load(Model(pieces[10..], modelType: 1, removeSpaces: true, map: "x")));

        error.Message.ShouldContain("only 2 (byte pair encoding)");
        error.Message.ShouldContain("character map");
        error.Message.ShouldContain("remove_extra_whitespaces");
        error.Message.ShouldContain("<0x00> to <0xFF>");
    }

    [Fact]
    public void Load_PieceTwice_IsRefused()
    {
        var pieces = Pieces(TokenizerFiles.ByteFallback());
        Should.Throw<ModelLoadException>(() => Load(Model([.. pieces, pieces[^1]]))).Message.ShouldContain("tokenizer.model");
    }

    [Fact]
    public void Load_BrokenFile_IsALoadError()
    {
        byte[] model = Model(Pieces(TokenizerFiles.ByteFallback()));
        Gen.Select(Gen.Int[0, model.Length - 1], Gen.Byte, Gen.Bool).Sample((position, value, cut) =>
        {
            byte[] broken = cut ? model[..position] : [.. model[..position], value, .. model[(position + 1)..]];
            try
            {
                Load(broken).Encode("hello <s>").ShouldNotBeEmpty();
            }
            catch (ModelLoadException e)
            {
                e.Errors.ShouldNotBeEmpty();
            }
        });
    }
}
