using System.Globalization;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Report;
using LocalLlm.Evaluation.Results;

namespace LocalLlm.Evaluation.Memory;

/// <summary>The report's part on memory.</summary>
internal sealed class MemorySection : IReportSection
{
    // What can be told apart in a picture; the tables have the others.
    // At equal bytes the other methods lie on the default's line.
    private static readonly string[] Drawn = ["dense", "4bit", "ours"];

    /// <summary>The length of the page's first sentence.</summary>
    private const int LeadTokens = 32768;

    /// <inheritdoc/>
    public string Name => "memory";

    /// <inheritdoc/>
    public string Title => "Memory";

    /// <inheritdoc/>
    public int Order => 10;

    /// <inheritdoc/>
    public void Write(ReportWriter report, ResultStore store)
    {
        report.Heading(2, Title);
        var units = store.All<MemoryResult>(MemoryEvaluation.Command).ToList();
        if (units.Count == 0)
        {
            report.NoResults(MemoryEvaluation.Command);
            return;
        }

        var equal = MemoryEvaluation.EqualTokens.ToString("N0", CultureInfo.InvariantCulture);
        report.Text("Bytes of one sequence's cache, by the same arithmetic that the engine's memory budget uses: codes, scales, minima, "
            + "positions of pages, and rows at 16 bits. "
            + $"Windows are those whose average bits come nearest to this engine's default over {equal} tokens. "
            + "\"Reserved\" adds what a cache allocates before it fills it; the authors' code is counted as if it reserved nothing.");
        foreach (var model in units.GroupBy(u => u.Key.Model))
        {
            var byMethod = ByMethod(model);
            report.Heading(3, $"{model.Key} ({model.First().Key.Fingerprint}: layers, KV heads, head_dim)");
            var table = new Table("");
            foreach (var (id, values) in byMethod)
            {
                var last = values[^1];
                int? window = id == MethodCatalog.Dense.Id ? null : last.Window;
                List<(string, object?)> figures =
                    [("method", Label(id)), ("W", window), ("KiB a token", last.Bytes / 1024.0 / last.Tokens)];
                figures.AddRange(values.Select(v => ($"GiB at {MemoryEvaluation.Length(v.Tokens)}", (object?)Gib(v.Bytes))));
                figures.Add(("reserved", Gib(last.ReservedBytes)));
                figures.Add(("times smaller", (double)last.DenseBytes / last.Bytes));
                table.Add([.. figures]);
            }

            report.Table(table);
            Picture(report, model.Key, byMethod);
        }
    }

    /// <inheritdoc/>
    public void Lead(ReportWriter report, ResultStore store)
    {
        if (store.All<MemoryResult>(MemoryEvaluation.Command).GroupBy(u => u.Key.Model).FirstOrDefault() is not { } model)
            return;
        var byMethod = ByMethod(model);
        if (byMethod.SelectMany(m => m.Values.Where(v => m.Id == MethodCatalog.Ours.Id && v.Tokens == LeadTokens)).FirstOrDefault() is not { } ours)
            return;
        report.Text(string.Create(CultureInfo.InvariantCulture,
            $"**Memory.** A conversation of {MemoryEvaluation.Length(LeadTokens)} tokens with {model.Key} holds {Gib(ours.DenseBytes):F2} GiB in full precision, ")
            + string.Create(CultureInfo.InvariantCulture, $"{Gib(ours.Bytes):F2} GiB by default: {(double)ours.DenseBytes / ours.Bytes:F1} times less."));
        Picture(report, model.Key, byMethod);
    }

    private static List<(string Id, List<MemoryResult> Values)> ByMethod(IEnumerable<(ResultKey Key, MemoryResult Value)> units) =>
    [
        .. units.GroupBy(u => u.Key.Method).Where(m => MethodCatalog.Main.Any(known => known.Id == m.Key))
            .Select(m => (m.Key, LastOptions(m))),
    ];

    private static void Picture(ReportWriter report, string model, List<(string Id, List<MemoryResult> Values)> byMethod) => report.Picture(
        ReportWriter.PictureName("memory", model),
        new LineChart
        {
            Title = $"Cache of one conversation, {model}",
            X = new("tokens", AxisScale.Log2),
            Y = new("GiB", AxisScale.Log10),
            Lines =
            [
                .. byMethod.Where(m => Drawn.Contains(m.Id)).Select(m =>
                    new LineSeries(Label(m.Id), [.. m.Values.Select(v => new ChartPoint(v.Tokens, Gib(v.Bytes)))], MethodNames.Style(m.Id))),
            ],
        },
        "Bytes over length; the table has the figures.");

    private static List<MemoryResult> LastOptions(IEnumerable<(ResultKey Key, MemoryResult Value)> units) =>
        [.. units.Where(u => u.Key.Parameters == units.Last().Key.Parameters).Select(u => u.Value).OrderBy(v => v.Tokens)];

    private static double Gib(long bytes) => bytes / (double)(1 << 30);

    private static string Label(string id) => MethodCatalog.All.FirstOrDefault(m => m.Id == id)?.Label ?? id;
}
