namespace LocalLlm.Sampling.Constraints.Automata;

/// <summary>A set of Unicode scalar values as ranges in order, which neither overlap nor touch. Immutable.</summary>
internal sealed class CharSet
{
    /// <summary>The greatest scalar value.</summary>
    public const int MaxValue = 0x10FFFF;

    private const int FirstSurrogate = 0xD800;
    private const int LastSurrogate = 0xDFFF;

    private readonly (int Low, int High)[] ranges;

    private CharSet((int Low, int High)[] ranges) => this.ranges = ranges;

    /// <summary>Every scalar value.</summary>
    public static CharSet All { get; } = Of((0, MaxValue));

    /// <summary>The ranges, in order; surrogates are in none.</summary>
    public ReadOnlySpan<(int Low, int High)> Ranges => ranges;

    /// <summary>One scalar value.</summary>
    public static CharSet Single(int value) => Of((value, value));

    /// <summary>The scalar values of these ranges, both ends included; surrogates are left out.</summary>
    public static CharSet Of(params IReadOnlyList<(int Low, int High)> ranges)
    {
        var merged = new List<(int Low, int High)>();
        foreach (var (low, high) in ranges.SelectMany(WithoutSurrogates).OrderBy(r => r.Low))
        {
            if (merged.Count > 0 && low <= merged[^1].High + 1)
                merged[^1] = (merged[^1].Low, Math.Max(merged[^1].High, high));
            else
                merged.Add((low, high));
        }

        return new CharSet([.. merged]);
    }

    /// <summary>What is in any of the sets.</summary>
    public static CharSet Union(params IReadOnlyList<CharSet> sets) => Of([.. sets.SelectMany(s => s.ranges)]);

    /// <summary>What is not in this set.</summary>
    public CharSet Complement()
    {
        var (rest, next) = (new List<(int, int)>(), 0);
        foreach (var (low, high) in ranges)
        {
            rest.Add((next, low - 1));
            next = high + 1;
        }

        return Of([.. rest, (next, MaxValue)]);
    }

    private static IEnumerable<(int Low, int High)> WithoutSurrogates((int Low, int High) range)
    {
        var (low, high) = range;
        if (low < FirstSurrogate && low <= high)
            yield return (low, Math.Min(high, FirstSurrogate - 1));
        if (high > LastSurrogate && low <= high)
            yield return (Math.Max(low, LastSurrogate + 1), high);
    }
}
