using DemoModel.Dialogues;

namespace LocalLlm.Evaluation.Recall;

/// <summary>One question and whether it was answered rightly.</summary>
/// <param name="Kind">A <see cref="RecallKind"/>, or <see cref="ToolCall"/> or <see cref="Refusal"/>.</param>
/// <param name="Distance">Tokens from the value to the answer; 0 where there is none.</param>
/// <param name="Regime">Where the value was; null where there is none.</param>
/// <param name="IsRight">Whether the answer is right.</param>
internal sealed record RecallAnswer(string Kind, int Distance, Regime? Regime, bool IsRight)
{
    /// <summary>A tool call of an agent: right if name and arguments are.</summary>
    public const string ToolCall = "ToolCall";

    /// <summary>A question for what was never told: right if the answer says so.</summary>
    public const string Refusal = "Refusal";
}

/// <summary>The answers of one dialogue, and what its cache held.</summary>
/// <param name="Answers">In order.</param>
/// <param name="Tokens">Tokens of the dialogue.</param>
/// <param name="AverageBits">Bits per element of keys and values, everything counted, averaged over the run.</param>
/// <param name="PeakBits">The most of them at any time, per element of the whole run.</param>
internal sealed record RecallResult(IReadOnlyList<RecallAnswer> Answers, int Tokens, double AverageBits, double PeakBits);
