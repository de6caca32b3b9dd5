using System.Collections.Frozen;
using System.Globalization;
using System.Numerics;
using static LocalLlm.Chat.Jinja.BuiltinArguments;

namespace LocalLlm.Chat.Jinja;

internal delegate object? FilterBody(RenderContext context, object? value, CallArguments arguments);

/// <summary>The filters of Jinja2, with <c>tojson</c> as Hugging Face defines it.</summary>
internal static class JinjaFilters
{
    private static readonly FrozenDictionary<string, FilterBody> All = TextFilters.All
        .Concat(SequenceFilters.All)
        .Concat(new Dictionary<string, FilterBody>
        {
            ["default"] = Default,
            ["d"] = Default,
            ["string"] = (c, v, a) => PythonText.Str(c, None(c, "string", v, a)),
            ["int"] = ToInt,
            ["float"] = ToFloat,
            ["abs"] = Abs,
            ["round"] = Round,
            ["tojson"] = ToJson,
            ["attr"] = (c, v, a) => Access.Attribute(c, v, Text(c, a.Bind(c, "attr", "name")[0], "name").Value),
            ["pprint"] = (c, v, a) => PythonText.Repr(c, None(c, "pprint", v, a)),
            ["random"] = (c, _, _) => throw c.Error("The filter 'random' is not supported: a prompt must not depend on chance"),
        })
        .ToFrozenDictionary(StringComparer.Ordinal);

    public static bool Exists(string name) => All.ContainsKey(name);

    public static object? Apply(RenderContext context, string name, object? value, CallArguments arguments) => All.TryGetValue(name, out var body)
        ? body(context, value, arguments)
        : throw context.Error($"There is no filter '{name}'");

    /// <summary>The value of a filter that takes no arguments.</summary>
    public static object? None(RenderContext context, string name, object? value, CallArguments arguments)
    {
        arguments.Bind(context, name);
        return value;
    }

    private static object? Default(RenderContext context, object? value, CallArguments arguments)
    {
        var bound = arguments.Bind(context, "default", "default_value?", "boolean?");
        return value is Undefined || (Bool(bound[1], false) && !PythonOperators.IsTrue(value)) ? Or(bound[0], JinjaText.Empty) : value;
    }

    private static object? ToInt(RenderContext context, object? value, CallArguments arguments)
    {
        var bound = arguments.Bind(context, "int", "default?", "base?");
        var fallback = Or(bound[0], 0L);
        switch (value)
        {
            case bool or long or BigInteger:
                return PythonOperators.Integer(PythonOperators.ToBigInteger(value));
            case double d:
                return double.IsFinite(d) ? PythonOperators.Integer(new BigInteger(d)) : fallback;
            case Undefined undefined:
                throw context.Error(undefined.Message);
            case JinjaText text:
                return ParseInteger(context, text.Value, Int(context, bound[1], 10, "base"))
                    ?? (ParseFloat(text.Value) is { } number && double.IsFinite(number) ? PythonOperators.Integer(new BigInteger(number)) : fallback);
            default:
                return fallback;
        }
    }

    private static object? ParseInteger(RenderContext context, string source, int radix)
    {
        var text = source.Trim();
        if (text.Length > 1000)
            return null;
        var negative = text.StartsWith('-');
        if (negative || text.StartsWith('+'))
            text = text[1..];
        if (radix is not (0 or >= 2 and <= 36))
            throw context.Error($"int: base must be 0 or 2 to 36, not {radix}");
        var prefix = text.Length > 1 && text[0] == '0' ? char.ToLowerInvariant(text[1]) switch { 'x' => 16, 'o' => 8, 'b' => 2, _ => 0 } : 0;
        if (prefix != 0 && (radix == 0 || radix == prefix))
            (text, radix) = (text[2..], prefix);
        else if (radix == 0)
            radix = 10;
        var value = BigInteger.Zero;
        var lastWasDigit = false;
        foreach (var c in text)
        {
            if (c == '_' && lastWasDigit)
            {
                lastWasDigit = false;
                continue;
            }
            var digit = char.IsAsciiDigit(c) ? c - '0' : char.IsAsciiLetter(c) ? char.ToLowerInvariant(c) - 'a' + 10 : int.MaxValue;
            if (digit >= radix)
                return null;
            value = value * radix + digit;
            lastWasDigit = true;
        }
        return lastWasDigit ? PythonOperators.Integer(negative ? -value : value) : null;
    }

    private static double? ParseFloat(string source)
    {
        var text = source.Trim();
        switch (text.ToUpperInvariant().TrimStart('+', '-'))
        {
            case "INF" or "INFINITY":
                return text.StartsWith('-') ? double.NegativeInfinity : double.PositiveInfinity;
            case "NAN":
                return double.NaN;
        }
        return double.TryParse(text, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent, CultureInfo.InvariantCulture, out var value)
            ? value
            : null;
    }

    private static object? ToFloat(RenderContext context, object? value, CallArguments arguments)
    {
        var fallback = Or(arguments.Bind(context, "float", "default?")[0], 0.0);
        return value switch
        {
            Undefined undefined => throw context.Error(undefined.Message),
            JinjaText text => ParseFloat(text.Value) ?? fallback,
            _ when PythonOperators.IsNumber(value) => PythonOperators.ToDouble(value),
            _ => fallback,
        };
    }

    private static object? Abs(RenderContext context, object? value, CallArguments arguments) => None(context, "abs", value, arguments) switch
    {
        double d => Math.Abs(d),
        Undefined undefined => throw context.Error(undefined.Message),
        var v when PythonOperators.IsInteger(v) => PythonOperators.Integer(BigInteger.Abs(PythonOperators.ToBigInteger(v))),
        _ => throw context.Error($"abs needs a number, not {PythonOperators.TypeName(value)}"),
    };

    private static object? Round(RenderContext context, object? value, CallArguments arguments)
    {
        var bound = arguments.Bind(context, "round", "precision?", "method?");
        var precision = Int(context, bound[0], 0, "precision");
        var method = IsMissing(bound[1]) ? "common" : Text(context, bound[1], "method").Value;
        if (!PythonOperators.IsNumber(value))
            throw context.Error(value is Undefined undefined ? undefined.Message : $"round needs a number, not {PythonOperators.TypeName(value)}");
        var number = PythonOperators.ToDouble(value);
        var scale = Math.Pow(10, precision);
        switch (method)
        {
            case "ceil":
                return Math.Ceiling(number * scale) / scale;
            case "floor":
                return Math.Floor(number * scale) / scale;
            case "common" when PythonOperators.IsInteger(value):
                return precision >= 0 ? PythonOperators.Integer(PythonOperators.ToBigInteger(value)) : PythonOperators.Integer(new BigInteger(Math.Round(number * scale, MidpointRounding.ToEven) / scale));
            case "common" when precision > 300 || !double.IsFinite(number):
                return number;
            case "common":
                // Python rounds the exact decimal value of the float, half to even.
                return precision > 0
                    ? double.Parse(number.ToString("F" + precision, CultureInfo.InvariantCulture), CultureInfo.InvariantCulture)
                    : Math.Round(number * scale, MidpointRounding.ToEven) / scale;
            default:
                throw context.Error("round: the method must be 'common', 'ceil' or 'floor'");
        }
    }

    private static JinjaText ToJson(RenderContext context, object? value, CallArguments arguments)
    {
        var bound = arguments.Bind(context, "tojson", "ensure_ascii?", "indent?", "separators?", "sort_keys?");
        var indent = Or(bound[1], null) switch
        {
            null => null,
            JinjaText text => text,
            var width => JinjaText.Template(new string(' ', Math.Max(0, Width(context, width, 0, "indent")))),
        };
        var item = JinjaText.Template(indent is null ? ", " : ",");
        var key = JinjaText.Template(": ");
        if (Or(bound[2], null) is { } separators)
        {
            var pair = PythonOperators.ToList(context, separators);
            if (pair.Count != 2)
                throw context.Error("tojson: separators needs two strings");
            (item, key) = (Text(context, pair[0], "separators"), Text(context, pair[1], "separators"));
        }
        return PythonJson.Dump(context, value, new(Bool(bound[0], false), indent, item, key, Bool(bound[3], false)));
    }
}
