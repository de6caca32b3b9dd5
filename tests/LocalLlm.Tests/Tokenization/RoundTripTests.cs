using CsCheck;
using LocalLlm.Tokenization;

namespace LocalLlm.Tests.Tokenization;

public sealed class RoundTripTests
{
    /// <summary>Any text: all kinds of characters, lone surrogates, and pieces of control tokens.</summary>
    internal static readonly Gen<string> AnyText = Gen.OneOf(
        Gen.String,
        TokenizerFiles.OneOf(
            "hello", " ", "  ", "\n", "\r\n", "\t", "😀", "👩‍👩‍👧", "🇩🇪", "é", "e\u0301", "한국어", "中文字", "עברית", "नमस्ते",
            "a\u0315\u0300", "\uD83D", "\uDE00", "123456", "<|", "|>", "<|im_end|>", "<s>", "</s>", "<0x41>", "_", "'s", "'LL", "ſ", "\u0130", "𝒜", "𠀀",
            "\u00A0", "\u3000", "\0").Array[0, 12].Select(string.Concat));

    /// <summary>What comes back of a text: lone surrogates have no UTF-8 form.</summary>
    internal static string Valid(string text) => MaskedText.Join([new PromptSegment(text, IsTemplate: true)]).Text;

    internal static void Check(TextTokenizer tokenizer, Func<string, string> expected) => AnyText.Sample(text =>
    {
        int[] ids = tokenizer.Encode(text);
        tokenizer.Decode(ids, skipSpecial: false).ShouldBe(expected(Valid(text)));
        // What every token's text gives is there at once: nothing waits for U+FFFD.
        string.Concat(StreamingDecoderTests.Stream(tokenizer, ids)).ShouldBe(expected(Valid(text)));
        ids.ShouldNotContain(id => tokenizer.IsAdded(id));
    });

    // A text's own ▁ comes back as the space for which these vocabularies use it.
    internal static string UnderscoreAsSpace(string text) => text.Replace('▁', ' ');

    [Fact]
    public void Decode_EncodedByByteLevel_GivesTheComposedText() =>
        Check(TokenizerFiles.Load(TokenizerFiles.ByteLevel()), text => UnicodeNormalization.Normalize(text, compose: true));

    [Fact]
    public void Decode_EncodedWithByteFallback_GivesTheText() => Check(TokenizerFiles.Load(TokenizerFiles.ByteFallback()), UnderscoreAsSpace);

    [Fact]
    public void Encode_AnySegments_AreTheIdsOfTheJoinedText()
    {
        var tokenizer = TokenizerFiles.Load(TokenizerFiles.ByteLevel());
        Gen.Select(AnyText, AnyText, AnyText).Sample((first, second, third) =>
            tokenizer.Encode([new PromptSegment(first, false), new PromptSegment(second, false), new PromptSegment(third, false)], addBos: false)
                .ShouldBe(tokenizer.Encode(first + second + third)));
    }
}
