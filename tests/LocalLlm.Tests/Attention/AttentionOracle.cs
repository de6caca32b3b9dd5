namespace LocalLlm.Tests.Attention;

/// <summary>Softmax attention in double precision, written from the formula and nothing else.</summary>
internal static class AttentionOracle
{
    /// <summary>One query of one head over a set of tokens: Σ softmax(scale·q·k)·v.</summary>
    public static double[] Attend(ReadOnlySpan<float> query, IReadOnlyList<float[]> keys, IReadOnlyList<float[]> values, double scale)
    {
        var scores = new double[keys.Count];
        for (var t = 0; t < scores.Length; t++)
        {
            for (var d = 0; d < query.Length; d++)
                scores[t] += scale * query[d] * keys[t][d];
        }

        var highest = scores.Max();
        var weights = scores.Select(s => Math.Exp(s - highest)).ToArray();
        var sum = weights.Sum();
        var output = new double[query.Length];
        for (var t = 0; t < weights.Length; t++)
        {
            for (var d = 0; d < output.Length; d++)
                output[d] += weights[t] / sum * values[t][d];
        }

        return output;
    }
}
