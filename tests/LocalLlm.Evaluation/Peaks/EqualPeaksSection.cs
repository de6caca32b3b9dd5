using LocalLlm.Evaluation.Divergence;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Recall;
using LocalLlm.Evaluation.Report;
using LocalLlm.Evaluation.Results;

namespace LocalLlm.Evaluation.Peaks;

/// <summary>Divergence and recall once more, with windows chosen so that no method ever holds more than this engine's default.</summary>
internal sealed class EqualPeaksSection : IReportSection
{
    /// <inheritdoc/>
    public string Name => "peaks";

    /// <inheritdoc/>
    public string Title => "At equal peaks";

    /// <inheritdoc/>
    public int Order => 35;

    /// <inheritdoc/>
    public void Write(ReportWriter report, ResultStore store)
    {
        report.Heading(2, Title);
        var divergences = DivergenceGroup.Of(store, ByteMatching.Peak);
        var recalls = RecallSection.Current(store, ByteMatching.Peak);
        if (divergences.Count == 0 && recalls.Count == 0)
        {
            report.NoResults(DivergenceEvaluation.Command);
            return;
        }

        report.Text("""
            `kl` and `recall` choose each window twice, for the same texts and questions: for equal average bits, as everywhere else on this
            page, and so that the most bits that a method holds at any length come as near to this engine's default's as its windows allow
            without exceeding them. Windows are coarse (the rule of LogQuant has 32, 64 or 128, KIVI whole pages, StreamingLLM multiples of 32),
            so "peak / ours" tells what was reached; where one window meets both, one result is shown for both. Methods with a window of their
            own (4 bits, LogQuant over this engine's pages) keep it. Peak bits are per element of the whole run.
            """);
        foreach (var group in divergences)
        {
            var average = DivergenceGroup.Of(store, ByteMatching.Average)
                .FirstOrDefault(g => (g.Model, g.Text, g.Tokens) == (group.Model, group.Text, group.Tokens));
            report.Heading(3, $"Divergence at equal peaks: {group.Model}, {group.Text}, {group.Tokens} tokens");
            report.Text($"{group.Methods.Values.Max(m => m.Count)} texts; nats.");
            var table = new Table("");
            table.Rows.AddRange(
                DivergenceTables.AtEqualPeaks("", group.Tokens, average?.Methods ?? [], Ordered(group.Methods), DivergenceTables.Label).Rows);
            report.Table(table);
        }

        var byAverage = RecallSection.Current(store);
        foreach (var group in recalls.GroupBy(r => (r.Key.Model, Length: RecallSection.LengthOf(r.Key.Settings))))
        {
            report.Heading(3, $"Recall at equal peaks: {group.Key.Model}, conversations of {group.Key.Length} tokens");
            report.Text($"{group.GroupBy(r => r.Key.Method).Max(m => m.Count())} conversations, half for associative recall, half with needles.");
            report.Table(RecallTable(
                MethodResults<RecallResult>.Of(
                    RecallSection.AskedAlike([.. byAverage.Where(r => (r.Key.Model, RecallSection.LengthOf(r.Key.Settings)) == group.Key)]).Shared),
                MethodResults<RecallResult>.Of(group)));
        }
    }

    private static Table RecallTable(List<MethodResults<RecallResult>> byAverage, List<MethodResults<RecallResult>> byPeak)
    {
        var table = new Table("");
        var ours = byPeak.FirstOrDefault(m => m.Id == MethodCatalog.Ours.Id)?.Results;
        foreach (var method in byPeak)
        {
            var average = byAverage.FirstOrDefault(m => m.Id == method.Id);
            var recalls = Recalls(method);
            table.Add(
                ("method", method.Label), ("W by average", average?.Window),
                ("average / ours", average?.Results.Average(r => r.AverageBits) / ours?.Average(r => r.AverageBits)),
                ("all at equal average", average is null ? null : RecallSection.Shown(Recalls(average))),
                ("W by peak", method.Window), ("average bits", method.Results.Average(r => r.AverageBits)),
                ("peak bits", method.Results.Average(r => r.PeakBits)),
                ("peak / ours", method.Results.Average(r => r.PeakBits) / ours?.Average(r => r.PeakBits)),
                ("in the window", RecallSection.Shown(recalls.Where(a => a.Regime == Regime.Window))),
                ("in the log set", RecallSection.Shown(recalls.Where(a => a.Regime == Regime.LogSet))),
                ("in a page", RecallSection.Shown(recalls.Where(a => a.Regime == Regime.Page))),
                ("all at equal peaks", RecallSection.Shown(recalls)));
        }

        return table;
    }

    private static List<RecallAnswer> Recalls(MethodResults<RecallResult> method) =>
        [.. method.Results.SelectMany(r => r.Answers).Where(a => a.Regime is not null)];

    private static Dictionary<string, List<DivergenceResult>> Ordered(Dictionary<string, List<DivergenceResult>> methods) =>
        methods.OrderBy(m => MethodNames.Order(m.Key)).ToDictionary();
}
