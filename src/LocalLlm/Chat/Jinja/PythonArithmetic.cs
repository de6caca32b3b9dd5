using System.Numerics;

namespace LocalLlm.Chat.Jinja;

/// <summary>Arithmetic as Python defines it: exact integers, floor division, sequences that add and repeat.</summary>
internal static partial class PythonOperators
{
    public static object? Add(RenderContext context, object? left, object? right)
    {
        switch (left, right)
        {
            case (JinjaText a, JinjaText b):
                return Concatenate(context, a, b);
            case (long a, long b) when !OverflowsOnAdd(a, b):
                return a + b;
            case (JinjaList a, JinjaList b):
                context.ChargeList(a.Items.Count + b.Items.Count);
                return new JinjaList([.. a.Items, .. b.Items]);
            case (JinjaTuple a, JinjaTuple b):
                context.ChargeList(a.Items.Length + b.Items.Length);
                return new JinjaTuple([.. a.Items, .. b.Items]);
        }
        return Numeric(context, "+", left, right, BigInteger.Add, (a, b) => a + b);
    }

    public static object? Subtract(RenderContext context, object? left, object? right) =>
        Numeric(context, "-", left, right, BigInteger.Subtract, (a, b) => a - b);

    public static object? Multiply(RenderContext context, object? left, object? right)
    {
        if (IsInteger(left) && right is JinjaText or JinjaList or JinjaTuple)
            (left, right) = (right, left);
        if (IsInteger(right) && left is JinjaText or JinjaList or JinjaTuple)
        {
            var count = BigInteger.Max(0, ToBigInteger(right));
            return left switch
            {
                JinjaText text => RepeatText(context, text, count),
                JinjaList list => new JinjaList([.. Repeat(context, list.Items, count)]),
                _ => new JinjaTuple([.. Repeat(context, ((JinjaTuple)left).Items, count)]),
            };
        }
        return Numeric(context, "*", left, right, BigInteger.Multiply, (a, b) => a * b);
    }

    public static object? Divide(RenderContext context, object? left, object? right)
    {
        CheckNumbers(context, "/", left, right);
        var divisor = ToDouble(right);
        return divisor == 0 ? throw context.Error("Division by zero") : ToDouble(left) / divisor;
    }

    public static object? FloorDivide(RenderContext context, object? left, object? right) =>
        Numeric(context, "//", left, right, (a, b) =>
        {
            var quotient = BigInteger.DivRem(a, b, out var rest);
            return !rest.IsZero && (rest.Sign < 0) != (b.Sign < 0) ? quotient - 1 : quotient;
        }, (a, b) => Math.Floor(a / b));

    public static object? Modulo(RenderContext context, object? left, object? right)
    {
        if (left is JinjaText format)
            return PythonFormat.Percent(context, format, right);
        return Numeric(context, "%", left, right, (a, b) =>
        {
            var rest = BigInteger.Remainder(a, b);
            return !rest.IsZero && (rest.Sign < 0) != (b.Sign < 0) ? rest + b : rest;
        }, (a, b) =>
        {
            var rest = a % b;
            return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
        });
    }

    public static object? Power(RenderContext context, object? left, object? right)
    {
        CheckNumbers(context, "**", left, right);
        if (IsInteger(left) && IsInteger(right) && ToBigInteger(right).Sign >= 0)
        {
            var (value, exponent) = (ToBigInteger(left), ToBigInteger(right));
            if (exponent.IsZero || value.IsOne)
                return 1L;
            if (value.IsZero)
                return 0L;
            if (value == BigInteger.MinusOne)
                return exponent.IsEven ? 1L : -1L;
            if (exponent > context.Limits.IntegerBits || exponent * (long)value.GetBitLength() > context.Limits.IntegerBits * 2L)
                throw TooLarge(context);
            return Checked(context, BigInteger.Pow(value, (int)exponent));
        }
        double a = ToDouble(left), b = ToDouble(right);
        if (a == 0 && b < 0)
            throw context.Error("Zero cannot be raised to a negative power");
        var power = Math.Pow(a, b);
        return double.IsNaN(power) && !double.IsNaN(a) && !double.IsNaN(b)
            ? throw context.Error("A negative number to a fractional power is not a real number")
            : power;
    }

    public static object? Negate(RenderContext context, object? value) => value switch
    {
        double d => -d,
        Undefined undefined => throw context.Error(undefined.Message),
        _ when IsInteger(value) => Integer(-ToBigInteger(value)),
        _ => throw context.Error($"{TypeName(value)} has no negative"),
    };

    public static object? Plus(RenderContext context, object? value) => value switch
    {
        double => value,
        Undefined undefined => throw context.Error(undefined.Message),
        _ when IsInteger(value) => Integer(ToBigInteger(value)),
        _ => throw context.Error($"{TypeName(value)} is not a number"),
    };

    private static JinjaText Concatenate(RenderContext context, JinjaText left, JinjaText right)
    {
        if (left.IsMarkup != right.IsMarkup)
        {
            // Markup is contagious, and what joins it is escaped.
            left = PythonText.EscapeHtml(context, left);
            right = PythonText.EscapeHtml(context, right);
        }
        if (right.Length == 0)
            return left;
        if (left.Length == 0)
            return right;
        var text = new JinjaTextBuilder(context).Append(left).Append(right).ToText();
        return left.IsMarkup ? text.AsMarkup() : text;
    }

    private static JinjaText RepeatText(RenderContext context, JinjaText text, BigInteger count)
    {
        if (count * text.Length > context.Limits.StringLength)
            throw context.Error($"A string of {text.Length} characters times {count} is longer than {context.Limits.StringLength} "
                + $"({nameof(JinjaLimits)}.{nameof(JinjaLimits.StringLength)})");
        if (text.Length == 0)
            return text;
        var builder = new JinjaTextBuilder(context);
        for (var i = (int)count; i > 0; i--)
            builder.Append(text);
        return text.IsMarkup ? builder.ToText().AsMarkup() : builder.ToText();
    }

    private static IEnumerable<object?> Repeat(RenderContext context, IReadOnlyList<object?> items, BigInteger count)
    {
        if (items.Count == 0)
            return [];
        context.ChargeList((long)BigInteger.Min(count * items.Count, long.MaxValue));
        return Enumerable.Repeat(items, (int)count).SelectMany(i => i);
    }

    private static object? Numeric(
        RenderContext context, string symbol, object? left, object? right,
        Func<BigInteger, BigInteger, BigInteger> integers, Func<double, double, double> floats)
    {
        CheckNumbers(context, symbol, left, right);
        if (symbol is "//" or "%" && ToDouble(right) == 0)
            throw context.Error("Division by zero");
        return IsInteger(left) && IsInteger(right)
            ? Checked(context, integers(ToBigInteger(left), ToBigInteger(right)))
            : floats(ToDouble(left), ToDouble(right));
    }

    private static void CheckNumbers(RenderContext context, string symbol, object? left, object? right)
    {
        if (IsNumber(left) && IsNumber(right))
            return;
        if ((left as Undefined ?? right as Undefined) is { } undefined)
            throw context.Error(undefined.Message);
        throw context.Error(symbol == "+" && (left is JinjaText || right is JinjaText)
            ? $"'+' cannot join {TypeName(left)} and {TypeName(right)}; '~' converts both to text"
            : $"'{symbol}' is not supported between {TypeName(left)} and {TypeName(right)}");
    }

    private static object Checked(RenderContext context, BigInteger value) =>
        value.GetBitLength() <= context.Limits.IntegerBits ? Integer(value) : throw TooLarge(context);

    private static ChatTemplateException TooLarge(RenderContext context) =>
        context.Error($"An integer has more than {context.Limits.IntegerBits} bits ({nameof(JinjaLimits)}.{nameof(JinjaLimits.IntegerBits)})");

    private static bool OverflowsOnAdd(long a, long b) => ((a ^ (a + b)) & (b ^ (a + b))) < 0;
}
