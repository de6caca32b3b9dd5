using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints.Schema;

/// <summary>A set of numbers.</summary>
/// <param name="Values">All decimal spellings of its values, so that sets of numbers can be intersected and subtracted.</param>
/// <param name="IsCanonical">Whether only canonical spellings are written: integers without a point, listed values as they are.</param>
/// <param name="IntegerDigits">The digits before the point that its bounds and values need.</param>
/// <param name="FractionDigits">Those after it.</param>
internal sealed record NumberShape(CharDfa Values, bool IsCanonical, int IntegerDigits, int FractionDigits)
{
    /// <summary>Any number; the only set that is also written with exponents.</summary>
    public static NumberShape Any { get; } = new(NumberLanguages.Decimals, false, 0, 0);

    /// <summary>Any integer.</summary>
    public static NumberShape Integer { get; } = new(NumberLanguages.Integers, true, 0, 0);

    /// <summary>The digits of the longest integer of 64 bits.</summary>
    private const int LongDigits = 19;

    private static readonly CharDfa Longs = NumberLanguages.InRange(
        new NumberBound(DecimalText.Parse("-9223372036854775808"), false), new NumberBound(DecimalText.Parse("9223372036854775807"), false));

    private static readonly CharDfa AnyIntegerWritten = Cut(NumberLanguages.Integers, 0, 0, isCanonical: true);

    /// <summary>A language of decimals, with room for the digits of these numbers.</summary>
    public static NumberShape Of(CharDfa values, bool isCanonical, params IEnumerable<DecimalText> numbers) => new(
        values,
        isCanonical,
        numbers.Select(n => n.IntegerDigits.Length + 1).Append(0).Max(),
        numbers.Select(n => n.FractionDigits.Length + 1).Append(0).Max());

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
        : Cut(Values, IntegerDigits, FractionDigits, IsCanonical);

    /// <summary>Integers stay within 64 bits, which is what readers have room for, unless a bound or a listed value is beyond.</summary>
    private static CharDfa Cut(CharDfa values, int integerDigits, int fractionDigits, bool isCanonical) => NumberLanguages.Written(
        isCanonical && integerDigits <= LongDigits ? CharDfas.Intersect(values, Longs) : values,
        Math.Max(integerDigits, NumberLanguages.MaxDigits),
        Math.Max(fractionDigits, NumberLanguages.MaxDigits),
        isCanonical);

    private NumberShape With(CharDfa values, bool isCanonical, NumberShape other) => new(
        values, isCanonical, Math.Max(IntegerDigits, other.IntegerDigits), Math.Max(FractionDigits, other.FractionDigits));
}
