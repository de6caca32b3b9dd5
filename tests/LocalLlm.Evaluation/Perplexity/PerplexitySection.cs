using System.Globalization;
using LocalLlm.Evaluation.Divergence;
using LocalLlm.Evaluation.Generation;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Report;
using LocalLlm.Evaluation.Results;

namespace LocalLlm.Evaluation.Perplexity;

/// <summary>Perplexity in the report.</summary>
internal sealed class PerplexitySection : IReportSection
{
    private const int MostLines = 8;

    /// <inheritdoc/>
    public int Order => 400;

    /// <inheritdoc/>
    public void Write(ReportWriter report, ResultStore store)
    {
        report.Heading(2, "Perplexity");
        report.Text("Every token is predicted through the decode path, so it sees what the method's cache holds at its place. Perplexity says little alone: a cache can lose "
            + "what a few tokens need and gain as much on others. The difference is the mean over tokens of the negative log-likelihood in nats, less full precision's; its "
            + "interval is a bootstrap over texts. KL is the mean of the command `kl`, over its own texts.");
        var results = store.All<PerplexityResult>(PerplexityEvaluation.Command).ToList();
        if (results.Count == 0)
        {
            report.NoResults(PerplexityEvaluation.Command);
            return;
        }

        var divergences = store.All<DivergenceResult>(DivergenceEvaluation.Command).ToLookup(r => (r.Key.Fingerprint, r.Key.Method, r.Key.Parameters), r => r.Value);
        foreach (var model in results.GroupBy(r => (r.Key.Model, r.Key.Fingerprint, r.Value.Series)))
        {
            report.Heading(3, model.Key.Model);
            var groups = model.GroupBy(r => (r.Key.Method, r.Key.Parameters)).OrderBy(g => MethodNames.Order(g.Key.Method)).ToList();
            var methods = groups.Select(g => (Label: MethodNames.Label(g.Key.Method), Window: MethodNames.Window(g.Key.Parameters), Results: Texts(g))).ToList();
            var full = groups.Where(g => g.Key.Method == MethodCatalog.Dense.Id).SelectMany(Texts).ToList();
            report.Table(Table(model.Key.Series + ".", methods, full, i => MeanDivergence(divergences[(model.Key.Fingerprint, groups[i].Key.Method, groups[i].Key.Parameters)])));
            var lines = groups.Zip(methods).Where(m => IsDrawn(m.First.Key.Method)).Select(m => Line(m.Second.Label, m.Second.Results, full)).Take(MostLines).ToList();
            if (lines.Any(l => l.Points.Count > 0))
            {
                report.Picture(
                    ReportWriter.PictureName("perplexity", model.Key.Model, model.Key.Fingerprint, FileHash.OfText(model.Key.Series)),
                    new LineChart
                    {
                        Title = $"Loss of likelihood by position, {model.Key.Model}",
                        X = new("position (tokens)", AxisScale.Log2),
                        Y = new("nats a token more than full precision"),
                        Lines = lines,
                    },
                    "Mean negative log-likelihood less that of full precision, by position in the text; positions are grouped by powers of two.");
            }
        }
    }

    /// <summary>Perplexities of methods.</summary>
    /// <param name="title">Above the table.</param>
    /// <param name="methods">Label, window and results, each with its text.</param>
    /// <param name="full">Those of full precision.</param>
    /// <param name="divergence">Mean KL of the i-th method, null where it is not known.</param>
    public static Table Table(
        string title, IReadOnlyList<(string Label, int? Window, List<(string Text, PerplexityResult Result)> Results)> methods,
        IReadOnlyList<(string Text, PerplexityResult Result)> full, Func<int, double?> divergence)
    {
        var table = new Table(title);
        for (var i = 0; i < methods.Count; i++)
        {
            var (label, window, results) = methods[i];
            var all = results.Aggregate(default(LikelihoodSum), (sum, r) => sum + r.Result.All);
            var written = results.Aggregate(default(LikelihoodSum), (sum, r) => sum + r.Result.Written);
            var (difference, low, high) = Difference(results, full);
            table.Add(
                ("method", label), ("W", window), ("texts", results.Count), ("tokens", all.Tokens), ("perplexity", all.Perplexity),
                ("written tokens", written.Tokens > 0 ? written.Perplexity : null), ("top-1 %", 100.0 * results.Sum(r => r.Result.Hits) / all.Tokens),
                ("difference", difference), ("95%", double.IsNaN(low) ? null : string.Create(CultureInfo.InvariantCulture, $"{low:G3} to {high:G3}")),
                ("KL", divergence(i)),
                ("average bits", results.Average(r => r.Result.AverageBits)), ("peak bits", results.Average(r => r.Result.PeakBits)));
        }

        return table;
    }

    /// <summary>Nats a token more than full precision has on the same texts, and the 95% interval; NaN for no interval.</summary>
    public static (double? Mean, double Low, double High) Difference(
        IReadOnlyList<(string Text, PerplexityResult Result)> results, IReadOnlyList<(string Text, PerplexityResult Result)> full)
    {
        var pairs = results.Join(full, r => r.Text, f => f.Text, (r, f) => (Nats: r.Result.All.Nats - f.Result.All.Nats, r.Result.All.Tokens)).ToList();
        if (pairs.Count == 0)
            return (null, double.NaN, double.NaN);
        var (low, high) = DivergenceStatistics.Interval([.. pairs.Select(p => p.Nats)], [.. pairs.Select(p => p.Tokens)]);
        return (pairs.Sum(p => p.Nats) / pairs.Sum(p => p.Tokens), low, high);
    }

    private static List<(string Text, PerplexityResult Result)> Texts(IEnumerable<(ResultKey Key, PerplexityResult Value)> results) =>
        [.. results.Select(r => (r.Key.Settings, r.Value))];

    private static bool IsDrawn(string id) => MethodCatalog.All.FirstOrDefault(m => m.Id == id) is
        { Family: not (MethodFamily.FullPrecision or MethodFamily.Eviction or MethodFamily.Variant) };

    // The point of an octave is at its geometric middle.
    private static LineSeries Line(string label, List<(string Text, PerplexityResult Result)> results, List<(string Text, PerplexityResult Result)> full)
    {
        var pairs = results.Join(full, r => r.Text, f => f.Text, (r, f) => (r.Result, Full: f.Result)).ToList();
        List<ChartPoint> points = [];
        for (var octave = 0; octave < pairs.Select(p => p.Result.ByPosition.Count).DefaultIfEmpty(0).Max(); octave++)
        {
            var with = pairs.Where(p => octave < p.Result.ByPosition.Count).ToList();
            var tokens = with.Sum(p => p.Result.ByPosition[octave].Tokens);
            if (tokens > 0)
            {
                var nats = with.Sum(p => p.Result.ByPosition[octave].Nats - p.Full.ByPosition[octave].Nats);
                points.Add(new(PerplexityResult.FirstOctave * Math.Pow(2, octave - 0.5), nats / tokens));
            }
        }

        return new(label, points);
    }

    private static double? MeanDivergence(IEnumerable<DivergenceResult> results)
    {
        var (sum, count) = results.Aggregate((Sum: 0.0, Count: 0), (t, r) => (t.Sum + r.Kl.Sum(k => (double)k), t.Count + r.Kl.Count));
        return count == 0 ? null : sum / count;
    }
}
