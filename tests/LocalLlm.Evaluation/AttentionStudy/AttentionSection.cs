using System.Globalization;
using LocalLlm.Evaluation.Report;
using LocalLlm.Evaluation.Results;

namespace LocalLlm.Evaluation.AttentionStudy;

/// <summary>The report's part on attention: spike positions, coverage, output error.</summary>
internal sealed class AttentionSection : IReportSection
{
    /// <inheritdoc/>
    public string Name => "attention";

    /// <inheritdoc/>
    public string Title => "Where attention looks";

    /// <inheritdoc/>
    public int Order => 40;

    /// <inheritdoc/>
    public void Write(ReportWriter report, ResultStore store)
    {
        report.Heading(2, Title);
        var looks = Current<AttentionResult>(store, AttentionEvaluation.Command);
        if (looks.Count == 0)
        {
            report.NoResults(AttentionEvaluation.Command);
            return;
        }

        report.Text("Recorded from full precision, then looked at query by query; the queries of a text's second half, so that all can "
            + "look as far. A spike is a token with more than 1% of a query's attention. If spikes thin out with the logarithm of the "
            + "distance, as the paper has it, each octave of distances holds about as many. The last octave shown is the last that lies "
            + "whole within half of the text.");
        var errors = Current<OutputErrorResult>(store, AttentionEvaluation.OutputErrors);
        var pairErrors = Current<OutputErrorResult>(store, AttentionEvaluation.PairErrors);
        foreach (var group in looks.GroupBy(l => (l.Key.Model, l.Value.Tokens)))
            Write(report, group.Key, [.. group.Select(g => g.Value)], Of(pairErrors, group.Key), Of(errors, group.Key));
    }

    /// <inheritdoc/>
    public void Lead(ReportWriter report, ResultStore store)
    {
        var looks = Current<AttentionResult>(store, AttentionEvaluation.Command);
        if (looks.GroupBy(l => (l.Key.Model, l.Value.Tokens)).OrderByDescending(g => g.Key.Tokens).FirstOrDefault() is not { } group)
            return;
        var name = string.Create(CultureInfo.InvariantCulture, $"{group.Key.Model}, {group.Key.Tokens} tokens");
        var tokens = group.Key.Tokens.ToString(CultureInfo.InvariantCulture);
        List<AttentionResult> texts = [.. group.Select(g => g.Value)];
        report.Text("**Where attention looks.** Tokens with more than 1% of a query's attention, by distance; and the share of the attention that "
            + "ways of choosing as many tokens catch.");
        report.Picture(ReportWriter.PictureName("spikes", group.Key.Model, tokens), AttentionCharts.Spikes(name, texts), "Spikes by octaves of distance.");
        report.Picture(
            ReportWriter.PictureName("coverage", group.Key.Model, tokens), AttentionCharts.Coverage(name, texts), "Share of the attention on the tokens kept.");
    }

    private static List<(ResultKey Key, T Value)> Current<T>(ResultStore store, string evaluation)
        where T : class =>
        [.. store.Newest<T>(evaluation).Where(r => AttentionEvaluation.IsCurrent(r.Key))];

    private static List<(string Method, OutputErrorResult Result)> Of(
        List<(ResultKey Key, OutputErrorResult Value)> errors, (string Model, int Tokens) of) =>
        [.. errors.Where(e => (e.Key.Model, e.Value.Tokens) == of).Select(e => (e.Key.Method, e.Value))];

    private static void Write(
        ReportWriter report, (string Model, int Tokens) of, List<AttentionResult> texts,
        List<(string Method, OutputErrorResult Result)> pairErrors, List<(string Method, OutputErrorResult Result)> errors)
    {
        var name = string.Create(CultureInfo.InvariantCulture, $"{of.Model}, {of.Tokens} tokens");
        report.Heading(3, name);
        report.Picture(
            PictureName("spikes"), AttentionCharts.Spikes(name, texts),
            "Spikes and share of the attention by octaves of distance; the figures are in the table below.");
        report.Picture(
            PictureName("attention-quartiles"), AttentionCharts.Quartiles(name, texts),
            "Median, upper quartile and maximum of a token's attention by octaves of distance; the figures are in the table below.");
        report.Table(AttentionTables.Octaves("Spikes a query and head, and the quartiles of a token's attention:", texts));
        report.Table(AttentionTables.LayerSpikes("Spikes a query and head, by layer and distance:", texts));
        report.Table(AttentionTables.Reach("How far each head looks, in tokens:", texts));

        report.Picture(
            PictureName("coverage"), AttentionCharts.Coverage(name, texts),
            "Share of the attention that goes to the tokens each way of selecting keeps, by the length of the context.");
        report.Table(AttentionTables.Coverage(
            "Share of the attention (%) on the tokens that a way of selecting keeps in full precision, as many each (the last column, "
            + "length by length); of the 16 queries after each length, which see themselves too. KIVI's residual grows from nothing to "
            + "twice as many tokens and is emptied; this is the mean over all its sizes. H2O is idealised: it ranks by all attention so "
            + "far and never loses a token. The best possible chooses anew for each query.",
            texts));
        if (pairErrors.Count > 0)
        {
            report.Picture(
                PictureName("attention-error"), AttentionCharts.Pairs(name, pairErrors),
                "Error of attention outputs when the tokens not selected are quantised or evicted; the figures are in the table below.");
            report.Table(AttentionTables.Pairs(
                "The paper's table 2: L1 norm of the error of attention outputs over that of the outputs, when the tokens not selected are "
                + "quantised (2 bits, 16-bit scales of the range) or evicted. LogQuant (W = 64) and the recent tokens are as many at every "
                + "length, and the same tokens quantised or evicted; KIVI's residual is as many on average. The paper's model and texts "
                + "are others, so its errors are compared as multiples of its first row:",
                pairErrors));
        }

        if (errors.Count > 0)
        {
            report.Table(AttentionTables.Errors(
                "The methods at bytes as equal as their windows allow: L1 norm of the error over that of the outputs (%), each "
                + "layer given the full-precision queries, keys and values:",
                errors));
        }

        report.Table(AttentionTables.Kurtosis(
            "Kurtosis of the keys (3 for a normal distribution); outlier channels raise that of a head's numbers:", texts));

        string PictureName(string what) => ReportWriter.PictureName(what, of.Model, of.Tokens.ToString(CultureInfo.InvariantCulture));
    }
}
