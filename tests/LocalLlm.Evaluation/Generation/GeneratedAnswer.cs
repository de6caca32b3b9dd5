namespace LocalLlm.Evaluation.Generation;

/// <summary>What a model answered, and what that took.</summary>
/// <param name="Text">The answer, without reasoning.</param>
/// <param name="PromptTokens">Tokens of the prompt.</param>
/// <param name="AnswerTokens">Tokens sampled, the end token included.</param>
/// <param name="IsCut">True if the answer came to the limit of tokens.</param>
/// <param name="AverageBits">Bits per element of keys and values, averaged over the run's lengths.</param>
/// <param name="PeakBits">The most bits at any length, per element of the whole run.</param>
internal sealed record GeneratedAnswer(string Text, int PromptTokens, int AnswerTokens, bool IsCut, double AverageBits, double PeakBits);
