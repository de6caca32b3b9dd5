using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints.Schema;

/// <summary>A set of numbers.</summary>
/// <param name="Values">All decimal spellings of its values, so that sets of numbers can be intersected and subtracted.</param>
/// <param name="IsCanonical">Whether only canonical spellings are written: integers without a point, listed values as they are.</param>
/// <param name="IntegerDigits">The most digits written before the point.</param>
/// <param name="FractionDigits">The most digits written after it.</param>
internal sealed record NumberShape(CharDfa Values, bool IsCanonical, int IntegerDigits, int FractionDigits)
{
    /// <summary>Any number; the only set that is also written with exponents.</summary>
    public static NumberShape Any { get; } = new(NumberLanguages.Decimals, false, NumberLanguages.MaxDigits, NumberLanguages.MaxDigits);

    /// <summary>Any integer.</summary>
    public static NumberShape Integer { get; } = new(NumberLanguages.Integers, true, NumberLanguages.MaxDigits, NumberLanguages.MaxDigits);

    private static readonly CharDfa AnyIntegerWritten = NumberLanguages.Written(
        NumberLanguages.Integers, NumberLanguages.MaxDigits, NumberLanguages.MaxDigits, isCanonical: true);

    /// <summary>A language of decimals, with room for the digits of these numbers.</summary>
    public static NumberShape Of(CharDfa values, bool isCanonical, params IEnumerable<DecimalText> numbers) => new(
        values,
        isCanonical,
        numbers.Select(n => n.IntegerDigits.Length + 1).Append(NumberLanguages.MaxDigits).Max(),
        numbers.Select(n => n.FractionDigits.Length + 1).Append(NumberLanguages.MaxDigits).Max());

    /// <summary>What is in both.</summary>
    public NumberShape Intersect(NumberShape other) =>
        ReferenceEquals(this, Any) || ReferenceEquals(this, other) ? other
        : ReferenceEquals(other, Any) ? this
        : With(CharDfas.Intersect(Values, other.Values), IsCanonical || other.IsCanonical, other);

    /// <summary>What is in this and not in the other.</summary>
    public NumberShape Except(NumberShape other) => With(CharDfas.Difference(Values, other.Values), IsCanonical, other);

    /// <summary>What a model may write; may be empty.</summary>
    public CharDfa Written() =>
        ReferenceEquals(this, Any) ? NumberLanguages.AnyNumber
        : ReferenceEquals(this, Integer) ? AnyIntegerWritten
        : NumberLanguages.Written(Values, IntegerDigits, FractionDigits, IsCanonical);

    private NumberShape With(CharDfa values, bool isCanonical, NumberShape other) => new(
        values, isCanonical, Math.Max(IntegerDigits, other.IntegerDigits), Math.Max(FractionDigits, other.FractionDigits));
}
