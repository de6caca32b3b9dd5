using System.Globalization;
using LocalLlm.Evaluation.Generation;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Report;
using LocalLlm.Evaluation.Results;
using LocalLlm.Evaluation.Statistics;

namespace LocalLlm.Evaluation.Gsm8k;

/// <summary>GSM8K in the report.</summary>
internal sealed class Gsm8kSection : IReportSection
{
    /// <inheritdoc/>
    public int Order => 600;

    /// <inheritdoc/>
    public void Write(ReportWriter report, ResultStore store)
    {
        report.Heading(2, "GSM8K");
        report.Text("Grade-school mathematics, answered greedily by the engine with each method's cache. Strict takes the number in the form asked for, flexible the last "
            + "number of the answer, as lm-evaluation-harness has it. Intervals are Wilson's at 95%.");
        var results = store.All<Gsm8kResult>(Gsm8kEvaluation.Command).ToList();
        if (results.Count == 0)
        {
            report.NoResults("gsm8k --model FOLDER --data test.jsonl");
            return;
        }

        foreach (var model in results.GroupBy(r => (r.Key.Model, r.Key.Fingerprint, r.Value.Series)))
        {
            report.Heading(3, model.Key.Model);
            var methods = model.GroupBy(r => (r.Key.Method, r.Key.Parameters)).OrderBy(g => MethodNames.Order(g.Key.Method))
                .Select(g => (MethodNames.Label(g.Key.Method), MethodNames.Window(g.Key.Parameters), g.Select(r => r.Value).ToList())).ToList();
            report.Table(Table(model.Key.Series + ".", methods));
            report.Picture(
                ReportWriter.PictureName("gsm8k", model.Key.Model, model.Key.Fingerprint, FileHash.OfText(model.Key.Series)), Chart(model.Key.Model, methods),
                $"Exact match on GSM8K of {methods.Count} methods; the table above has the figures.");
        }
    }

    /// <summary>Accuracy of methods.</summary>
    public static Table Table(string title, IEnumerable<(string Label, int? Window, List<Gsm8kResult> Results)> methods)
    {
        var table = new Table(title);
        foreach (var (label, window, results) in methods)
        {
            var flexible = WilsonInterval.Of(results.Count(r => r.IsFlexibleRight), results.Count);
            var strict = WilsonInterval.Of(results.Count(r => r.IsStrictRight), results.Count);
            table.Add(
                ("method", label), ("W", window), ("problems", results.Count), ("strict %", 100 * strict.Share), ("strict 95%", Interval(strict)),
                ("flexible %", 100 * flexible.Share), ("flexible 95%", Interval(flexible)), ("cut off", results.Count(r => r.Answer.IsCut)),
                ("average bits", results.Average(r => r.Answer.AverageBits)), ("peak bits", results.Average(r => r.Answer.PeakBits)));
        }

        return table;
    }

    private static BarChart Chart(string model, IReadOnlyList<(string Label, int? Window, List<Gsm8kResult> Results)> methods) => new()
    {
        Title = $"GSM8K, {model}",
        X = new(""),
        Y = new("exact match, flexible (%)"),
        IsLying = true,
        Groups = [.. methods.Select(m => m.Label)],
        Series =
        [
            new("flexible",
            [
                .. methods.Select(m => WilsonInterval.Of(m.Results.Count(r => r.IsFlexibleRight), m.Results.Count))
                    .Select(i => new BarValue(100 * i.Share, 100 * i.Low, 100 * i.High)),
            ]),
        ],
    };

    private static string Interval(WilsonInterval interval) => string.Create(CultureInfo.InvariantCulture, $"{100 * interval.Low:F1}–{100 * interval.High:F1}");
}
