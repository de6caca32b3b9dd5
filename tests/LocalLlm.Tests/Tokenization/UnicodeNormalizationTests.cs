using CsCheck;
using LocalLlm.Tokenization;

namespace LocalLlm.Tests.Tokenization;

public sealed class UnicodeNormalizationTests
{
    private static readonly Gen<string> Combining = Gen.OneOf(
        Gen.Char['a', 'z'], Gen.Char['\u00C0', '\u017F'], Gen.Char['\u0300', '\u036F'], Gen.Char['\u1100', '\u11FF'],
        Gen.Char['\uAC00', '\uACFF'], Gen.Char['\u0900', '\u0DFF'], Gen.Char['\u1E00', '\u1FFF']).Array[0, 12].Select(c => new string(c));

    [Theory]
    [InlineData("e\u0301", "\u00E9")]
    [InlineData("q\u0307\u0323", "q\u0323\u0307")] // reordered
    [InlineData("\u1E0B\u0323", "\u1E0D\u0307")] // composed anew
    [InlineData("\u212B", "\u00C5")] // a singleton
    [InlineData("\u0958", "\u0915\u093C")] // never composed
    [InlineData("\u0344", "\u0308\u0301")]
    [InlineData("\u1100\u1161\u11A8", "\uAC01")]
    [InlineData("\uAC00\u11A8", "\uAC01")]
    [InlineData("\uAC01\u11A8", "\uAC01\u11A8")]
    [InlineData("a\u0315\u0300\u05AE\u0300b", "\u00E0\u05AE\u0300\u0315b")]
    [InlineData("\uD834\uDD5E", "\uD834\uDD57\uD834\uDD65")]
    [InlineData("\uFB01 ½", "\uFB01 ½")] // compatibility characters stay
    public void Normalize_FormC_GivesTheStandardsResult(string text, string expected) => UnicodeNormalization.Normalize(text, compose: true).ShouldBe(expected);

    [Theory]
    [InlineData("\u00E9", "e\u0301")]
    [InlineData("\uAC01", "\u1100\u1161\u11A8")]
    [InlineData("\u1E69", "s\u0323\u0307")]
    public void Normalize_FormD_Decomposes(string text, string expected) => UnicodeNormalization.Normalize(text, compose: false).ShouldBe(expected);

    [Fact]
    public void Normalize_AnyText_FormsAgree() => Combining.Sample(text =>
    {
        string composed = UnicodeNormalization.Normalize(text, compose: true);
        string decomposed = UnicodeNormalization.Normalize(text, compose: false);
        UnicodeNormalization.Normalize(composed, compose: true).ShouldBe(composed);
        UnicodeNormalization.Normalize(decomposed, compose: true).ShouldBe(composed);
        UnicodeNormalization.Normalize(composed, compose: false).ShouldBe(decomposed);
    });

    [Fact]
    public void Apply_TextOfTemplateAndMessage_EqualsTheWholeText() => Gen.Select(Combining, Combining).Sample((first, second) =>
    {
        var text = MaskedText.Join([new PromptSegment(first, true), new PromptSegment(second, false)]);
        var normalized = new UnicodeFormStep(compose: true).Apply(text);
        normalized.Text.ShouldBe(UnicodeNormalization.Normalize(text.Text, compose: true));
        normalized.IsTemplate!.Length.ShouldBe(normalized.Text.Length);
    });
}
