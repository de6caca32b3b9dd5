using LocalLlm.Evaluation.LongBench;

namespace LocalLlm.Tests.Evaluation;

public class LongBenchMetricsTests
{
    [Theory]
    // "cat sat on mat" and "cat lay on mat": 3 of 4 words shared by both.
    [InlineData("The cat sat on the mat!", "A cat lay on a mat.", 0.75)]
    // 1 of 3 of the answer, 1 of 1 of the right one: 2·(1/3)·1 / (4/3).
    [InlineData("in Paris, France", "paris", 0.5)]
    // "a" twice is an article; "no" counts as often as both have it: 1 of 2 and 1 of 1.
    [InlineData("No, no", "no", 2.0 / 3)]
    [InlineData("Don't", "dont", 1)]
    [InlineData("", "x", 0)]
    [InlineData("the", "the", 0)] // nothing is left to compare
    public void QuestionAnsweringF1_HandCounted(string answer, string right, double expected) =>
        LongBenchMetrics.QuestionAnsweringF1(answer, right, []).ShouldBe(expected, 1e-12);

    [Theory]
    [InlineData("a b c d", "a c d e", 0.75)] // a c d: 3 of 4, 3 of 4
    // Lin's example: against w1..w5 the union of "w1 w2" and "w1 w3 w5" has 4 words; the summary has 8 different ones.
    [InlineData("w1 w2 w6 w7 w8. w1 w3 w8 w9 w5", "w1 w2 w3 w4 w5", 2 * (4.0 / 8) * (4.0 / 5) / ((4.0 / 8) + (4.0 / 5)))]
    // Sentence by sentence: "c d" may come before "a b" in the summary.
    [InlineData("c d. a b.", "a b. c d.", 1)]
    // Without full stops it is one sentence: the longest common subsequence is 2 of 4.
    [InlineData("c d a b", "a b c d", 0.5)]
    [InlineData("a a a", "a", 1)] // a word counts once
    [InlineData("", "a", 0)]
    [InlineData("...", "a", 0)]
    public void RougeL_HandCounted(string summary, string right, double expected) =>
        LongBenchMetrics.RougeL(summary, right, []).ShouldBe(expected, 1e-12);

    [Theory]
    [InlineData("Type: Number", "Number", 1)]
    [InlineData("Number or Person", "Number", 0.5)]
    [InlineData("Other number", "Other number", 1)] // "number" is a part of the right class only
    [InlineData("Person", "Number", 0)]
    [InlineData("none of them", "Number", 0)]
    public void Classification_HandCounted(string answer, string right, double expected) =>
        LongBenchMetrics.Classification(answer, right, ["Number", "number", "Other number", "Person"]).ShouldBe(expected);

    [Theory]
    [InlineData("Paragraph 7", 1)]
    [InlineData("Paragraph 7 or 8", 0.5)]
    [InlineData("Paragraph 17", 0)]
    [InlineData("none", 0)]
    public void Retrieval_ShareOfNumbers(string answer, double expected)
    {
        LongBenchMetrics.Retrieval(answer, "Paragraph 7", []).ShouldBe(expected);
        LongBenchMetrics.RetrievalChinese(answer, "段落7", []).ShouldBe(expected);
        LongBenchMetrics.Count(answer, "7", []).ShouldBe(expected);
    }

    [Theory]
    [InlineData("kitten", "sitting", 8.0 / 13)] // "ittn" is common: 2·4 / (6 + 7)
    [InlineData("abc", "abc", 1)]
    [InlineData("abc", "xyz", 0)]
    [InlineData("", "", 1)]
    [InlineData("", "a", 0)]
    public void Similarity_HandCounted(string a, string b, double expected) => LongBenchMetrics.Similarity(a, b).ShouldBe(expected, 1e-12);

    [Fact]
    public void CodeSimilarity_TakesTheFirstLineOfCodeInHundredths()
    {
        LongBenchMetrics.CodeSimilarity("\n```python\n# a comment\nkitten\nsitting", "sitting", []).ShouldBe(0.62);
        LongBenchMetrics.CodeSimilarity("// only a comment", "x", []).ShouldBe(0);
    }

    [Fact]
    public void Similarity_RandomTexts_IsOneLessEditsByBothLengths()
    {
        var random = new Random(3);
        for (var i = 0; i < 50; i++)
        {
            var (a, b) = (Text(random), Text(random));
            if (a.Length + b.Length > 0)
                LongBenchMetrics.Similarity(a, b).ShouldBe(1 - ((double)Edits(a, b) / (a.Length + b.Length)), 1e-12);
        }
    }

    [Fact]
    public void CommonSubsequence_RandomTexts_HasTheLengthAndLiesInBoth()
    {
        var random = new Random(4);
        for (var i = 0; i < 50; i++)
        {
            char[] a = [.. Text(random)], b = [.. Text(random)];
            var items = CommonSubsequence.Of(a, b);
            items.Count.ShouldBe(CommonSubsequence.Length(a, b));
            Lies(items, a).ShouldBeTrue();
            Lies(items, b).ShouldBeTrue();
        }
    }

    [Fact]
    public void Score_SeveralRightAnswers_TakesTheBest()
    {
        var task = LongBenchTask.All.Single(t => t.Name == "triviaqa");

        task.Score("\nParis\nLondon", ["Rome", "Paris"], []).ShouldBe(1); // only the first line counts
        LongBenchTask.All.Single(t => t.Name == "hotpotqa").Score("Paris\nLondon", ["Paris"], []).ShouldBe(2.0 / 3, 1e-12);
    }

    private static string Text(Random random) => string.Concat(Enumerable.Range(0, random.Next(12)).Select(_ => (char)('a' + random.Next(3))));

    private static bool Lies(List<char> items, char[] text)
    {
        var at = 0;
        return items.All(item => (at = Array.IndexOf(text, item, at) + 1) > 0);
    }

    // The fewest characters to take out and put in, by recursion over beginnings.
    private static int Edits(string a, string b, Dictionary<(int, int), int>? known = null)
    {
        known ??= [];
        if (a.Length == 0 || b.Length == 0)
            return a.Length + b.Length;
        if (!known.TryGetValue((a.Length, b.Length), out var edits))
        {
            edits = a[^1] == b[^1]
                ? Edits(a[..^1], b[..^1], known)
                : 1 + Math.Min(Edits(a[..^1], b, known), Edits(a, b[..^1], known));
            known[(a.Length, b.Length)] = edits;
        }

        return edits;
    }
}
