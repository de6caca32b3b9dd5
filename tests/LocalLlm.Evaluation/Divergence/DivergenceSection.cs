using System.Globalization;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Report;
using LocalLlm.Evaluation.Results;

namespace LocalLlm.Evaluation.Divergence;

/// <summary>The report's part on the divergence from the full-precision cache.</summary>
internal sealed class DivergenceSection : IReportSection
{
    private const int SweepRows = 30;

    /// <inheritdoc/>
    public string Name => "kl";

    /// <inheritdoc/>
    public string Title => "Divergence from full precision";

    /// <inheritdoc/>
    public int Order => 20;

    /// <inheritdoc/>
    public void Write(ReportWriter report, ResultStore store)
    {
        report.Heading(2, Title);
        var groups = Groups(store);
        if (groups.Count == 0)
        {
            report.NoResults(DivergenceEvaluation.Command);
            return;
        }

        report.Text("A text is given to the model token by token through the decode path, once with a cache in full precision and once "
            + "with each method. "
            + "What counts is how far the distribution of the next token moves: KL(full precision ‖ method) in nats. "
            + "Intervals are 95%, by bootstrap over texts; \"times ours\" is the mean over that of this engine's default on the "
            + "same texts. \"Written\" are the tokens that the model writes in a dialogue, the others are the user's and the tools'. "
            + "Windows are chosen so that the average bits come as near to this engine's default as each method's windows allow; "
            + "average bits are over all lengths of the run, peak bits are the most held at any length, per element of the whole run. "
            + "KIVI as Hugging Face runs it cannot come near in dialogues: each prompt's end sends its window to pages. "
            + "The authors' code is simulated with every token decoded, where it quantises its whole history again each W tokens.");
        report.Text("A model with \"-stress\" has outlier channels in its keys, as large models do: some key channels are scaled up and "
            + "the query's down, by powers of two, which leaves full precision exactly as it was. "
            + "Quantisation of keys by channel does not notice; by token it does.");
        foreach (var group in groups)
            Write(report, group);
    }

    /// <inheritdoc/>
    public void Lead(ReportWriter report, ResultStore store)
    {
        if (Groups(store).FirstOrDefault() is not { } group || !group.Methods.TryGetValue(MethodCatalog.Ours.Id, out var ours))
            return;
        report.Text(string.Create(CultureInfo.InvariantCulture,
            $"**Divergence.** How far the next token's distribution moves from full precision's ({group.Model}, {group.Tokens} tokens): {Mean(ours):G2} nats by default"
            + $"{Against("logquant-paper")}{Against("kivi")}; the same most probable token in ")
            + string.Create(CultureInfo.InvariantCulture, $"{100 * Written(ours):F2} % of what the model writes."));
        Chart(report, group, group.Methods, string.Create(CultureInfo.InvariantCulture, $"{group.Model}, {group.Tokens} tokens"));

        string Against(string id) => group.Methods.TryGetValue(id, out var other)
            ? string.Create(CultureInfo.InvariantCulture, $", {Mean(other):G2} with {DivergenceTables.Label(id)} at equal bytes")
            : "";
    }

    private static double Mean(List<DivergenceResult> units) => DivergenceStatistics.Of(units, DivergenceTables.AllRows)!.Mean;

    private static double Written(List<DivergenceResult> units) =>
        DivergenceStatistics.Of(units, t => t.WrittenRows)?.SameTop ?? DivergenceStatistics.Of(units, DivergenceTables.AllRows)!.SameTop;

    private static void Write(ReportWriter report, DivergenceGroup group)
    {
        var methods = group.Methods.Where(m => !m.Key.StartsWith(OptionGrid.IdStart, StringComparison.Ordinal)).ToDictionary();
        var name = string.Create(CultureInfo.InvariantCulture, $"{group.Model}, {group.Text}, {group.Tokens} tokens");
        if (methods.Count > 0)
        {
            report.Heading(3, name);
            var tables = DivergenceTables.Of("", group.Tokens, methods, DivergenceTables.Label);
            report.Text(string.Create(CultureInfo.InvariantCulture, $"{methods.Values.Max(m => m.Count)} texts; nats."));
            report.Table(Untitled(tables[0]));
            Chart(report, group, methods, name);
            report.Text("Mean by the position in the text:");
            report.Table(Untitled(tables[1]));
            if (tables.Count > 2)
            {
                report.Text("Mean over answers, by how many tokens back the fact is that they need:");
                report.Table(Untitled(tables[2]));
            }
        }

        var grid = group.Methods.Where(m => m.Key.StartsWith(OptionGrid.IdStart, StringComparison.Ordinal)).ToDictionary();
        if (grid.Count == 0)
            return;
        report.Heading(3, $"Options, {name}");
        var sweep = DivergenceTables.Sweep("", group.Tokens, grid);
        var shown = Untitled(sweep, (row, index) => index < SweepRows || row["front"] is "*");
        report.Text(string.Create(CultureInfo.InvariantCulture,
            $"The {Math.Min(SweepRows, grid.Count)} best of {grid.Count} combinations by mean divergence, and all on the Pareto front (*) ")
            + "of mean divergence and average bits.");
        report.Table(shown);
        var points = sweep.Rows
            .Select(r => (IsFront: r["front"] is "*", Point: new ChartPoint((double)r["average bits"]!, (double)r["mean"]!)))
            .OrderBy(p => p.Point.X).ToLookup(p => p.IsFront, p => p.Point);
        report.Picture(
            ReportWriter.PictureName("kl-options", group.Model, group.Text, group.Tokens.ToString(CultureInfo.InvariantCulture)),
            new LineChart
            {
                Title = $"Options: {name}",
                X = new("average bits per element"),
                Y = new("mean KL (nats)", AxisScale.Log10),
                IsConnected = false,
                Lines = [new("combinations", [.. points[false]]), new("Pareto front", [.. points[true]])],
            },
            $"Mean divergence of {grid.Count} combinations of options over their bits; the table above has the best.");
    }

    private static void Chart(ReportWriter report, DivergenceGroup group, Dictionary<string, List<DivergenceResult>> methods, string name)
    {
        var lines = MethodCatalog.Main.Where(m => methods.ContainsKey(m.Id)).Select(method =>
        {
            var units = methods[method.Id];
            var all = DivergenceStatistics.Of(units, DivergenceTables.AllRows)!;
            var bits = units.Average(u => u.AverageBits);
            return new LineSeries(method.Label, [double.IsNaN(all.Low) ? new(bits, all.Mean) : new(bits, all.Mean, all.Low, all.High)], MethodNames.Style(method.Id));
        }).ToList();
        if (lines.Count == 0)
            return;
        report.Picture(
            ReportWriter.PictureName("kl", group.Model, group.Text, group.Tokens.ToString(CultureInfo.InvariantCulture)),
            new LineChart
            {
                Title = $"Divergence from full precision: {name}",
                X = new("average bits per element"),
                Y = new("mean KL (nats)", AxisScale.Log10),
                IsConnected = false,
                Lines = lines,
            },
            "Mean divergence of each method over its bits, as in the table above.");
    }

    private static List<DivergenceGroup> Groups(ResultStore store) => DivergenceGroup.Of(store, ByteMatching.Average);

    private static Table Untitled(Table table, Func<Dictionary<string, object?>, int, bool>? isShown = null)
    {
        var result = new Table("");
        result.Rows.AddRange(isShown is null ? table.Rows : table.Rows.Where(isShown));
        return result;
    }
}
