using System.Globalization;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Report;
using LocalLlm.Evaluation.Results;
using LocalLlm.Evaluation.Statistics;

namespace LocalLlm.Evaluation.Gsm8k;

/// <summary>GSM8K in the report.</summary>
internal sealed class Gsm8kSection : IReportSection
{
    /// <inheritdoc/>
    public string Name => "gsm8k";

    /// <inheritdoc/>
    public string Title => "GSM8K";

    /// <inheritdoc/>
    public int Order => 50;

    /// <inheritdoc/>
    public void Write(ReportWriter report, ResultStore store)
    {
        report.Heading(2, Title);
        report.Text("Grade-school mathematics, answered greedily by the engine with each method's cache. Strict takes the number in the "
            + "form asked for, flexible the last number of the answer, as lm-evaluation-harness has it. Intervals are Wilson's at 95%.");
        var results = store.Newest<Gsm8kResult>(Gsm8kEvaluation.Command);
        if (results.Count == 0)
        {
            report.NoResults("gsm8k --model FOLDER --data test.jsonl");
            return;
        }

        foreach (var series in results.GroupBy(r => (r.Key.Model, r.Value.Series)))
        {
            var methods = MethodResults<Gsm8kResult>.Of(series);
            report.Heading(3, series.Key.Model);
            report.Table(Table(series.Key.Series + ".", methods));
            report.Picture(
                ReportWriter.PictureName("gsm8k", series.Key.Model, series.Key.Series), Chart(series.Key.Model, methods),
                $"Exact match on GSM8K of {methods.Count} methods; the table above has the figures.");
        }
    }

    /// <summary>Accuracy of methods.</summary>
    public static Table Table(string title, IEnumerable<MethodResults<Gsm8kResult>> methods)
    {
        var table = new Table(title);
        foreach (var method in methods)
        {
            var (strict, flexible) = (Interval(method.Results, r => r.IsStrictRight), Interval(method.Results, r => r.IsFlexibleRight));
            table.Add(
                ("method", method.Label),
                ("W", method.Window),
                ("problems", method.Results.Count),
                ("strict %", 100 * strict.Share),
                ("strict 95%", Text(strict)),
                ("flexible %", 100 * flexible.Share),
                ("flexible 95%", Text(flexible)),
                ("cut off", method.Results.Count(r => r.Answer.IsCut)),
                ("average bits", method.Results.Average(r => r.Answer.AverageBits)),
                ("peak bits", method.Results.Average(r => r.Answer.PeakBits)));
        }

        return table;
    }

    private static BarChart Chart(string model, IReadOnlyList<MethodResults<Gsm8kResult>> methods)
    {
        var intervals = methods.Select(m => Interval(m.Results, r => r.IsFlexibleRight));
        return new()
        {
            Title = $"GSM8K, {model}",
            X = new(""),
            Y = new("exact match, flexible (%)"),
            Size = BarChart.LyingSize(methods.Count),
            IsLying = true,
            Groups = [.. methods.Select(m => m.Label)],
            Series = [new("flexible", [.. intervals.Select(i => new BarValue(100 * i.Share, 100 * i.Low, 100 * i.High))])],
        };
    }

    private static WilsonInterval Interval(IReadOnlyList<Gsm8kResult> results, Func<Gsm8kResult, bool> isRight) =>
        WilsonInterval.Of(results.Count(isRight), results.Count);

    private static string Text(WilsonInterval interval) =>
        string.Create(CultureInfo.InvariantCulture, $"{100 * interval.Low:F1}–{100 * interval.High:F1}");
}
