using System.Text.RegularExpressions;
using CsCheck;
using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Tests.Sampling.Constraints.Automata;

/// <summary>Automata of patterns against .NET's own regular expressions, where the two dialects mean the same.</summary>
public class RegexCompilerTests
{
    private static readonly string[] Atoms =
    [
        "a", "b", "c", ".", "[ab]", "[^a]", @"\d", @"\w", @"\s", @"\D", "1",
        "^", "$", "a$", "^b", @"\.", "[a-c1]",
    ];

    private static readonly string[] Quantifiers = ["*", "+", "?", "{2}", "{1,}", "{0,2}"];

    private static readonly Gen<string> Patterns = Gen.Int.Select(seed => Pattern(new Random(seed), 0));

    private static readonly Gen<string> Texts = Gen.OneOf("a", "b", "c", "1", ".", " ", "_").Array[0, 6].Select(string.Concat);

    [Fact]
    public void Compile_RandomPatterns_MatchesAsTheReference() =>
        Gen.Select(Patterns, Texts.Array[30]).Sample((pattern, texts) =>
        {
            var (search, whole) = (RegexCompiler.Compile(pattern, anchored: false), RegexCompiler.Compile(pattern, anchored: true));
            // On these ASCII texts the two dialects agree; the backtracking matcher overflows or does not come back from some patterns.
            var (searchReference, wholeReference) = (new Regex(pattern, RegexOptions.NonBacktracking), new Regex($"^(?:{pattern})$", RegexOptions.NonBacktracking));
            foreach (var text in texts)
            {
                CharDfas.Matches(search, text).ShouldBe(searchReference.IsMatch(text), $"{pattern} in '{text}'");
                CharDfas.Matches(whole, text).ShouldBe(wholeReference.IsMatch(text), $"{pattern} as '{text}'");
            }
        }, iter: 2000);

    [Theory]
    [InlineData(@"^\p{L}+$", "aé漢", true)]
    [InlineData(@"^\p{Lu}$", "a", false)]
    [InlineData(@"^\P{Nd}$", "5", false)]
    [InlineData(@"^.$", "😀", true)]
    [InlineData("^a*?b+?c??d{1,2}?$", "aabbcd", true)]
    [InlineData("^(^a|b$)*$", "ab", true)]
    [InlineData("^(^a|b$)*$", "ba", false)]
    [InlineData("$^", "", true)]
    [InlineData("$^", "a", false)]
    [InlineData(@"^[\u{1F600}-\u{1F64F}]$", "😀", true)]
    [InlineData(@"^\uD83D\uDE00$", "😀", true)]
    [InlineData(@"^\x41\t\cA\0$", "A\t\u0001\0", true)]
    [InlineData(@"^[\b\-\]]+$", "\b-]", true)]
    [InlineData(@"^(?<year>\d{4})$", "2024", true)]
    [InlineData(@"^.$", "\n", false)]
    [InlineData(@"^a{,2}$", "a{,2}", true)]
    [InlineData(@"^-?(\d+\.)?\d{2}:\d{2}:\d{2}(\.\d{1,7})?$", "1.02:03:04.5", true)]
    public void Compile_EcmaScriptSyntax_IsRead(string pattern, string text, bool expected) =>
        CharDfas.Matches(RegexCompiler.Compile(pattern, anchored: false), text).ShouldBe(expected);

    private static string Pattern(Random random, int depth) => random.Next(depth < 4 ? 6 : 1) switch
    {
        0 => Atoms[random.Next(Atoms.Length)],
        1 or 2 => Pattern(random, depth + 1) + Pattern(random, depth + 1),
        3 or 4 => $"(?:{Pattern(random, depth + 1)}|{Pattern(random, depth + 1)})",
        _ => Quantified(Pattern(random, depth + 1), random),
    };

    /// <summary>
    /// Nothing lazy, and anchors are not repeated: the reference overflows on (((a*)+)*?)? and does not come back from ((^)*?){0,2}.
    /// </summary>
    private static string Quantified(string item, Random random) =>
        item.Contains('^') || item.Contains('$') ? item : $"({item}){Quantifiers[random.Next(Quantifiers.Length)]}";

    [Theory]
    [InlineData("a(?=b)", "look-ahead at position 1")]
    [InlineData("(?<!a)b", "look-behind at position 0")]
    [InlineData(@"(a)\1", "back reference at position 3")]
    [InlineData(@"\bword", "word boundary at position 0")]
    [InlineData("a++", "possessive")]
    [InlineData("(a", "not closed")]
    [InlineData("a)", "closes nothing")]
    [InlineData("*a", "nothing to repeat")]
    [InlineData("[z-a]", "range")]
    [InlineData("a{3,2}", "above its maximum")]
    [InlineData(@"\p{Script=Greek}", "Script=Greek")]
    [InlineData(@"\y", "unknown")]
    [InlineData("(a{0,1000}){0,1000}", "states")]
    public void Compile_PatternThatIsNotRegularOrWrong_SaysWhatAndWhere(string pattern, string expected) =>
        Should.Throw<ConstraintException>(() => RegexCompiler.Compile(pattern, anchored: true)).Message.ShouldContain(expected);
}
