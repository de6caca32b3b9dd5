using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints.Schema;

/// <summary>A set of JSON values, type by type: the normal form of a schema. Its shapes are alternatives.</summary>
internal sealed record ValueSet(
    bool HasNull,
    bool HasTrue,
    bool HasFalse,
    CharDfa Strings,
    IReadOnlyList<NumberShape> Numbers,
    IReadOnlyList<ObjectShape> Objects,
    IReadOnlyList<ArrayShape> Arrays)
{
    /// <summary>The most alternatives of a type.</summary>
    public const int MaxShapes = 500;

    /// <summary>Any value.</summary>
    public static ValueSet Any { get; } = new(true, true, true, CharDfas.AnyString, [NumberShape.Any], [ObjectShape.Any], [ArrayShape.Any]);

    /// <summary>No value.</summary>
    public static ValueSet None { get; } = new(false, false, false, CharDfas.None, [], [], []);

    /// <summary>What is in both.</summary>
    public ValueSet Intersect(ValueSet other)
    {
        if (ReferenceEquals(this, Any))
            return other;
        if (ReferenceEquals(other, Any))
            return this;
        return new ValueSet(
            HasNull && other.HasNull,
            HasTrue && other.HasTrue,
            HasFalse && other.HasFalse,
            CharDfas.Intersect(Strings, other.Strings),
            [.. Pairs(Numbers, other.Numbers, (a, b) => a.Intersect(b)).Where(n => !CharDfas.IsEmpty(n.Values))],
            Pairs(Objects, other.Objects, (a, b) => a.Intersect(b)),
            Pairs(Arrays, other.Arrays, (a, b) => a.Intersect(b)));
    }

    /// <summary>What is in either.</summary>
    public ValueSet Union(ValueSet other) => new(
        HasNull || other.HasNull,
        HasTrue || other.HasTrue,
        HasFalse || other.HasFalse,
        CharDfas.Union(Strings, other.Strings),
        WithAny(Numbers, other.Numbers, NumberShape.Any),
        WithAny(Objects, other.Objects, ObjectShape.Any),
        WithAny(Arrays, other.Arrays, ArrayShape.Any));

    /// <summary>What is not in it; null if that cannot be told: some objects or arrays are in it and some are not.</summary>
    public ValueSet? Complement()
    {
        if (Objects.Count > 0 && !Objects.Contains(ObjectShape.Any) || Arrays.Count > 0 && !Arrays.Contains(ArrayShape.Any))
            return null;
        var numbers = Numbers.Aggregate(NumberShape.Any, (rest, n) => rest.Except(n));
        return new ValueSet(
            !HasNull,
            !HasTrue,
            !HasFalse,
            CharDfas.Complement(Strings),
            CharDfas.IsEmpty(numbers.Values) ? [] : [numbers],
            Objects.Count > 0 ? [] : [ObjectShape.Any],
            Arrays.Count > 0 ? [] : [ArrayShape.Any]);
    }

    /// <summary>The scalars of this that are in none of the others; objects and arrays stay.</summary>
    public ValueSet ExceptScalars(IReadOnlyList<ValueSet> others) => this with
    {
        HasNull = HasNull && !others.Any(o => o.HasNull),
        HasTrue = HasTrue && !others.Any(o => o.HasTrue),
        HasFalse = HasFalse && !others.Any(o => o.HasFalse),
        Strings = others.Aggregate(Strings, (rest, o) => CharDfas.Difference(rest, o.Strings)),
        Numbers = [.. Numbers.Select(n => Except(n, others)).Where(n => !CharDfas.IsEmpty(n.Values))],
    };

    private static NumberShape Except(NumberShape numbers, IReadOnlyList<ValueSet> others) =>
        others.SelectMany(o => o.Numbers).Aggregate(numbers, (rest, o) => rest.Except(o));

    /// <summary>The error of a schema whose normal form would be too large.</summary>
    public static ConstraintException TooManyShapes() => new(
        "The schema", [$"its alternatives combine in more than {MaxShapes} ways; write fewer anyOf, oneOf or dependentRequired beside each other"]);

    private static IReadOnlyList<T> Pairs<T>(IReadOnlyList<T> a, IReadOnlyList<T> b, Func<T, T, T> intersect)
    {
        if ((long)a.Count * b.Count > MaxShapes)
            throw TooManyShapes();
        return [.. a.SelectMany(x => b.Select(y => intersect(x, y)))];
    }

    private static IReadOnlyList<T> WithAny<T>(IReadOnlyList<T> a, IReadOnlyList<T> b, T any) where T : class =>
        a.Contains(any) || b.Contains(any) ? [any] : [.. a.Union(b)];
}
