using LocalLlm.Evaluation.Divergence;
using LocalLlm.Evaluation.Memory;

namespace LocalLlm.Evaluation.Report;

/// <summary>The report's sections: each evaluation registers its own here.</summary>
internal static class ReportSections
{
    /// <summary>Every section; they are written by their order.</summary>
    public static IReadOnlyList<IReportSection> All { get; } =
    [
        new DivergenceReport(),
        new MemoryReport(),
    ];
}
