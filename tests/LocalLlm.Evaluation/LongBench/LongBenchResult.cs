using LocalLlm.Evaluation.Generation;

namespace LocalLlm.Evaluation.LongBench;

/// <summary>One sample's score.</summary>
/// <param name="Series">The settings that all samples of a comparison share.</param>
/// <param name="File">The file's name without its end: the task, with "_e" for LongBench-E.</param>
/// <param name="Sample">The sample's line in the file, from 1; empty lines not counted.</param>
/// <param name="Length">Its length in words, as the data set counts it; null where it is missing.</param>
/// <param name="Score">0 to 1; null for a sample left out because it is too long.</param>
/// <param name="PromptTokens">Tokens of the prompt before anything was cut out of it.</param>
/// <param name="Answer">The answer; null for a sample left out.</param>
internal sealed record LongBenchResult(
    string Series, string File, int Sample, int? Length, double? Score, int PromptTokens, GeneratedAnswer? Answer)
{
    /// <summary>True for LongBench-E, whose samples are spread evenly over lengths.</summary>
    public bool IsOfLongBenchE => File.EndsWith("_e", StringComparison.Ordinal) && Length is not null;
}
