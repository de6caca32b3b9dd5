using LocalLlm.Evaluation.AttentionStudy;
using LocalLlm.Evaluation.Divergence;
using LocalLlm.Evaluation.Gsm8k;
using LocalLlm.Evaluation.LongBench;
using LocalLlm.Evaluation.Memory;
using LocalLlm.Evaluation.Peaks;
using LocalLlm.Evaluation.Perplexity;
using LocalLlm.Evaluation.Recall;

namespace LocalLlm.Evaluation.Report;

/// <summary>The report's sections: each evaluation registers its own here.</summary>
internal static class ReportSections
{
    /// <summary>Every section; they are written by their order.</summary>
    public static IReadOnlyList<IReportSection> All { get; } =
    [
        new DivergenceSection(),
        new MemorySection(),
        new PerplexitySection(),
        new Gsm8kSection(),
        new LongBenchSection(),
        new RecallSection(),
        new EqualPeaksSection(),
        new AttentionSection(),
    ];

    /// <summary>Sections by their names, in the page's order; all for null.</summary>
    /// <exception cref="ArgumentException">There is no such section.</exception>
    public static IReadOnlyList<IReportSection> Choose(IReadOnlyList<string>? names)
    {
        if (names?.FirstOrDefault(n => All.All(s => s.Name != n)) is { } unknown)
            throw new ArgumentException($"--only: there is no section '{unknown}'. There are {string.Join(", ", All.Select(s => s.Name))}.");
        return [.. All.Where(s => names is null || names.Contains(s.Name)).OrderBy(s => s.Order)];
    }
}
