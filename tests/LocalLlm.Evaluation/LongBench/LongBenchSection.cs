using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Report;
using LocalLlm.Evaluation.Results;

namespace LocalLlm.Evaluation.LongBench;

/// <summary>LongBench in the report.</summary>
internal sealed class LongBenchSection : IReportSection
{
    /// <inheritdoc/>
    public string Name => "longbench";

    /// <inheritdoc/>
    public string Title => "LongBench";

    /// <inheritdoc/>
    public int Order => 60;

    /// <inheritdoc/>
    public void Write(ReportWriter report, ResultStore store)
    {
        report.Heading(2, Title);
        report.Text("Long documents and questions, answered greedily by the engine with each method's cache; scores by the data set's own "
            + "metrics, 0 to 100. A sample that does not fit the context is left out and counted as such; where the settings say \"middles "
            + "cut out\", the middle of its prompt is.");
        var results = store.Newest<LongBenchResult>(LongBenchEvaluation.Command);
        if (results.Count == 0)
        {
            report.NoResults("longbench --model FOLDER --data DIR --config DIR");
            return;
        }

        foreach (var series in results.GroupBy(r => (r.Key.Model, r.Value.Series)))
        {
            var methods = MethodResults<LongBenchResult>.Of(series);
            report.Heading(3, series.Key.Model);
            foreach (var table in Tables(series.Key.Series + ".", methods))
                report.Table(table);
            var means = methods.Select(m => Mean(m.Results)).ToList();
            if (means.Any(double.IsFinite))
            {
                report.Picture(
                    ReportWriter.PictureName("longbench", series.Key.Model, series.Key.Series), Chart(series.Key.Model, methods, means),
                    $"Mean LongBench score of {methods.Count} methods; the table above has the figures.");
            }
        }
    }

    /// <summary>Scores by task, and by length where the files are LongBench-E's.</summary>
    public static IEnumerable<Table> Tables(string title, IReadOnlyList<MethodResults<LongBenchResult>> methods)
    {
        var scores = new Table(title);
        foreach (var method in methods)
        {
            var answers = method.Results.Where(r => r.Answer is not null).Select(r => r.Answer!).ToList();
            scores.Add(
            [
                ("method", method.Label),
                ("W", method.Window),
                ("samples", answers.Count),
                ("too long", method.Results.Count - answers.Count),
                ("mean", Shown(Mean(method.Results))),
                .. method.Results.GroupBy(r => r.File).OrderBy(g => g.Key, StringComparer.Ordinal).Select(g => (g.Key, Shown(Score(g)))),
                ("average bits", answers.Count > 0 ? answers.Average(a => a.AverageBits) : null),
                ("peak bits", answers.Count > 0 ? answers.Average(a => a.PeakBits) : null),
            ]);
        }

        yield return scores;
        var isEven = methods.ToDictionary(m => m, m => m.Results.Where(r => r.IsOfLongBenchE).ToList());
        if (isEven.Values.All(r => r.Count == 0))
            yield break;
        var lengths = new Table("LongBench-E: mean of the tasks by length in words.");
        foreach (var (method, results) in isEven)
        {
            lengths.Add(
                ("method", method.Label),
                ("W", method.Window),
                ("below 4,000", Shown(Mean(results.Where(r => r.Length < 4000)))),
                ("4,000 to 7,999", Shown(Mean(results.Where(r => r.Length is >= 4000 and < 8000)))),
                ("from 8,000", Shown(Mean(results.Where(r => r.Length >= 8000)))));
        }

        yield return lengths;
    }

    /// <summary>Mean of the tasks' scores, 0 to 100; NaN if nothing was answered.</summary>
    public static double Mean(IEnumerable<LongBenchResult> results) =>
        results.GroupBy(r => r.File).Select(Score).Where(double.IsFinite).DefaultIfEmpty(double.NaN).Average();

    private static double Score(IEnumerable<LongBenchResult> results) =>
        100 * results.Where(r => r.Score is not null).Select(r => r.Score!.Value).DefaultIfEmpty(double.NaN).Average();

    private static object? Shown(double score) => double.IsFinite(score) ? score : null;

    private static BarChart Chart(string model, IReadOnlyList<MethodResults<LongBenchResult>> methods, IReadOnlyList<double> means) => new()
    {
        Title = $"LongBench, {model}",
        X = new(""),
        Y = new("mean score of the tasks"),
        Size = BarChart.LyingSize(methods.Count),
        IsLying = true,
        Groups = [.. methods.Select(m => m.Label)],
        Series = [new("mean", [.. means.Select(m => new BarValue(m))])],
    };
}
