using System.Globalization;
using System.Text.RegularExpressions;

namespace LocalLlm.Evaluation.LongBench;

/// <summary>LongBench's metrics, by their definitions; each 0 to 1.</summary>
internal static partial class LongBenchMetrics
{
    private const string Punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

    /// <summary>
    /// F1 of the words that answer and right answer share, each as often as both have it; without capitals, punctuation and the articles a,
    /// an, the
    /// (SQuAD, arXiv 1606.05250).
    /// </summary>
    public static double QuestionAnsweringF1(string answer, string right, IReadOnlyList<string> classes)
    {
        var (answerWords, rightWords) = (NormalWords(answer), NormalWords(right));
        var counts = rightWords.CountBy(w => w).ToDictionary();
        var shared = answerWords.CountBy(w => w).Sum(w => Math.Min(w.Value, counts.GetValueOrDefault(w.Key)));
        return F1(shared, answerWords.Length, rightWords.Length);
    }

    /// <summary>ROUGE-L's F1, see <see cref="LongBench.RougeL"/>.</summary>
    public static double RougeL(string answer, string right, IReadOnlyList<string> classes) => LongBench.RougeL.F1(answer, right);

    /// <summary>
    /// One over the number of classes that the answer names, if the right one is among them. A class whose name is only a part of the right
    /// one's
    /// does not count as named.
    /// </summary>
    public static double Classification(string answer, string right, IReadOnlyList<string> classes)
    {
        var named = classes.Where(c => answer.Contains(c, StringComparison.Ordinal))
            .Where(c => c == right || !right.Contains(c, StringComparison.Ordinal)).ToList();
        return named.Contains(right) ? 1.0 / named.Count : 0;
    }

    /// <summary>Which share of the numbers in the answer is the right paragraph's; the right answer reads "Paragraph 7".</summary>
    public static double Retrieval(string answer, string right, IReadOnlyList<string> classes) =>
        ShareOfNumbers(answer, Number(ParagraphNumber(), right));

    /// <summary>As <see cref="Retrieval"/>; the right answer reads "段落7".</summary>
    public static double RetrievalChinese(string answer, string right, IReadOnlyList<string> classes) =>
        ShareOfNumbers(answer, Number(ParagraphNumberChinese(), right));

    /// <summary>Which share of the numbers in the answer is the right one.</summary>
    public static double Count(string answer, string right, IReadOnlyList<string> classes) => ShareOfNumbers(answer, right);

    /// <summary>
    /// Similarity of the answer's first line of code, one without `, # and //, to the right line, in whole hundredths; see <see
    /// cref="Similarity"/>.
    /// </summary>
    public static double CodeSimilarity(string answer, string right, IReadOnlyList<string> classes)
    {
        var line = answer.TrimStart('\n').Split('\n')
            .FirstOrDefault(l => l.AsSpan().IndexOfAny('`', '#') < 0 && !l.Contains("//", StringComparison.Ordinal));
        return Math.Round(100 * Similarity(line ?? "", right)) / 100;
    }

    /// <summary>
    /// Edit similarity, 1 less the edits as a share of both lengths: an edit puts in or takes out a character, so a change of one is two.
    /// The same
    /// as twice the longest common subsequence by both lengths. 1 for equal texts, empty ones too.
    /// </summary>
    public static double Similarity(string a, string b) =>
        a == b ? 1 : 2.0 * CommonSubsequence.Length<char>([.. a], [.. b]) / (a.Length + b.Length);

    /// <summary>F1 of so many shared of the answer's and the right answer's.</summary>
    internal static double F1(int shared, int answers, int rights)
    {
        if (shared == 0)
            return 0;
        var (precision, recall) = ((double)shared / answers, (double)shared / rights);
        return 2 * precision * recall / (precision + recall);
    }

    private static string[] NormalWords(string text)
    {
        var small = text.ToLower(CultureInfo.InvariantCulture);
        var letters = string.Concat(small.Where(c => !Punctuation.Contains(c, StringComparison.Ordinal)));
        return Articles().Replace(letters, " ").Split(default(char[]), StringSplitOptions.RemoveEmptyEntries);
    }

    private static double ShareOfNumbers(string answer, string right)
    {
        var numbers = Numbers().Matches(answer);
        return numbers.Count == 0 ? 0 : (double)numbers.Count(n => n.Value == right) / numbers.Count;
    }

    private static string Number(Regex paragraph, string right) => paragraph.Match(right) is { Success: true } match
        ? match.Groups[1].Value
        : throw new FormatException($"the right answer '{right}' names no paragraph");

    [GeneratedRegex(@"\b(a|an|the)\b")]
    private static partial Regex Articles();

    [GeneratedRegex(@"\d+")]
    private static partial Regex Numbers();

    [GeneratedRegex(@"Paragraph (\d+)")]
    private static partial Regex ParagraphNumber();

    [GeneratedRegex(@"段落(\d+)")]
    private static partial Regex ParagraphNumberChinese();
}
