using LocalLlm.KvCache;
using LocalLlm.Evaluation.Methods;

namespace LocalLlm.Evaluation.AttentionStudy;

/// <summary>Ways to choose which tokens stay in full precision, of the same number of tokens each.</summary>
internal static class Selections
{
    private const int Sinks = 4;

    /// <summary>The names, in the order of tables.</summary>
    public static IReadOnlyList<string> Names { get; } =
        ["LogQuant", "Recent", "Sink + recent", "KIVI", "H2O", "Random", "Best possible"];

    /// <summary>
    /// The tokens that each way keeps of the first <paramref name="length"/>; the best possible is another for each query and not among them.
    /// </summary>
    /// <param name="length">Tokens so far.</param>
    /// <param name="window">W of LogQuant, which decides how many tokens are kept.</param>
    /// <param name="accumulated">For each of the tokens, the attention that all queries so far gave it, for H2O.</param>
    /// <param name="random">For the random choice.</param>
    public static IEnumerable<(string Name, int[] Kept)> Of(int length, int window, ReadOnlyMemory<float> accumulated, Random random)
    {
        var logQuant = KvCacheFactory.Policy(new() { Kind = KvCacheKind.LogQuant, Window = window })!.RowPositionsAt(length).ToArray();
        var budget = logQuant.Length;
        yield return (Names[0], logQuant);
        yield return (Names[1], Last(length, budget));
        yield return (Names[2], [.. Enumerable.Range(0, Math.Min(Sinks, budget)), .. Last(length, budget - Math.Min(Sinks, budget))]);
        // KIVI keeps from none to R tokens and sends R of them away at once; with R twice the budget, as many on average.
        var residual = Math.Max(32, (2 * budget + 16) / 32 * 32);
        yield return (Names[3], KvCacheFactory.Policy(new() { Kind = KvCacheKind.Kivi, Window = residual, PageTokens = 32 })!.RowPositionsAt(length).ToArray());
        yield return (Names[4], HeavyHitters(length, budget, accumulated.Span));
        yield return (Names[5], [.. Enumerable.Range(0, length).OrderBy(_ => random.Next()).Take(budget)]);
    }

    /// <summary>H2O (arXiv 2306.14048): half of the budget the most recent tokens, half those with the most accumulated attention of the others.</summary>
    public static int[] HeavyHitters(int length, int budget, ReadOnlySpan<float> accumulated)
    {
        budget = Math.Min(budget, length);
        var recent = budget / 2;
        var scores = accumulated[..(length - recent)].ToArray();
        var heavy = Enumerable.Range(0, scores.Length).OrderByDescending(i => scores[i]).ThenBy(i => i).Take(budget - recent);
        return [.. heavy, .. Last(length, recent)];
    }

    private static int[] Last(int length, int count) => [.. Enumerable.Range(length - count, count)];
}
