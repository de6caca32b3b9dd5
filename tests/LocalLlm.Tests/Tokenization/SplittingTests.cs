using System.Text;
using CsCheck;
using LocalLlm.Tokenization;

namespace LocalLlm.Tests.Tokenization;

public sealed class SplittingTests
{
    private static string[] Split(string text, params SplitStep[] steps)
    {
        var words = new WordSplitter(steps).Split(text, isTextStart: true);
        return [.. words.Spans.Select(s => words.Text.Substring(s.Start, s.Length))];
    }

    private static PatternSplitStep Regex(string pattern, SplitBehavior behavior = SplitBehavior.Isolated, bool invert = false) =>
        new(TextPattern.FromRegex(pattern), behavior, invert);

    [Fact]
    public void Split_Llama3Pattern_GivesItsWords() =>
        Split("Hello 12345 world's  end\n\n x😀", Regex(TokenizerFiles.Llama3Pattern))
            .ShouldBe(["Hello", " ", "123", "45", " world", "'s", " ", " end", "\n\n", " x", "😀"]);

    [Fact]
    public void Split_LettersAndDigitsBeyondTheBmp_AreLettersAndDigits() =>
        Split("𝒜𝒷c 𠀀𠀁 𝟙𝟚", Regex(@"\p{L}+|\p{N}+|\s")).ShouldBe(["𝒜𝒷c", " ", "𠀀𠀁", " ", "𝟙𝟚"]);

    [Theory]
    [InlineData(SplitBehavior.Isolated, new[] { "the", "-", "final", "-", "-", "countdown" })]
    [InlineData(SplitBehavior.Removed, new[] { "the", "final", "countdown" })]
    [InlineData(SplitBehavior.Contiguous, new[] { "the", "-", "final", "--", "countdown" })]
    [InlineData(SplitBehavior.MergedWithPrevious, new[] { "the-", "final-", "-", "countdown" })]
    [InlineData(SplitBehavior.MergedWithNext, new[] { "the", "-final", "-", "-countdown" })]
    internal void Split_EachBehavior_TreatsMatchesSo(SplitBehavior behavior, string[] expected)
    {
        Split("the-final--countdown", Regex("-", behavior)).ShouldBe(expected);
        Split("the-final--countdown", new PatternSplitStep(TextPattern.FromLiteral("-"), behavior, invert: false)).ShouldBe(expected);
    }

    [Fact]
    public void Split_Inverted_TakesWhatLiesBetween() =>
        Split("ab, cd", Regex(@"\w+", SplitBehavior.Removed, invert: true)).ShouldBe(["ab", "cd"]);

    [Fact]
    public void Split_StepAfterStep_SplitsEachWordAlone() =>
        // The second pattern sees each word as a text of its own: so the lookahead at a word's end finds nothing.
        Split("a  1", Regex(@"\p{N}"), Regex(@"\s+(?!\S)|\s+")).ShouldBe(["a", "  ", "1"]);

    [Fact]
    public void Split_ByteLevelThenPattern_SeesTheByteLevelAlphabet() =>
        Split("a b", new ByteLevelStep(), new PatternSplitStep(TextPattern.FromLiteral("Ġ"), SplitBehavior.Isolated, false)).ShouldBe(["a", "Ġ", "b"]);

    [Theory]
    [InlineData(@"a?+b", @"(?>a?)b")]
    [InlineData(@"[^\r\n\p{L}]?+\p{L}++", @"(?>[^\r\n\p{L}]?)(?>\p{L}+)")]
    [InlineData(@"(?:ab|c)*+d", @"(?>(?:ab|c)*)d")]
    [InlineData(@"\x{3042}\h", @"\u3042[0-9a-fA-F]")]
    [InlineData(@"\p{^L}{1,3}", @"\P{L}{1,3}")]
    [InlineData(TokenizerFiles.Llama3Pattern, TokenizerFiles.Llama3Pattern)]
    public void ToDotNet_DifferentSyntax_IsRewritten(string oniguruma, string expected) => OnigurumaSyntax.ToDotNet(oniguruma).ShouldBe(expected);

    [Theory]
    [InlineData("[[:alpha:]]")]
    [InlineData("[a-z&&b]")]
    [InlineData("😀")]
    [InlineData("[a")]
    [InlineData("a\\")]
    [InlineData(@"\p")]
    [InlineData(@"\x{110000}")]
    [InlineData("a{1,2}+")]
    public void ToDotNet_WhatDotNetCannotDo_IsRefused(string pattern) => Should.Throw<ArgumentException>(() => OnigurumaSyntax.ToDotNet(pattern));

    [Fact]
    public void StandIn_OfEveryCharacter_HasItsCategory() =>
        Gen.Int[0x10000, 0x10FFFF].Sample(value =>
            Rune.GetUnicodeCategory(new Rune(TextPattern.StandIn(new Rune(value)))) == Rune.GetUnicodeCategory(new Rune(value)));

    [Fact]
    public void Split_AnyText_LosesNothing() =>
        Gen.String.Sample(text =>
        {
            string valid = MaskedText.Join([new PromptSegment(text, true)]).Text;
            string.Concat(Split(valid, Regex(TokenizerFiles.Llama3Pattern))).ShouldBe(valid);
        });
}
