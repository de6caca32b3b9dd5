using LocalLlm.Evaluation.Generation;

namespace LocalLlm.Evaluation.Gsm8k;

/// <summary>One problem's answer.</summary>
/// <param name="Series">The settings that all problems of a comparison share.</param>
/// <param name="Problem">The problem's line in the file, from 1; empty lines not counted.</param>
/// <param name="Gold">The right number.</param>
/// <param name="Strict">The number found in the form that was asked for.</param>
/// <param name="Flexible">The last number found.</param>
/// <param name="Answer">The answer.</param>
internal sealed record Gsm8kResult(string Series, int Problem, string Gold, string Strict, string Flexible, GeneratedAnswer Answer)
{
    /// <summary>True if <see cref="Strict"/> is right.</summary>
    public bool IsStrictRight => AnswerExtraction.IsRight(Strict, Gold);

    /// <summary>True if <see cref="Flexible"/> is right.</summary>
    public bool IsFlexibleRight => AnswerExtraction.IsRight(Flexible, Gold);
}
