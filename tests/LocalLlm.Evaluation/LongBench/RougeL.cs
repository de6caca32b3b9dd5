namespace LocalLlm.Evaluation.LongBench;

/// <summary>
/// ROUGE-L of a summary (Lin 2004, section 3.2), as LongBench has it from the Python package "rouge": sentences end with full stops, words
/// are what
/// white space parts, and every word counts once. What a summary shares with the right one are the different words in the longest common
/// subsequences of all pairs of a sentence of each.
/// </summary>
internal static class RougeL
{
    /// <summary>Harmonic mean of precision and recall; 0 if either text has no sentence.</summary>
    public static double F1(string summary, string right)
    {
        var (summarySentences, rightSentences) = (Sentences(summary), Sentences(right));
        if (summarySentences.Count == 0 || rightSentences.Count == 0)
            return 0;
        HashSet<string> shared = [];
        foreach (var sentence in rightSentences)
        {
            foreach (var other in summarySentences)
                shared.UnionWith(CommonSubsequence.Of(sentence, other));
        }

        return LongBenchMetrics.F1(shared.Count, DifferentWords(summarySentences), DifferentWords(rightSentences));
    }

    // A piece of white space alone is a sentence of one empty word for the package.
    private static List<string[]> Sentences(string text) =>
    [
        .. text.Split('.').Where(s => s.Length > 0)
            .Select(s => s.Split(default(char[]), StringSplitOptions.RemoveEmptyEntries)).Select(words => words.Length == 0 ? [""] : words),
    ];

    private static int DifferentWords(List<string[]> sentences) => sentences.SelectMany(s => s).Distinct().Count();
}
