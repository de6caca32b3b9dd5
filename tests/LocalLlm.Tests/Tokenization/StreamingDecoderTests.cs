using System.Text;
using CsCheck;
using LocalLlm.Tokenization;

namespace LocalLlm.Tests.Tokenization;

public sealed class StreamingDecoderTests
{
    private readonly TextTokenizer _byteLevel = TokenizerFiles.Load(TokenizerFiles.ByteLevel());
    private readonly TextTokenizer _byteFallback = TokenizerFiles.Load(TokenizerFiles.ByteFallback());

    internal static List<string> Stream(TextTokenizer tokenizer, IEnumerable<int> ids, bool atBeginning = true, bool includeSpecial = false)
    {
        var decoder = new StreamingDecoder(tokenizer, atBeginning, includeSpecial);
        List<string> deltas = [.. ids.Select(decoder.Add)];
        deltas.Add(decoder.Flush());
        return deltas;
    }

    /// <summary>Random ids: the deltas join to the whole, and none has half a character.</summary>
    internal static void CheckRandomIds(TextTokenizer tokenizer) =>
        Gen.Select(Gen.Int[0, tokenizer.VocabularySize + 2].Array[0, 40], Gen.Bool).Sample((ids, skipSpecial) =>
        {
            var deltas = Stream(tokenizer, ids, atBeginning: true, includeSpecial: !skipSpecial);
            string whole = string.Concat(deltas);
            whole.ShouldBe(tokenizer.Decode(ids, skipSpecial));
            foreach (string delta in deltas)
                new UnicodeEncoding(false, false, throwOnInvalidBytes: true).GetByteCount(delta).ShouldBe(delta.Length * 2);

            byte[] bytes = [.. ids.Where(id => !skipSpecial || !tokenizer.IsSpecial(id)).SelectMany(id => tokenizer.TokenBytes(id).ToArray())];
            string plain = Encoding.UTF8.GetString(bytes);
            bool strips = tokenizer.Decoder.StripStart.Count == 1 && plain.StartsWith(' ');
            whole.ShouldBe(strips ? plain[1..] : plain);
        });

    [Fact]
    public void Add_RandomIds_DeltasJoinToTheWhole()
    {
        CheckRandomIds(_byteLevel);
        CheckRandomIds(_byteFallback);
    }

    [Fact]
    public void Add_CharacterOfSeveralTokens_AppearsWithTheLast()
    {
        Stream(_byteLevel, _byteLevel.Encode("a😀é")).ShouldBe(["a", "", "", "", "😀", "", "é", ""]);
        Stream(_byteFallback, _byteFallback.Encode("aé")).ShouldBe(["", "a", "", "é", ""]);
    }

    [Fact]
    public void Flush_UnfinishedCharacter_GivesReplacementCharacter()
    {
        int[] ids = _byteLevel.Encode("a😀");
        Stream(_byteLevel, ids[..^1]).ShouldBe(["a", "", "", "", "\uFFFD"]);
        // An invalid byte does not take the good ones after it along.
        Stream(_byteLevel, [.. ids[..^1], .. _byteLevel.Encode("hello")]).ShouldBe(["a", "", "", "", "\uFFFDhello", ""]);
    }

    [Fact]
    public void Add_SpecialTokens_AppearOnlyIfAsked()
    {
        int[] ids = _byteLevel.EncodeWithControlTokens("<|im_start|>a<tool_call><|im_end|>");

        Stream(_byteLevel, ids).ShouldBe(["", "a", "<tool_call>", "", ""]);
        Stream(_byteLevel, ids, includeSpecial: true).ShouldBe(["<|im_start|>", "a", "<tool_call>", "<|im_end|>", ""]);
    }

    [Fact]
    public void Add_FirstSpace_IsStrippedAtATextsBeginningOnly()
    {
        int[] ids = _byteFallback.Encode("hello hello");

        string.Concat(Stream(_byteFallback, ids)).ShouldBe("hello hello");
        string.Concat(Stream(_byteFallback, ids, atBeginning: false)).ShouldBe(" hello hello");
        string.Concat(Stream(_byteFallback, _byteFallback.Encode("  hello"))).ShouldBe("  hello");
        // After the special token's own text there is no beginning left to strip.
        string.Concat(Stream(_byteFallback, [1, .. ids], includeSpecial: true)).ShouldBe("<s> hello hello");
        string.Concat(Stream(_byteFallback, [1, .. ids], includeSpecial: false)).ShouldBe("hello hello");
    }

    [Fact]
    public void Add_ContinuedText_JoinsToTheWhole()
    {
        int[] ids = _byteFallback.Encode("hello all hello,  to all");
        for (int prompt = 1; prompt < ids.Length; prompt++)
        {
            string continued = _byteFallback.Decode(ids.AsSpan(0, prompt)) + string.Concat(Stream(_byteFallback, ids[prompt..], atBeginning: false));
            continued.ShouldBe("hello all hello,  to all");
        }
    }

    [Fact]
    public void Decode_MetaspaceDecoder_DropsItsCharacterFromTheFirstToken()
    {
        var file = TokenizerFiles.ByteFallback();
        file["decoder"] = new System.Text.Json.Nodes.JsonObject { ["type"] = "Metaspace", ["replacement"] = "▁", ["prepend_scheme"] = "always" };
        var tokenizer = TokenizerFiles.Load(file);

        tokenizer.Decode(tokenizer.Encode("hello hello")).ShouldBe("hello hello");
        string.Concat(Stream(tokenizer, tokenizer.Encode("hello"), atBeginning: false)).ShouldBe(" hello");
    }
}
