using System.Globalization;
using CsCheck;
using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Tests.Sampling.Constraints.Automata;

/// <summary>Languages of numbers against decimal arithmetic.</summary>
public class NumberLanguagesTests
{
    private static readonly Gen<decimal> Decimals =
        Gen.Select(Gen.Int[-3000, 3000], Gen.Int[0, 3], (digits, scale) => new decimal(Math.Abs(digits), 0, 0, digits < 0, (byte)scale));

    [Fact]
    public void InRange_RandomBounds_IsTheComparison() =>
        Gen.Select(Decimals, Decimals, Gen.Bool, Gen.Bool, Decimals.Array[40]).Sample((min, max, minExclusive, maxExclusive, values) =>
        {
            var range = NumberLanguages.InRange(new NumberBound(Parse(min), minExclusive), new NumberBound(Parse(max), maxExclusive));
            foreach (var value in values.Append(min).Append(max))
            {
                var expected = (minExclusive ? value > min : value >= min) && (maxExclusive ? value < max : value <= max);
                CharDfas.Matches(range, Text(value)).ShouldBe(expected, $"{value} in {min}..{max}");
                CharDfas.Matches(range, Text(value) + (Text(value).Contains('.') ? "0" : ".0")).ShouldBe(expected, $"{value}.0 in {min}..{max}");
            }
        }, iter: 300);

    [Fact]
    public void MultiplesOf_RandomDivisors_IsTheRemainder() =>
        Gen.Select(Gen.Int[1, 999], Gen.Int[0, 2], Decimals.Array[40]).Sample((digits, scale, values) =>
        {
            var divisor = new decimal(digits, 0, 0, false, (byte)scale);
            var multiples = NumberLanguages.MultiplesOf(Parse(divisor));
            foreach (var value in values.Concat(values.Select(v => Math.Round(v) * divisor)))
                CharDfas.Matches(multiples, Text(value)).ShouldBe(value % divisor == 0, $"{value} of {divisor}");
        }, iter: 200);

    [Fact]
    public void InRange_BeyondSixtyFourBits_IsExact()
    {
        var (min, max) = (new NumberBound(DecimalText.Parse("18446744073709551616"), false), new NumberBound(DecimalText.Parse("1e30"), true));
        var range = NumberLanguages.InRange(min, max);
        CharDfas.Matches(range, "18446744073709551616").ShouldBeTrue();
        CharDfas.Matches(range, "18446744073709551615").ShouldBeFalse();
        CharDfas.Matches(range, "999999999999999999999999999999").ShouldBeTrue();
        CharDfas.Matches(range, "1000000000000000000000000000000").ShouldBeFalse();
    }

    [Theory]
    [InlineData("-0", 0, 1, true)]
    [InlineData("-0", 1, 2, false)]
    [InlineData("00", 0, 1, false)]
    [InlineData("01", 0, 9, false)]
    [InlineData("1.", 0, 9, false)]
    [InlineData(".5", 0, 9, false)]
    public void InRange_Spellings_AreThoseOfJson(string text, int min, int max, bool expected) =>
        CharDfas.Matches(NumberLanguages.InRange(new NumberBound(Parse(min), false), new NumberBound(Parse(max), false)), text)
            .ShouldBe(expected);

    [Theory]
    [InlineData("1e400", false)]
    [InlineData("-12.5e-10", true)]
    [InlineData("1e99", true)]
    [InlineData("1e100", false)]
    public void AnyNumber_Exponents_AreThoseOfDoubles(string text, bool expected) =>
        CharDfas.Matches(NumberLanguages.AnyNumber, text).ShouldBe(expected);

    private static string Text(decimal value) => value.ToString(CultureInfo.InvariantCulture);

    private static DecimalText Parse(decimal value) => DecimalText.Parse(Text(value));
}
