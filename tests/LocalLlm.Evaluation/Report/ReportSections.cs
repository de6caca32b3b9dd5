using LocalLlm.Evaluation.Divergence;
using LocalLlm.Evaluation.Gsm8k;
using LocalLlm.Evaluation.LongBench;
using LocalLlm.Evaluation.Memory;
using LocalLlm.Evaluation.Perplexity;

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
    ];
}
