using System.Globalization;
using DemoModel.Dialogues;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Report;
using LocalLlm.Evaluation.Results;

namespace LocalLlm.Evaluation.Recall;

/// <summary>Recall by where the answer was, by kind, and by distance.</summary>
internal sealed class RecallSection : IReportSection
{
    /// <summary>Upper ends of the distance classes, in tokens.</summary>
    private static readonly int[] Distances = [125, 250, 500, 1000, 2000, 4000, 8000];

    /// <summary>What the picture shows; all are in the tables.</summary>
    private static readonly string[] Pictured = ["dense", "ours", "logquant-paper", "kivi", "sink-recent", "ours-log", "streaming-llm"];

    private static readonly string[] ToldMethods = ["dense", "ours", "logquant-paper", "kivi"];

    /// <inheritdoc/>
    public string Name => "recall";

    /// <inheritdoc/>
    public string Title => "Recall";

    /// <inheritdoc/>
    public int Order => 30;

    /// <inheritdoc/>
    public void Write(ReportWriter report, ResultStore store)
    {
        report.Heading(2, Title);
        var results = Current(store);
        if (results.Count == 0)
        {
            report.NoResults("recall");
            return;
        }

        report.Text("""
            Questions for what was told before, in conversations of the demo model's kind: names with values of the same few attributes (multi-query
            associative recall, and needles among reports and tool calls), values changed later, several values of a name, values over one and two other
            names, rows of twelve digits. An answer is right if greedy decoding writes all of it. By where the answer lies when it is asked for, in the
            LogQuant rule with W = 64: in the recent tokens, half or more of it among the log-distributed rows, or in a page; the same questions for every method. In brackets: Wilson's 95 % interval.
            """);
        foreach (var model in results.GroupBy(r => r.Key.Model))
        {
            foreach (var length in model.GroupBy(r => LengthOf(r.Key.Settings)).OrderBy(g => g.Key))
                Write(report, model.Key, length.Key, [.. length]);
        }
    }

    private static void Write(ReportWriter report, string model, string length, List<(ResultKey Key, RecallResult Value)> results)
    {
        report.Heading(3, $"{model}, conversations of {length} tokens");
        var (shared, more) = AskedAlike(results);
        var methods = Methods(shared);

        Picture(report, model, length, methods);
        report.Table(ByRegime($"{Conversations(shared)} conversations.", methods));

        var kinds = new Table("By kind of question, all distances:");
        foreach (var (_, label, of) in methods)
        {
            var answers = of.SelectMany(r => r.Answers).ToList();
            kinds.Add([("method", label), .. Enum.GetValues<RecallKind>().Select(k => (NameOf(k), (object?)Shown(answers.Where(a => a.Kind == k.ToString()))))]);
        }

        report.Table(kinds);
        if (more.Count > 0)
            report.Table(ByRegime($"The methods that were asked more, in {Conversations(more)} conversations, those above among them:", Methods(more)));
    }

    private static Table ByRegime(string title, List<(string Id, string Label, List<RecallResult> Results)> methods)
    {
        var table = new Table(title);
        foreach (var (_, label, of) in methods)
        {
            var answers = of.SelectMany(r => r.Answers).ToList();
            var recalls = answers.Where(a => a.Regime is not null).ToList();
            table.Add(
                [("method", label), ("bits per element", of.Average(r => r.AverageBits)), ("at peak", of.Average(r => r.PeakBits)),
                ("in the window", Shown(recalls.Where(a => a.Regime == Regime.Window))), ("in the log set", Shown(recalls.Where(a => a.Regime == Regime.LogSet))),
                ("in a page", Shown(recalls.Where(a => a.Regime == Regime.Page))), ("all", Shown(recalls)),
                ("tool calls", Shown(answers.Where(a => a.Kind == RecallAnswer.ToolCall))), ("refusals", Shown(answers.Where(a => a.Kind == RecallAnswer.Refusal)))]);
        }

        return table;
    }

    /// <summary>
    /// Results of the conversations in which every method was asked, so that methods are compared by the same questions; and of more conversations, if there
    /// are any that several methods share, those of these methods.
    /// </summary>
    public static (List<(ResultKey Key, RecallResult Value)> Shared, List<(ResultKey Key, RecallResult Value)> More) AskedAlike(
        List<(ResultKey Key, RecallResult Value)> results)
    {
        var shared = Common(results);
        var longer = results.GroupBy(r => r.Key.Method).Where(m => m.Count() > Conversations(shared)).Select(m => m.Key).ToHashSet();
        var more = longer.Count < 2 ? [] : Common([.. results.Where(r => longer.Contains(r.Key.Method))]);
        return (shared, Conversations(more) > Conversations(shared) ? more : []);

        static List<(ResultKey Key, RecallResult Value)> Common(List<(ResultKey Key, RecallResult Value)> of)
        {
            var methods = of.Select(r => r.Key.Method).Distinct().Count();
            return [.. of.GroupBy(r => r.Key.Settings).Where(s => s.Select(r => r.Key.Method).Distinct().Count() == methods).SelectMany(s => s)];
        }
    }

    private static int Conversations(List<(ResultKey Key, RecallResult Value)> results) => results.Select(r => r.Key.Settings).Distinct().Count();

    /// <inheritdoc/>
    public void Lead(ReportWriter report, ResultStore store)
    {
        if (Current(store).GroupBy(r => (r.Key.Model, Length: LengthOf(r.Key.Settings))).FirstOrDefault() is not { } group)
            return;
        var (shared, more) = AskedAlike([.. group]);
        var methods = Methods(shared);
        report.Text($"**Recall.** Questions for what was told before ({group.Key.Model}, {group.Key.Length} tokens), answered rightly: {Told(methods)}"
            + (more.Count > 0 ? $"; in {Conversations(more)} conversations instead of {Conversations(shared)}: {Told(Methods(more))}." : "."));
        Picture(report, group.Key.Model, group.Key.Length, methods);

        static string Told(List<(string Id, string Label, List<RecallResult> Results)> methods) =>
            string.Join(", ", methods.Where(m => ToldMethods.Contains(m.Id)).Select(m => $"{m.Label} {Share(m.Results)}"));

        static string Share(List<RecallResult> results) => string.Create(
            CultureInfo.InvariantCulture, $"{100 * Proportion.Of(results.SelectMany(r => r.Answers).Where(a => a.Regime is not null)).Share:F1} %");
    }

    /// <summary>The stored results of the exam as it is now, under a matching of bytes.</summary>
    public static List<(ResultKey Key, RecallResult Value)> Current(ResultStore store, ByteMatching matching = ByteMatching.Average) =>
        [.. store.Newest<RecallResult>("recall").Where(r => RecallEvaluation.IsCurrent(r.Key) && r.Key.Matching() == matching)];

    /// <summary>Tokens of a result's conversations, from its settings.</summary>
    public static string LengthOf(string settings) =>
        settings.Split(' ').First(s => s.StartsWith("tokens=", StringComparison.Ordinal))["tokens=".Length..];

    /// <summary>Right answers as "96.4 [94.1, 97.8] of 512".</summary>
    public static string Shown(IEnumerable<RecallAnswer> answers)
    {
        var share = Proportion.Of(answers);
        if (share.Asked == 0)
            return "–";
        var (_, low, high) = share.Interval;
        return string.Create(CultureInfo.InvariantCulture, $"{100 * share.Share:F1} [{100 * low:F1}, {100 * high:F1}] of {share.Asked}");
    }

    private static List<(string Id, string Label, List<RecallResult> Results)> Methods(List<(ResultKey Key, RecallResult Value)> results) =>
    [
        .. MethodCatalog.All.Select(m => (m.Id, m.Label, results.Where(r => r.Key.Method == m.Id).Select(r => r.Value).ToList()))
            .Where(m => m.Item3.Count > 0),
    ];

    private static void Picture(ReportWriter report, string model, string length, List<(string Id, string Label, List<RecallResult> Results)> methods) =>
        report.Picture(
            ReportWriter.PictureName("recall", model, length),
            new LineChart
            {
                Title = $"Right answers by distance, {model}, {length} tokens",
                X = new("distance from the value to the answer (tokens)", AxisScale.Log2),
                Y = new("right answers (%)", Least: 0, Most: 102),
                Lines = [.. methods.Where(m => Pictured.Contains(m.Id)).Select(m => new LineSeries(m.Label, Points(m.Results), MethodNames.Style(m.Id)))],
            },
            "Share of right answers by distance, one line for each method; the figures are in the tables.");

    private static List<ChartPoint> Points(List<RecallResult> results)
    {
        var recalls = results.SelectMany(r => r.Answers).Where(a => a.Regime is not null).ToList();
        var points = new List<ChartPoint>();
        for (var i = 0; i < Distances.Length; i++)
        {
            var least = i == 0 ? 0 : Distances[i - 1];
            var within = recalls.Where(a => a.Distance > least && a.Distance <= Distances[i]).ToList();
            if (within.Count == 0)
                continue;
            var share = Proportion.Of(within);
            var (_, low, high) = share.Interval;
            points.Add(new ChartPoint(within.Average(a => a.Distance), 100 * share.Share, 100 * low, 100 * high));
        }

        return points;
    }

    private static string NameOf(RecallKind kind) => kind switch
    {
        RecallKind.Plain => "told once",
        RecallKind.Digits => "twelve digits",
        RecallKind.Changed => "changed",
        RecallKind.Several => "several values",
        RecallKind.OneHop => "one hop",
        _ => "two hops",
    };
}
