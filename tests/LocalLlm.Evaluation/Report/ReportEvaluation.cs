using System.Globalization;
using System.Runtime.InteropServices;
using LocalLlm.Kernels.Cpu;

namespace LocalLlm.Evaluation.Report;

/// <summary>Writes docs/evaluation.md and its pictures from what is stored. No model is loaded and nothing is measured.</summary>
internal sealed class ReportEvaluation : IEvaluation
{
    private const string FileName = "evaluation.md";
    private readonly string? folder;
    private readonly IReadOnlyList<string>? only;

    private ReportEvaluation(string? folder, IReadOnlyList<string>? only) => (this.folder, this.only) = (folder, only);

    /// <inheritdoc/>
    public string Name => "report";

    /// <summary>
    /// Reads --out and --only. As a part of <c>all</c> it writes only where --out is given: a quick run must not replace the page in docs.
    /// </summary>
    public static ReportEvaluation Parse(Arguments arguments)
    {
        var folder = arguments.Text("out") ?? (arguments.Command == "report" ? "docs" : null);
        if (folder is not null && File.Exists(folder))
            throw new ArgumentException($"--out {folder} is a file; a folder is needed.");
        var only = arguments.Command == "report" ? arguments.List("only") : null;
        _ = ReportSections.Choose(only);
        if (only is not null && !File.Exists(Path.Combine(folder!, FileName)))
            throw new ArgumentException($"--only writes sections into a page; there is none in {folder}.");
        return new ReportEvaluation(folder, only);
    }

    /// <inheritdoc/>
    public Task RunAsync(EvaluationRun run, CancellationToken cancellationToken)
    {
        if (folder is null)
            return Task.CompletedTask;
        if (only is not null)
            return ReplaceAsync(run, folder, ReportSections.Choose(only), cancellationToken);
        var sections = ReportSections.Choose(null);
        using var progress = run.Begin("report", sections.Count + 1);
        var report = new ReportWriter(folder);
        Header(report, run);
        foreach (var section in sections)
            section.Lead(report, run.Store);
        foreach (var section in sections)
        {
            cancellationToken.ThrowIfCancellationRequested();
            section.Write(report, run.Store);
            progress.Advance();
        }

        report.Save(FileName);
        progress.Advance();
        return Task.CompletedTask;
    }

    // For who has not the results of the other sections.
    private static async Task ReplaceAsync(
        EvaluationRun run, string folder, IReadOnlyList<IReportSection> sections, CancellationToken cancellationToken)
    {
        var path = Path.Combine(folder, FileName);
        var page = await File.ReadAllTextAsync(path, cancellationToken);
        using var progress = run.Begin("report", sections.Count);
        foreach (var section in sections)
        {
            var report = new ReportWriter(folder);
            section.Write(report, run.Store);
            page = PageSections.Replace(page, section.Title, report.ToString(), ReportSections.Choose(null).Select(s => s.Title));
            report.SavePictures();
            progress.Advance();
        }

        await File.WriteAllTextAsync(path, page, cancellationToken);
    }

    private static void Header(ReportWriter report, EvaluationRun run)
    {
        report.Heading(1, "Evaluation");
        report.Text("What the cache costs in accuracy. The program in `tests/LocalLlm.Evaluation` writes this page and its pictures from "
            + "stored results; no figure is written by hand. Bits are bits per element of keys and values, codes, scales, minima, positions "
            + "and rows all counted.");
        report.Text($"Written {DateTime.UtcNow.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture)} on {Machine(run)}.");
        report.Code($"{ReportWriter.Program} all       # makes the results\n{ReportWriter.Program} report    # writes this page", "sh");
        report.Text("A model of your own is evaluated by `--model FOLDER`, one more beside the demo model by `--stories FOLDER`; the combinations "
            + "of options come from `kl --sweep`, questions in more conversations from `recall --methods LIST --seeds N`. The demo model was not trained "
            + "through rounded keys or values; its layers have bits of their own, which `tune` found ([0016](decisions/0016-bits-of-layers.md)).");
        var keys = Commands.All.SelectMany(c => run.Store.Newest<object>(c.Name).Select(r => r.Key)).ToList();
        var models = new Table("Models; the fingerprint is of the files.");
        foreach (var model in keys.GroupBy(k => (k.Model, k.Fingerprint)).OrderBy(g => g.Key.Model, StringComparer.Ordinal))
        {
            models.Add(
                ("model", model.Key.Model), ("fingerprint", $"`{model.Key.Fingerprint}`"),
                ("evaluations", string.Join(", ", model.Select(k => k.Evaluation).Distinct())));
        }

        if (models.Rows.Count > 0)
            report.Table(models);
    }

    private static string Machine(EvaluationRun run) =>
        $"{RuntimeInformation.OSDescription}, {RuntimeInformation.ProcessArchitecture}, {Environment.ProcessorCount} processors "
        + $"({run.Arguments.Threads} threads, {SimdPaths.Best}), {RuntimeInformation.FrameworkDescription}";
}
