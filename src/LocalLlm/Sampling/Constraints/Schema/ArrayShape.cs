namespace LocalLlm.Sampling.Constraints.Schema;

/// <summary>What the items of an array must be.</summary>
/// <param name="Prefix">The first items.</param>
/// <param name="Rest">Each item after them.</param>
/// <param name="Min">The fewest items.</param>
/// <param name="Max">The most items; null for no limit.</param>
internal sealed record ArrayShape(IReadOnlyList<Conjunction> Prefix, Conjunction Rest, int Min, int? Max)
{
    /// <summary>Any array.</summary>
    public static ArrayShape Any { get; } = new([], Conjunction.Any, 0, null);

    /// <summary>What an item must be.</summary>
    public Conjunction ItemAt(int index) => index < Prefix.Count ? Prefix[index] : Rest;

    /// <summary>What is in both.</summary>
    public ArrayShape Intersect(ArrayShape other)
    {
        if (ReferenceEquals(this, Any))
            return other;
        if (ReferenceEquals(other, Any))
            return this;
        var prefix = Enumerable.Range(0, Math.Max(Prefix.Count, other.Prefix.Count)).Select(i => ItemAt(i).And(other.ItemAt(i)));
        return new ArrayShape([.. prefix], Rest.And(other.Rest), Math.Max(Min, other.Min), Counts.Least(Max, other.Max));
    }
}

/// <summary>Limits of counts, of which null is none.</summary>
internal static class Counts
{
    public static int? Least(int? a, int? b) => a is null ? b : b is null ? a : Math.Min(a.Value, b.Value);
}
