namespace LocalLlm.Sampling;

/// <summary>Log probabilities of one sampled token and of the most probable ones.</summary>
/// <param name="Id">The sampled token.</param>
/// <param name="Logprob">Its log probability.</param>
/// <param name="Top">The most probable tokens, the most probable first.</param>
internal sealed record SampledLogprobs(int Id, double Logprob, (int Id, double Logprob)[] Top);

/// <summary>
/// Reads log probabilities off one sequence's logits: their log-softmax before anything changes them. What sampling does to the logits happens in
/// place, so they are copied first.
/// </summary>
/// <param name="top">How many alternatives to give, 0 for none.</param>
internal sealed class LogprobReader(int top)
{
    /// <summary>The most alternatives that may be asked for.</summary>
    public const int MaxTop = 20;

    private float[] logits = [];
    private double logNormalizer;

    /// <summary>Takes the logits of the next token, as the model gave them.</summary>
    public void Observe(ReadOnlySpan<float> modelLogits)
    {
        if (logits.Length != modelLogits.Length)
            logits = new float[modelLogits.Length];
        modelLogits.CopyTo(logits);
        var max = float.NegativeInfinity;
        foreach (var value in logits)
            max = MathF.Max(max, value);
        var sum = 0.0;
        foreach (var value in logits)
            sum += Math.Exp((double)value - max);
        logNormalizer = max + Math.Log(sum);
    }

    /// <summary>The log probabilities in the logits last observed.</summary>
    /// <param name="id">The token that was sampled.</param>
    public SampledLogprobs Of(int id)
    {
        var best = new (int Id, double Logprob)[Math.Min(top, logits.Length)];
        var count = 0;
        for (var candidate = 0; best.Length > 0 && candidate < logits.Length; candidate++)
        {
            // By the logits: of two that hardly differ the log probabilities may be equal.
            if (count == best.Length && !(logits[candidate] > logits[best[^1].Id]))
                continue;
            // Insertion into the few best; the first of equal ones stays first.
            var place = count < best.Length ? count++ : count - 1;
            for (; place > 0 && logits[candidate] > logits[best[place - 1].Id]; place--)
                best[place] = best[place - 1];
            best[place] = (candidate, logits[candidate] - logNormalizer);
        }

        return new SampledLogprobs(id, logits[id] - logNormalizer, best);
    }
}
