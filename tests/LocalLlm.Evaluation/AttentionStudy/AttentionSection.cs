using System.Globalization;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Report;
using LocalLlm.Evaluation.Results;

namespace LocalLlm.Evaluation.AttentionStudy;

/// <summary>The report's part on attention: spike positions, coverage, output error.</summary>
internal sealed class AttentionSection : IReportSection
{
    /// <inheritdoc/>
    public int Order => 40;

    /// <inheritdoc/>
    public void Write(ReportWriter report, ResultStore store)
    {
        report.Heading(2, "Where attention looks");
        var looks = store.Newest<AttentionResult>(AttentionEvaluation.Command);
        if (looks.Count == 0)
        {
            report.NoResults(AttentionEvaluation.Command);
            return;
        }

        report.Text("Recorded from full precision, then looked at query by query; the queries of a text's second half, so that all can look as far. "
            + "A spike is a token with more than 1% of a query's attention. If spikes thin out with the logarithm of the distance, as the paper has it, "
            + "each octave of distances holds about as many.");
        var errors = store.Newest<OutputErrorResult>(AttentionEvaluation.OutputErrors).ToLookup(e => (e.Key.Model, e.Value.Tokens));
        foreach (var group in looks.GroupBy(l => (l.Key.Model, l.Value.Tokens)))
            Write(report, group.Key, [.. group.Select(g => g.Value)], [.. errors[group.Key].Select(e => (e.Key.Method, e.Value))]);
    }

    private static void Write(
        ReportWriter report, (string Model, int Tokens) of, List<AttentionResult> texts, List<(string Method, OutputErrorResult Result)> errors)
    {
        var name = string.Create(CultureInfo.InvariantCulture, $"{of.Model}, {of.Tokens} tokens");
        var tokens = of.Tokens.ToString(CultureInfo.InvariantCulture);
        report.Heading(3, name);
        var octaves = Enumerable.Range(1, texts.Min(t => t.Octaves.Count) - 1).ToList();
        report.Picture(
            ReportWriter.PictureName("spikes", of.Model, tokens),
            new LineChart
            {
                Title = $"Spikes by distance, {name}",
                X = new("distance, tokens (each point an octave of distances)", AxisScale.Log2),
                Y = new("spikes a query and head", Least: 0),
                Lines =
                [
                    new("spikes in the octave", [.. octaves.Select(o => new ChartPoint(Middle(o), texts.Average(t => t.Octaves[o].Spikes)))]),
                    new("share of the attention", [.. octaves.Select(o => new ChartPoint(Middle(o), texts.Average(t => t.Octaves[o].Mass)))]),
                ],
            },
            "Spikes and share of the attention by octaves of distance; the figures are in the table below.");
        report.Table(AttentionTables.Octaves("Spikes a query and head, and the quartiles of a token's attention:", texts));
        report.Table(AttentionTables.Reach("How far each head looks, in tokens:", texts));

        var coverages = texts.SelectMany(t => t.Coverages).ToList();
        report.Picture(
            ReportWriter.PictureName("coverage", of.Model, tokens),
            new LineChart
            {
                Title = $"Attention on the tokens kept, {name}",
                X = new("tokens so far", AxisScale.Log2),
                Y = new("% of the attention", Least: 0, Most: 100),
                Lines =
                [
                    .. Selections.Names.Select(s => new LineSeries(s, [.. coverages.Where(c => c.Selection == s).GroupBy(c => c.Length).OrderBy(g => g.Key)
                        .Select(g => new ChartPoint(g.Key, 100 * g.Average(c => c.Share)))])),
                ],
            },
            "Share of the attention that goes to the tokens each way of selecting keeps, by the length of the context.");
        report.Table(AttentionTables.Coverage(
            "Share of the attention (%) on the tokens that a way of selecting keeps in full precision, as many each; of the 16 queries after each length, which see themselves too. "
            + "KIVI keeps from none to twice as many. The best possible chooses anew for each query.",
            texts));
        if (errors.Count > 0)
        {
            report.Table(AttentionTables.Errors(
                "L1 norm of the error of attention outputs over that of the outputs (%), each layer given the full-precision queries, keys and values:", errors));
        }

        report.Table(AttentionTables.Kurtosis("Kurtosis of the keys (3 for a normal distribution); outlier channels raise that of a head's numbers:", texts));
    }

    // Geometric middle of an octave's distances.
    private static double Middle(int octave) => Math.Sqrt(Math.Pow(2, octave - 1) * (Math.Pow(2, octave) - 1));
}
