using System.Diagnostics;

namespace LocalLlm.Benchmarks.Comparisons;

/// <summary>When the tokens of an answer reached its reader.</summary>
/// <param name="Tokens">Time stamps, in order; at least two.</param>
/// <param name="KvBytes">What the conversation's cache held at the end.</param>
internal sealed record TurnTimes(IReadOnlyList<long> Tokens, long KvBytes);

/// <summary>The answers of several conversations that were served side by side.</summary>
/// <param name="start">When the first step began.</param>
/// <param name="turns">One of each conversation.</param>
/// <param name="kvBytes">Bytes of all caches at the end.</param>
internal sealed class ServedTurns(long start, IReadOnlyList<TurnTimes> turns, long kvBytes)
{
    private readonly double[] firsts = [.. turns.Select(t => Milliseconds(start, t.Tokens[0])).Order()];
    private readonly double[] betweens = [.. turns.SelectMany(t => t.Tokens.Zip(t.Tokens.Skip(1), Milliseconds)).Order()];

    public int Conversations => turns.Count;

    public long KvBytes => kvBytes;

    /// <summary>Of the median conversation, its turn's tokens and the wait for the others' included.</summary>
    public double FirstTokenMs => At(firsts, 0.5);

    public double LastFirstTokenMs => firsts[^1];

    public double MedianBetweenMs => At(betweens, 0.5);

    public double P99BetweenMs => At(betweens, 0.99);

    /// <summary>Of all together, while all of them decode.</summary>
    public double TokensPerSecond
    {
        get
        {
            var (from, to) = (turns.Max(t => t.Tokens[0]), turns.Min(t => t.Tokens[^1]));
            return 1000 * turns.Sum(t => t.Tokens.Count(token => token > from && token <= to)) / Milliseconds(from, to);
        }
    }

    private static double At(double[] ordered, double share) => ordered[Math.Min(ordered.Length - 1, (int)(share * ordered.Length))];

    private static double Milliseconds(long from, long to) => Stopwatch.GetElapsedTime(from, to).TotalMilliseconds;
}
