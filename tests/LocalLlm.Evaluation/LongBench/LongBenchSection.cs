using LocalLlm.Evaluation.Generation;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Report;
using LocalLlm.Evaluation.Results;

namespace LocalLlm.Evaluation.LongBench;

/// <summary>LongBench in the report.</summary>
internal sealed class LongBenchSection : IReportSection
{
    /// <inheritdoc/>
    public int Order => 700;

    /// <inheritdoc/>
    public void Write(ReportWriter report, ResultStore store)
    {
        report.Heading(2, "LongBench");
        report.Text("Long documents and questions, answered greedily by the engine with each method's cache; scores by the data set's own metrics, 0 to 100. A sample that does "
            + "not fit the context is left out and counted as such; where the settings say \"middles cut out\", the middle of its prompt is.");
        var results = store.All<LongBenchResult>(LongBenchEvaluation.Command).ToList();
        if (results.Count == 0)
        {
            report.NoResults("longbench --model FOLDER --data DIR --config DIR");
            return;
        }

        foreach (var model in results.GroupBy(r => (r.Key.Model, r.Key.Fingerprint, r.Value.Series)))
        {
            report.Heading(3, model.Key.Model);
            var methods = model.GroupBy(r => (r.Key.Method, r.Key.Parameters)).OrderBy(g => MethodNames.Order(g.Key.Method))
                .Select(g => (Label: MethodNames.Label(g.Key.Method), MethodNames.Window(g.Key.Parameters), Results: g.Select(r => r.Value).ToList())).ToList();
            foreach (var table in Tables(model.Key.Series + ".", methods))
                report.Table(table);
            var means = methods.Select(m => Mean(m.Results)).ToList();
            if (means.Any(double.IsFinite))
            {
                report.Picture(
                    ReportWriter.PictureName("longbench", model.Key.Model, model.Key.Fingerprint, FileHash.OfText(model.Key.Series)),
                    new BarChart
                    {
                        Title = $"LongBench, {model.Key.Model}",
                        X = new(""),
                        Y = new("mean score of the tasks"),
                        IsLying = true,
                        Groups = [.. methods.Select(m => m.Label)],
                        Series = [new("mean", [.. means.Select(m => new BarValue(m))])],
                    },
                    $"Mean LongBench score of {methods.Count} methods; the table above has the figures.");
            }
        }
    }

    /// <summary>Scores by task, and by length where the files are LongBench-E's.</summary>
    public static IEnumerable<Table> Tables(string title, IReadOnlyList<(string Label, int? Window, List<LongBenchResult> Results)> methods)
    {
        var scores = new Table(title);
        foreach (var (label, window, results) in methods)
        {
            var answered = results.Where(r => r.Answer is not null).ToList();
            scores.Add(
            [
                ("method", label), ("W", window), ("samples", answered.Count), ("too long", results.Count - answered.Count), ("mean", Shown(Mean(results))),
                .. results.GroupBy(r => r.File).OrderBy(g => g.Key, StringComparer.Ordinal).Select(g => (g.Key, Shown(Score(g)))),
                ("average bits", Shown(answered.Select(r => r.Answer!.AverageBits).DefaultIfEmpty(double.NaN).Average())),
                ("peak bits", Shown(answered.Select(r => r.Answer!.PeakBits).DefaultIfEmpty(double.NaN).Average())),
            ]);
        }

        yield return scores;
        var byLength = methods.Select(m => (m.Label, m.Window, Results: m.Results.Where(r => r.File.EndsWith("_e", StringComparison.Ordinal) && r.Length is not null).ToList())).ToList();
        if (byLength.All(m => m.Results.Count == 0))
            yield break;
        var lengths = new Table("LongBench-E: mean of the tasks by length in words.");
        foreach (var (label, window, results) in byLength)
        {
            lengths.Add(
            [
                ("method", label), ("W", window), ("below 4,000", Shown(Mean(results.Where(r => r.Length < 4000)))),
                ("4,000 to 7,999", Shown(Mean(results.Where(r => r.Length is >= 4000 and < 8000)))), ("from 8,000", Shown(Mean(results.Where(r => r.Length >= 8000)))),
            ]);
        }

        yield return lengths;
    }

    /// <summary>Mean of the tasks' scores, 0 to 100; NaN if nothing was answered.</summary>
    public static double Mean(IEnumerable<LongBenchResult> results) =>
        results.GroupBy(r => r.File).Select(Score).Where(double.IsFinite).DefaultIfEmpty(double.NaN).Average();

    private static double Score(IEnumerable<LongBenchResult> results) =>
        100 * results.Where(r => r.Score is not null).Select(r => r.Score!.Value).DefaultIfEmpty(double.NaN).Average();

    private static object? Shown(double score) => double.IsFinite(score) ? score : null;
}
