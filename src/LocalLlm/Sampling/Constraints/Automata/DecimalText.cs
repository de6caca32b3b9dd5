using System.Globalization;
using System.Numerics;

namespace LocalLlm.Sampling.Constraints.Automata;

/// <summary>A decimal number, exactly: mantissa × 10^-scale, without trailing zeros in its fraction.</summary>
/// <param name="Mantissa">All digits, with the sign.</param>
/// <param name="Scale">How many of them are the fraction's.</param>
internal readonly record struct DecimalText(BigInteger Mantissa, int Scale)
{
    private const int MaxExponent = 400; // beyond any double

    /// <summary>Reads a JSON number.</summary>
    /// <exception cref="ConstraintException">Its exponent is beyond any double's.</exception>
    public static DecimalText Parse(string json)
    {
        var exponentAt = json.IndexOfAny(['e', 'E']);
        var digits = exponentAt < 0 ? json : json[..exponentAt];
        var exponent = exponentAt < 0 ? BigInteger.Zero : Integer(json[(exponentAt + 1)..]);
        if (BigInteger.Abs(exponent) > MaxExponent)
            throw new ConstraintException($"The number {json}", [$"its exponent is beyond ±{MaxExponent}"]);
        var point = digits.IndexOf('.');
        var scale = (point < 0 ? 0 : digits.Length - point - 1) - (int)exponent;
        var mantissa = Integer(digits.Replace(".", "", StringComparison.Ordinal));
        if (scale < 0)
            (mantissa, scale) = (mantissa * BigInteger.Pow(10, -scale), 0);
        while (scale > 0 && (mantissa % 10).IsZero)
            (mantissa, scale) = (mantissa / 10, scale - 1);
        return new DecimalText(mantissa, scale);
    }

    /// <summary>The digits before the point, without leading zeros: nothing for a number below one.</summary>
    public string IntegerDigits => Split().Integer;

    /// <summary>The digits after the point, without trailing zeros.</summary>
    public string FractionDigits => Split().Fraction;

    /// <summary>The number without its sign.</summary>
    public DecimalText Abs() => this with { Mantissa = BigInteger.Abs(Mantissa) };

    /// <summary>Below zero −1, above it 1.</summary>
    public int Sign => Mantissa.Sign;

    private static BigInteger Integer(string digits) => BigInteger.Parse(digits, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);

    private (string Integer, string Fraction) Split()
    {
        var digits = BigInteger.Abs(Mantissa).ToString(CultureInfo.InvariantCulture).PadLeft(Scale + 1, '0');
        return (digits[..^Scale].TrimStart('0'), digits[^Scale..]);
    }
}
