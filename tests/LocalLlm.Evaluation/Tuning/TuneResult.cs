namespace LocalLlm.Evaluation.Tuning;

/// <summary>What the store keeps of one measurement.</summary>
/// <param name="Kl">Mean divergence in nats over the tokens of one text.</param>
internal sealed record TuneResult(double Kl);
