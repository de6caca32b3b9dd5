namespace LocalLlm.Evaluation.LongBench;

/// <summary>Scores an answer against one of the right ones, 0 to 1; the classes are those of a classification, else empty.</summary>
internal delegate double LongBenchMetric(string answer, string right, IReadOnlyList<string> classes);

/// <summary>A task of LongBench (arXiv 2308.14508): how it is asked and scored.</summary>
/// <param name="Name">As in its file's name.</param>
/// <param name="Metric">How an answer is scored; null where this project cannot.</param>
/// <param name="MetricName">For tables.</param>
/// <param name="UsesChat">False where the prompt is text to go on with, also for chat models.</param>
/// <param name="FirstLineOnly">True where only the first line of an answer counts.</param>
internal sealed record LongBenchTask(
    string Name, LongBenchMetric? Metric, string MetricName, bool UsesChat = true, bool FirstLineOnly = false)
{
    private const string NeedsWords = "its metric needs Chinese text cut into words as the segmenter jieba does";

    /// <summary>Every task.</summary>
    public static IReadOnlyList<LongBenchTask> All { get; } =
    [
        QuestionAnswering("narrativeqa"), QuestionAnswering("qasper"), QuestionAnswering("multifieldqa_en"), QuestionAnswering("hotpotqa"),
        QuestionAnswering("2wikimqa"), QuestionAnswering("musique"),
        QuestionAnswering("triviaqa") with { UsesChat = false, FirstLineOnly = true },
        Summary("gov_report"), Summary("qmsum"), Summary("multi_news"), Summary("samsum") with { UsesChat = false, FirstLineOnly = true },
        new("trec", LongBenchMetrics.Classification, "accuracy", UsesChat: false, FirstLineOnly: true),
        new("lsht", LongBenchMetrics.Classification, "accuracy", UsesChat: false, FirstLineOnly: true),
        new("passage_retrieval_en", LongBenchMetrics.Retrieval, "accuracy"),
        new("passage_retrieval_zh", LongBenchMetrics.RetrievalChinese, "accuracy"),
        new("passage_count", LongBenchMetrics.Count, "accuracy"),
        new("lcc", LongBenchMetrics.CodeSimilarity, "edit similarity", UsesChat: false),
        new("repobench-p", LongBenchMetrics.CodeSimilarity, "edit similarity", UsesChat: false),
        new("multifieldqa_zh", null, NeedsWords), new("dureader", null, NeedsWords), new("vcsum", null, NeedsWords),
    ];

    /// <summary>The task of a file, whose name without its end is the task's, or that with "_e" for LongBench-E.</summary>
    /// <returns>Null if there is none.</returns>
    public static LongBenchTask? OfFile(string path) => All.FirstOrDefault(t => t.Name == BaseName(path));

    /// <summary>The task's name in a file's name.</summary>
    public static string BaseName(string path)
    {
        var name = Path.GetFileNameWithoutExtension(path);
        return name.EndsWith("_e", StringComparison.Ordinal) ? name[..^2] : name;
    }

    /// <summary>The best score of an answer against the right ones.</summary>
    public double Score(string answer, IReadOnlyList<string> right, IReadOnlyList<string> classes)
    {
        var counted = FirstLineOnly ? answer.TrimStart('\n').Split('\n')[0] : answer;
        return right.Select(r => Metric!(counted, r, classes)).DefaultIfEmpty(0).Max();
    }

    private static LongBenchTask QuestionAnswering(string name) => new(name, LongBenchMetrics.QuestionAnsweringF1, "F1");

    private static LongBenchTask Summary(string name) => new(name, LongBenchMetrics.RougeL, "ROUGE-L");
}
