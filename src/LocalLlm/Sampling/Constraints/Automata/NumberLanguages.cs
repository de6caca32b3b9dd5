using System.Collections.Concurrent;
using System.Globalization;

namespace LocalLlm.Sampling.Constraints.Automata;

/// <summary>A bound of a range.</summary>
internal readonly record struct NumberBound(DecimalText Value, bool IsExclusive);

/// <summary>
/// Languages of JSON numbers, written without exponents: every spelling of a value is in them, so that they can be intersected and subtracted as
/// sets of values are. <see cref="AnyNumber"/> and the cuts of <see cref="Written"/> are what a model may write.
/// </summary>
internal static class NumberLanguages
{
    /// <summary>Digits before and after the point that a model may write, unless a bound needs more; more than number types keep.</summary>
    public const int MaxDigits = 32;

    /// <summary>The largest numerator of a multiple, and so of its automaton.</summary>
    public const int MaxMultiple = 1000;

    private static readonly ConcurrentDictionary<(int Integer, int Fraction, bool IsCanonical), CharDfa> Shapes = new();

    /// <summary>Every decimal number.</summary>
    public static CharDfa Decimals { get; } = RegexCompiler.Compile(@"-?(0|[1-9]\d*)(\.\d+)?", anchored: true);

    /// <summary>Every decimal number whose value is an integer.</summary>
    public static CharDfa Integers { get; } = RegexCompiler.Compile(@"-?(0|[1-9]\d*)(\.0+)?", anchored: true);

    /// <summary>What a model may write for any number: exponents of two digits at most, so that every double it spells is finite.</summary>
    public static CharDfa AnyNumber { get; } = RegexCompiler.Compile(
        string.Create(CultureInfo.InvariantCulture, $@"-?(0|[1-9]\d{{0,{MaxDigits - 1}}})(\.\d{{1,{MaxDigits}}})?([eE][+-]?\d{{1,2}})?"),
        anchored: true);

    /// <summary>The decimals of a range.</summary>
    public static CharDfa InRange(NumberBound? min, NumberBound? max)
    {
        var language = Decimals;
        if (min is { } low)
            language = CharDfas.Intersect(language, OnOneSide(low, 1));
        if (max is { } high)
            language = CharDfas.Intersect(language, OnOneSide(high, -1));
        return language;
    }

    /// <summary>The decimals of any of these values.</summary>
    public static CharDfa AnyOf(ReadOnlySpan<DecimalText> values) => values.Length switch
    {
        0 => CharDfas.None,
        1 => Equal(values[0]),
        // In halves, so that each is united a few times only.
        _ => CharDfas.Union(AnyOf(values[..(values.Length / 2)]), AnyOf(values[(values.Length / 2)..])),
    };

    /// <summary>The decimals of one value.</summary>
    private static CharDfa Equal(DecimalText value) => Signed(
        value.Sign >= 0 ? Unsigned(value.Abs(), c => c == 0) : CharDfas.None,
        value.Sign <= 0 ? Unsigned(value.Abs(), c => c == 0) : CharDfas.None);

    /// <summary>The multiples of a positive decimal.</summary>
    /// <exception cref="ConstraintException">Its digits without the point are above <see cref="MaxMultiple"/>.</exception>
    public static CharDfa MultiplesOf(DecimalText divisor)
    {
        if (divisor.Mantissa > MaxMultiple)
            throw new ConstraintException("multipleOf", [$"only divisors whose digits without the point are at most {MaxMultiple} are supported"]);
        var (modulus, scale) = ((int)divisor.Mantissa, divisor.Scale);
        var unsigned = CharDfaBuilder.Build(new MultipleState(Part.Start, 0, 0), Steps, Accepts);
        return Signed(unsigned, unsigned);

        IEnumerable<(int, int, MultipleState)> Steps(MultipleState state)
        {
            if (state.Part is Part.Zero or Part.Integer)
                yield return ('.', '.', state with { Part = Part.Point });
            if (state.Part == Part.Zero)
                yield break;
            for (var digit = 0; digit <= 9; digit++)
            {
                var rest = (state.Rest * 10 + digit) % modulus;
                if (state.Part is Part.Point or Part.Fraction)
                {
                    // A digit after those that the divisor has can only be zero.
                    if (state.Places < scale)
                        yield return ('0' + digit, '0' + digit, new MultipleState(Part.Fraction, rest, state.Places + 1));
                    else if (digit == 0)
                        yield return ('0', '0', state with { Part = Part.Fraction });
                }
                else
                {
                    var part = state.Part == Part.Start && digit == 0 ? Part.Zero : Part.Integer;
                    yield return ('0' + digit, '0' + digit, new MultipleState(part, rest, 0));
                }
            }
        }

        bool Accepts(MultipleState state)
        {
            var rest = state.Rest;
            for (var place = state.Places; place < scale; place++)
                rest = rest * 10 % modulus;
            return state.Part is Part.Zero or Part.Integer or Part.Fraction && rest == 0;
        }
    }

    /// <summary>
    /// What a model may write of a language of decimals: no more digits than the limits; canonical spellings have no zeros at the fraction's end, no
    /// point without a fraction and no minus before zero.
    /// </summary>
    public static CharDfa Written(CharDfa decimals, int integerDigits, int fractionDigits, bool isCanonical) =>
        CharDfas.Intersect(decimals, Shapes.GetOrAdd((integerDigits, fractionDigits, isCanonical), static key =>
        {
            var (more, fraction) = (key.Integer - 1, key.Fraction - 1);
            var pattern = key.IsCanonical
                ? string.Create(CultureInfo.InvariantCulture, $@"0|-?([1-9]\d{{0,{more}}}(\.\d{{0,{fraction}}}[1-9])?|0\.\d{{0,{fraction}}}[1-9])")
                : string.Create(CultureInfo.InvariantCulture, $@"-?(0|[1-9]\d{{0,{more}}})(\.\d{{1,{key.Fraction}}})?");
            return RegexCompiler.Compile(pattern, anchored: true);
        }));

    /// <summary>The decimals above a bound (side 1) or below it (side −1).</summary>
    private static CharDfa OnOneSide(NumberBound bound, int side)
    {
        var (value, sign) = (bound.Value.Abs(), bound.Value.Sign);
        var all = Unsigned(value, _ => true);
        return Signed(Half(1), Half(-1));

        // The numbers of one sign: all, none, or those whose absolute values are on the right side of the bound's.
        CharDfa Half(int half)
        {
            if (sign != 0 && sign != half)
                return half == side ? all : CharDfas.None;
            return Unsigned(value, c => c == 0 ? !bound.IsExclusive : c * half == side);
        }
    }

    private static CharDfa Signed(CharDfa positive, CharDfa negative) =>
        CharDfas.Union(positive, CharDfas.Concat(CharDfas.FromStrings(["-"]), negative));

    /// <summary>The decimals without a sign whose comparison with a value is as wanted.</summary>
    private static CharDfa Unsigned(DecimalText value, Func<int, bool> isWanted)
    {
        var (integer, fraction) = (value.IntegerDigits, value.FractionDigits);
        return CharDfaBuilder.Build(new CompareState(Part.Start, 0, 0), Steps, Accepts);

        IEnumerable<(int, int, CompareState)> Steps(CompareState state)
        {
            if (state.Part is Part.Zero or Part.Integer)
                yield return ('.', '.', new CompareState(Part.Point, 0, IntegerComparison(state)));
            if (state.Part == Part.Zero)
                yield break;
            for (var digit = '0'; digit <= '9'; digit++)
                yield return (digit, digit, Next(state, digit));
        }

        CompareState Next(CompareState state, char digit)
        {
            if (state.Part == Part.Start && digit == '0')
                return new CompareState(Part.Zero, 0, 0);
            var isFraction = state.Part is Part.Point or Part.Fraction;
            var digits = isFraction ? fraction : integer;
            var other = state.Place < digits.Length ? digits[state.Place] : '0';
            var comparison = state.Comparison != 0 || (!isFraction && state.Place >= integer.Length) ? state.Comparison : Math.Sign(digit - other);
            if (isFraction)
                return new CompareState(Part.Fraction, comparison == 0 ? Math.Min(state.Place + 1, fraction.Length) : 0, comparison);
            return new CompareState(Part.Integer, Math.Min(state.Place + 1, integer.Length + 1), comparison);
        }

        int IntegerComparison(CompareState state)
        {
            if (state.Part == Part.Zero)
                return integer.Length == 0 ? 0 : -1;
            return state.Place == integer.Length ? state.Comparison : Math.Sign(state.Place - integer.Length);
        }

        bool Accepts(CompareState state)
        {
            if (state.Part is Part.Start or Part.Point)
                return false;
            var comparison = state.Part == Part.Fraction ? state.Comparison : IntegerComparison(state);
            var place = state.Part == Part.Fraction ? state.Place : 0;
            return isWanted(comparison == 0 && place < fraction.Length ? -1 : comparison);
        }
    }

    private enum Part
    {
        Start,
        Zero,
        Integer,
        Point,
        Fraction,
    }

    private readonly record struct CompareState(Part Part, int Place, int Comparison);

    private readonly record struct MultipleState(Part Part, int Rest, int Places);
}
