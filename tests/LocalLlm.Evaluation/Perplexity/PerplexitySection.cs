using System.Globalization;
using LocalLlm.Evaluation.Divergence;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Report;
using LocalLlm.Evaluation.Results;

namespace LocalLlm.Evaluation.Perplexity;

/// <summary>Perplexity in the report.</summary>
internal sealed class PerplexitySection : IReportSection
{
    private const int MostLines = 8;

    /// <inheritdoc/>
    public string Name => "perplexity";

    /// <inheritdoc/>
    public string Title => "Perplexity";

    /// <inheritdoc/>
    public int Order => 15;

    /// <inheritdoc/>
    public void Write(ReportWriter report, ResultStore store)
    {
        report.Heading(2, Title);
        report.Text("Every token is predicted through the decode path, so it sees what the method's cache holds at its place. Perplexity "
            + "says little alone: a cache can lose what a few tokens need and gain as much on others. The difference is the mean over tokens "
            + "of the negative log-likelihood in nats, less full precision's; its interval is a bootstrap over texts. KL is the mean of the "
            + "command `kl`, over its own texts.");
        var results = store.Newest<PerplexityResult>(PerplexityEvaluation.Command);
        if (results.Count == 0)
        {
            report.NoResults(PerplexityEvaluation.Command);
            return;
        }

        var divergences = store.Newest<DivergenceResult>(DivergenceEvaluation.Command)
            .ToLookup(r => (r.Key.Model, r.Key.Method, r.Key.Parameters), r => r.Value);
        foreach (var series in results.GroupBy(r => (r.Key.Model, r.Value.Series)))
        {
            var model = series.Key.Model;
            var methods = MethodResults<PerplexityResult>.Of(series);
            report.Heading(3, model);
            report.Table(Table(series.Key.Series + ".", methods, m => MeanDivergence(divergences[(model, m.Id, m.Parameters)])));
            var full = FullPrecision(methods);
            var lines = methods.Where(IsDrawn).Select(m => Line(m, full)).Where(l => l.Points.Count > 0).Take(MostLines).ToList();
            if (lines.Count > 0)
            {
                report.Picture(
                    ReportWriter.PictureName("perplexity", model, series.Key.Series),
                    new LineChart
                    {
                        Title = $"Loss of likelihood by position, {model}",
                        X = new("position (tokens)", AxisScale.Log2),
                        Y = new("nats a token more than full precision"),
                        Lines = lines,
                    },
                    "Mean negative log-likelihood less that of full precision, by position; positions grouped by powers of two.");
            }
        }
    }

    /// <summary>Perplexities of methods.</summary>
    /// <param name="title">Above the table.</param>
    /// <param name="methods">The methods, full precision among them.</param>
    /// <param name="divergence">A method's mean KL, null where it is not known.</param>
    public static Table Table(
        string title, IReadOnlyList<MethodResults<PerplexityResult>> methods, Func<MethodResults<PerplexityResult>, double?> divergence)
    {
        var table = new Table(title);
        var full = FullPrecision(methods);
        foreach (var method in methods)
        {
            var results = method.Results;
            var all = results.Aggregate(default(LikelihoodSum), (sum, r) => sum + r.All);
            var written = results.Aggregate(default(LikelihoodSum), (sum, r) => sum + r.Written);
            var (difference, low, high) = Difference(results, full);
            table.Add(
                ("method", method.Label),
                ("W", method.Window),
                ("texts", results.Count),
                ("tokens", all.Tokens),
                ("perplexity", all.Perplexity),
                ("written tokens", written.Tokens > 0 ? written.Perplexity : null),
                ("top-1 %", 100.0 * results.Sum(r => r.Hits) / all.Tokens),
                ("difference", difference),
                ("95%", double.IsNaN(low) ? null : string.Create(CultureInfo.InvariantCulture, $"{low:G3} to {high:G3}")),
                ("KL", divergence(method)),
                ("average bits", results.Average(r => r.AverageBits)),
                ("peak bits", results.Average(r => r.PeakBits)));
        }

        return table;
    }

    /// <summary>Nats a token more than full precision has on the same texts, and the 95% interval; NaN for no interval.</summary>
    public static (double? Mean, double Low, double High) Difference(
        IReadOnlyList<PerplexityResult> results, IReadOnlyList<PerplexityResult> full)
    {
        var pairs = results.Join(full, r => r.Text, f => f.Text, (r, f) => (Nats: r.All.Nats - f.All.Nats, r.All.Tokens)).ToList();
        if (pairs.Count == 0)
            return (null, double.NaN, double.NaN);
        if (pairs.All(p => p.Nats == 0))
            return (0, double.NaN, double.NaN);
        var (low, high) = DivergenceStatistics.Interval([.. pairs.Select(p => p.Nats)], [.. pairs.Select(p => p.Tokens)]);
        return (pairs.Sum(p => p.Nats) / pairs.Sum(p => p.Tokens), low, high);
    }

    private static List<PerplexityResult> FullPrecision(IEnumerable<MethodResults<PerplexityResult>> methods) =>
        [.. methods.Where(m => m.Id == MethodCatalog.Dense.Id).SelectMany(m => m.Results)];

    private static bool IsDrawn(MethodResults<PerplexityResult> method) => MethodCatalog.All.FirstOrDefault(m => m.Id == method.Id) is
    { Family: not (MethodFamily.FullPrecision or MethodFamily.Eviction or MethodFamily.Variant) };

    // The point of an octave is at its geometric middle.
    private static LineSeries Line(MethodResults<PerplexityResult> method, IReadOnlyList<PerplexityResult> full)
    {
        var pairs = method.Results.Join(full, r => r.Text, f => f.Text, (r, f) => (Own: r.ByPosition, Full: f.ByPosition)).ToList();
        List<ChartPoint> points = [];
        for (var octave = 0; octave < pairs.Select(p => p.Own.Count).DefaultIfEmpty(0).Max(); octave++)
        {
            var reaching = pairs.Where(p => octave < p.Own.Count).ToList();
            var tokens = reaching.Sum(p => p.Own[octave].Tokens);
            if (tokens > 0)
            {
                var nats = reaching.Sum(p => p.Own[octave].Nats - p.Full[octave].Nats);
                points.Add(new(PerplexityResult.FirstOctave * Math.Pow(2, octave - 0.5), nats / tokens));
            }
        }

        return new(method.Label, points, MethodNames.Style(method.Id));
    }

    private static double? MeanDivergence(IEnumerable<DivergenceResult> results)
    {
        var (sum, count) = results.Aggregate((Sum: 0.0, Count: 0), (t, r) => (t.Sum + r.Kl.Sum(k => (double)k), t.Count + r.Kl.Count));
        return count == 0 ? null : sum / count;
    }
}
