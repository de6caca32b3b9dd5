using System.Globalization;
using System.Numerics;
using System.Text;
using static LocalLlm.Chat.Jinja.BuiltinArguments;

namespace LocalLlm.Chat.Jinja;

/// <summary>The functions that every chat template can call.</summary>
internal static class JinjaGlobals
{
    public static IReadOnlyDictionary<string, object?> All { get; } = new Dictionary<string, object?>
    {
        ["range"] = new BuiltinFunction("range", Range),
        ["dict"] = new BuiltinFunction("dict", Dict),
        ["namespace"] = new BuiltinFunction("namespace", Namespace),
        ["cycler"] = new BuiltinFunction("cycler", Cycler),
        ["joiner"] = new BuiltinFunction("joiner", Joiner),
        ["lipsum"] = new BuiltinFunction("lipsum", (c, _) => throw c.Error("lipsum() is not supported: a prompt must not depend on chance")),
        ["raise_exception"] = new BuiltinFunction("raise_exception", (c, a) => throw c.Error(PythonText.Str(c, a.Bind(c, "raise_exception", "message")[0]).Value)),
        ["strftime_now"] = new BuiltinFunction("strftime_now", (c, a) =>
        {
            var format = Text(c, a.Bind(c, "strftime_now", "format")[0], "format");
            var text = Strftime(c.Time.GetLocalNow(), format.Value);
            c.ChargeString(text.Length);
            return JinjaText.Uniform(text, format.HasInput);
        }),
    };

    private static JinjaRange Range(RenderContext context, CallArguments arguments)
    {
        var bound = arguments.Bind(context, "range", "start", "stop?", "step?");
        long Bound(object? value) => value switch
        {
            long i => i,
            bool b => b ? 1 : 0,
            Undefined undefined => throw context.Error(undefined.Message),
            _ => throw context.Error($"range() needs integers, not {PythonOperators.TypeName(value)}"),
        };
        var (start, stop) = IsMissing(bound[1]) ? (0, Bound(bound[0])) : (Bound(bound[0]), Bound(bound[1]));
        var step = IsMissing(bound[2]) ? 1 : Bound(bound[2]);
        if (step == 0)
            throw context.Error("range(): the step is 0");
        var distance = step > 0 ? (BigInteger)stop - start : (BigInteger)start - stop;
        var count = distance.Sign <= 0 ? 0 : (distance - 1) / BigInteger.Abs(step) + 1;
        return count <= context.Limits.RangeLength
            ? new JinjaRange(start, stop, step, (int)count)
            : throw context.Error($"range() of {count} numbers; at most {context.Limits.RangeLength} are allowed ({nameof(JinjaLimits)}.{nameof(JinjaLimits.RangeLength)})");
    }

    private static JinjaDict Dict(RenderContext context, CallArguments arguments)
    {
        var dict = new JinjaDict();
        CollectionMethods.Fill(context, dict, arguments, "dict");
        return dict;
    }

    private static JinjaNamespace Namespace(RenderContext context, CallArguments arguments)
    {
        var dict = Dict(context, arguments);
        var ns = new JinjaNamespace();
        foreach (var (key, value) in dict.Pairs)
            if (key is JinjaText name)
                ns.Set(name.Value, value);
        return ns;
    }

    private static JinjaCycler Cycler(RenderContext context, CallArguments arguments) => arguments.Positional.Count > 0
        ? new JinjaCycler(arguments.Positional)
        : throw context.Error("cycler() needs values");

    private static BuiltinFunction Joiner(RenderContext context, CallArguments arguments)
    {
        var separator = PythonText.Str(context, Or(arguments.Bind(context, "joiner", "sep?")[0], JinjaText.Template(", ")));
        var used = false;
        return new BuiltinFunction("joiner", (_, _) =>
        {
            if (used)
                return separator;
            used = true;
            return JinjaText.Empty;
        });
    }

    /// <summary>C's strftime in the C locale, with the GNU flags '-', '0', '_' and '^' that change padding and case.</summary>
    private static string Strftime(DateTimeOffset time, string format)
    {
        var result = new StringBuilder();
        var invariant = CultureInfo.InvariantCulture;
        for (var i = 0; i < format.Length; i++)
        {
            if (format[i] != '%' || i + 1 == format.Length)
            {
                result.Append(format[i]);
                continue;
            }
            var flag = format[i + 1] is '-' or '_' or '0' or '^' or '#' && i + 2 < format.Length ? format[++i] : '\0';
            var directive = format[++i];
            string Number(int value, int width, char pad = '0') =>
                flag == '-' ? value.ToString(invariant) : value.ToString(invariant).PadLeft(width, flag switch { '_' => ' ', '0' => '0', _ => pad });
            var hour12 = time.Hour % 12 == 0 ? 12 : time.Hour % 12;
            var weekday = (int)time.DayOfWeek;
            var text = directive switch
            {
                'Y' => Number(time.Year, 4),
                'y' => Number(time.Year % 100, 2),
                'C' => Number(time.Year / 100, 2),
                'm' => Number(time.Month, 2),
                'd' => Number(time.Day, 2),
                'e' => Number(time.Day, 2, ' '),
                'H' => Number(time.Hour, 2),
                'k' => Number(time.Hour, 2, ' '),
                'I' => Number(hour12, 2),
                'l' => Number(hour12, 2, ' '),
                'M' => Number(time.Minute, 2),
                'S' => Number(time.Second, 2),
                'f' => time.ToString("ffffff", invariant),
                'j' => Number(time.DayOfYear, 3),
                'B' => time.ToString("MMMM", invariant),
                'b' or 'h' => time.ToString("MMM", invariant),
                'A' => time.ToString("dddd", invariant),
                'a' => time.ToString("ddd", invariant),
                'p' => time.Hour < 12 ? "AM" : "PM",
                'P' => time.Hour < 12 ? "am" : "pm",
                'u' => Number(weekday == 0 ? 7 : weekday, 1),
                'w' => Number(weekday, 1),
                'U' => Number((time.DayOfYear + 6 - weekday) / 7, 2),
                'W' => Number((time.DayOfYear + 6 - (weekday + 6) % 7) / 7, 2),
                'V' => Number(ISOWeek.GetWeekOfYear(time.DateTime), 2),
                'G' => Number(ISOWeek.GetYear(time.DateTime), 4),
                'g' => Number(ISOWeek.GetYear(time.DateTime) % 100, 2),
                'D' or 'x' => time.ToString("MM'/'dd'/'yy", invariant),
                'F' => time.ToString("yyyy'-'MM'-'dd", invariant),
                'T' or 'X' => time.ToString("HH':'mm':'ss", invariant),
                'R' => time.ToString("HH':'mm", invariant),
                'r' => $"{hour12:00}:{time.Minute:00}:{time.Second:00} {(time.Hour < 12 ? "AM" : "PM")}",
                'c' => string.Create(invariant, $"{time:ddd MMM} {time.Day,2} {time:HH':'mm':'ss yyyy}"),
                's' => time.ToUnixTimeSeconds().ToString(invariant),
                // Python's datetime.now() has no zone: both are empty.
                'z' or 'Z' => "",
                'n' => "\n",
                't' => "\t",
                '%' => "%",
                _ => flag == '\0' ? $"%{directive}" : $"%{flag}{directive}",
            };
            result.Append(flag == '^' ? text.ToUpperInvariant() : text);
        }
        return result.ToString();
    }
}
