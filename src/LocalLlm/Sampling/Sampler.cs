namespace LocalLlm.Sampling;

/// <summary>
/// Chooses one sequence's next token from its logits. Order, as in Hugging Face: repetition, frequency and presence penalties, temperature, top-k,
/// top-p, min-p. Not thread-safe; one for each sequence.
/// </summary>
internal sealed class Sampler
{
    private readonly SamplingSettings settings;
    private readonly Dictionary<int, int> generatedCounts = [];
    private readonly HashSet<int> seen = [];
    private ulong randomState;
    private int[] candidates = [];
    private float[] scores = [];

    /// <param name="settings">Checked settings.</param>
    /// <param name="promptIds">The prompt, whose tokens the repetition penalty counts as seen.</param>
    public Sampler(SamplingSettings settings, ReadOnlySpan<int> promptIds)
    {
        this.settings = settings;
        randomState = (ulong)settings.Seed;
        if (settings.RepetitionPenalty != 1)
        {
            foreach (var id in promptIds)
                seen.Add(id);
        }
    }

    /// <summary>Samples one token and remembers it for the penalties.</summary>
    /// <param name="logits">[vocabulary], changed in place.</param>
    /// <exception cref="LocalLlmException">The logits hold NaN, or nothing but negative infinity.</exception>
    public int Sample(Span<float> logits)
    {
        Penalise(logits);
        var best = IndexOfMax(logits);
        if (!float.IsFinite(logits[best]))
            throw new LocalLlmException("The model gave no finite logits, so no token can be chosen. Its weights or its KV cache hold NaN or infinity; "
                + "try WeightType = Float32, and check the checkpoint.");
        var id = settings.Temperature == 0 || settings.TopK == 1 ? best : Draw(logits, logits[best]);
        if (settings.RepetitionPenalty != 1)
            seen.Add(id);
        if (settings.FrequencyPenalty != 0 || settings.PresencePenalty != 0)
            generatedCounts[id] = generatedCounts.GetValueOrDefault(id) + 1;
        return id;
    }

    /// <summary>The first of the largest values; the first NaN, if there is one.</summary>
    private static int IndexOfMax(ReadOnlySpan<float> values)
    {
        var best = 0;
        for (var i = 0; i < values.Length; i++)
        {
            if (float.IsNaN(values[i]))
                return i;
            if (values[i] > values[best])
                best = i;
        }

        return best;
    }

    private void Penalise(Span<float> logits)
    {
        foreach (var id in seen)
            logits[id] = logits[id] > 0 ? logits[id] / settings.RepetitionPenalty : logits[id] * settings.RepetitionPenalty;
        foreach (var (id, count) in generatedCounts)
            logits[id] -= settings.PresencePenalty + settings.FrequencyPenalty * count;
    }

    private int Draw(ReadOnlySpan<float> logits, float max)
    {
        if (candidates.Length != logits.Length)
            (candidates, scores) = (new int[logits.Length], new float[logits.Length]);

        // Unnormalised probabilities; min-p compares with the most probable token, whose value is 1.
        var count = 0;
        for (var id = 0; id < logits.Length; id++)
        {
            var probability = MathF.Exp((logits[id] - max) / settings.Temperature);
            if (probability > 0 && probability >= settings.MinP)
                (candidates[count], scores[count++]) = (id, -probability);
        }

        // Ascending order of the negated probability: the most probable first.
        if (settings.TopK > 0 || settings.TopP < 1)
            Array.Sort(scores, candidates, 0, count);
        if (settings.TopK > 0)
            count = Math.Min(count, settings.TopK);
        double total = 0;
        for (var i = 0; i < count; i++)
            total -= scores[i];
        if (settings.TopP < 1)
        {
            var (kept, sum) = (0, 0.0);
            while (kept < count && sum < settings.TopP * total)
                sum -= scores[kept++];
            (count, total) = (kept, sum);
        }

        var left = NextDouble() * total;
        for (var i = 0; i < count; i++)
        {
            left += scores[i];
            if (left < 0)
                return candidates[i];
        }

        return candidates[count - 1]; // rounding left a little over
    }

    /// <summary>SplitMix64 (Steele, Lea, Flood 2014): the whole 64-bit seed counts, and a seed gives the same text on every runtime.</summary>
    private double NextDouble()
    {
        var z = randomState += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return ((z ^ (z >> 31)) >> 11) * (1.0 / (1ul << 53));
    }
}
