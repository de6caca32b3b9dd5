using LocalLlm.Evaluation.Methods;
using LocalLlm.KvCache;

namespace LocalLlm.Evaluation.AttentionStudy;

/// <summary>Ways to choose which tokens stay in full precision, of the same number of tokens each.</summary>
internal static class Selections
{
    private const int Sinks = 4;

    /// <summary>KIVI's residual, of whose phases <see cref="AttentionStatistics.KiviShare"/> takes the mean.</summary>
    public const string Kivi = "KIVI, mean of its phases";

    /// <summary>The names, in the order of tables.</summary>
    public static IReadOnlyList<string> Names { get; } =
        ["LogQuant", "Recent", "Sink + recent", Kivi, "H2O, idealised", "Random", "Best possible"];

    /// <summary>
    /// The tokens that each way keeps of the first <paramref name="length"/>. Not among them: the best possible, which is another for each
    /// query, and KIVI's residual, whose size depends on its phase.
    /// </summary>
    /// <param name="length">Tokens so far.</param>
    /// <param name="window">W of LogQuant, which decides how many tokens are kept.</param>
    /// <param name="accumulated">For each of the tokens, the attention that all queries so far gave it, for H2O.</param>
    /// <param name="random">For the random choice.</param>
    public static IEnumerable<(string Name, int[] Kept)> Of(int length, int window, ReadOnlyMemory<float> accumulated, Random random)
    {
        var logQuant = KvCacheFactory.Policy(new() { Kind = KvCacheKind.LogQuant, Window = window, SinkTokens = 0 })!.RowPositionsAt(length).ToArray();
        var budget = logQuant.Length;
        yield return (Names[0], logQuant);
        yield return (Names[1], Last(length, budget));
        var sinks = Math.Min(Sinks, budget);
        yield return (Names[2], [.. Enumerable.Range(0, sinks), .. Last(length, budget - sinks)]);
        yield return (Names[4], HeavyHitters(length, budget, accumulated.Span));
        yield return (Names[5], [.. Enumerable.Range(0, length).OrderBy(_ => random.Next()).Take(budget)]);
    }

    /// <summary>
    /// H2O (arXiv 2306.14048): half of the budget the most recent tokens, half those with the most accumulated attention of the others.
    /// Idealised: it ranks by the attention of all queries so far to all tokens, while H2O loses a token for ever once it ranks low.
    /// </summary>
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
