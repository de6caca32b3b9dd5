using System.Globalization;
using System.Numerics;

namespace LocalLlm.Chat.Jinja;

/// <summary>Python's two ways to format: <c>'%s' % x</c> and <c>'{}'.format(x)</c>.</summary>
internal static class PythonFormat
{
    /// <summary>printf-style formatting; <paramref name="values"/> is a tuple, a dict, or one value.</summary>
    public static JinjaText Percent(RenderContext context, JinjaText format, object? values)
    {
        var builder = new JinjaTextBuilder(context);
        var source = format.Value;
        var arguments = values is JinjaTuple tuple ? tuple.Items : [values];
        var next = 0;
        for (var i = 0; i < source.Length;)
        {
            var percent = source.IndexOf('%', i);
            builder.Append(format, i, (percent < 0 ? source.Length : percent) - i);
            if (percent < 0)
                break;
            i = percent + 1;
            object? named = CallArguments.Missing;
            if (i < source.Length && source[i] == '(')
            {
                var close = source.IndexOf(')', i);
                if (close < 0)
                    throw context.Error("The format has '%(' without ')'");
                if (values is not JinjaDict dict)
                    throw context.Error("A format with %(name)s needs a dict");
                var key = format.Slice(i + 1, close - i - 1);
                named = dict.TryGet(key, out var found) ? found : throw context.Error($"The format names '{key}', which the dict lacks");
                i = close + 1;
            }
            var spec = new Spec();
            for (; i < source.Length && "-+ 0#".Contains(source[i], StringComparison.Ordinal); i++)
                spec = source[i] switch
                {
                    '-' => spec with { Align = '<' },
                    '+' => spec with { Sign = '+' },
                    ' ' => spec with { Sign = spec.Sign == '+' ? '+' : ' ' },
                    '0' => spec with { ZeroPad = true },
                    _ => spec with { Alternate = true },
                };
            if (i < source.Length && source[i] == '*')
            {
                spec = spec with { Width = SmallInteger(context, Next()) };
                i++;
            }
            else
            {
                spec = spec with { Width = Digits(context, source, ref i) ?? 0 };
            }
            if (i < source.Length && source[i] == '.')
            {
                i++;
                spec = spec with { Precision = Digits(context, source, ref i) ?? 0 };
            }
            if (i >= source.Length)
                throw context.Error("The format ends within a '%' conversion");
            var type = source[i++];
            if (type == '%')
            {
                builder.Append(format, i - 1, 1);
                continue;
            }
            var value = ReferenceEquals(named, CallArguments.Missing) ? Next() : named;
            if (spec.Align == '\0')
                spec = spec with { Align = '>' };
            switch (type)
            {
                case 's':
                    WriteText(context, builder, PythonText.Str(context, value), spec with { ZeroPad = false });
                    break;
                case 'r' or 'a':
                    WriteText(context, builder, PythonText.Repr(context, value), spec with { ZeroPad = false });
                    break;
                case 'c' when value is JinjaText { CodePointCount: 1 } character:
                    WriteText(context, builder, character, spec);
                    break;
                case 'd' or 'i' or 'u' when value is double d && double.IsFinite(d):
                    WriteNumber(context, builder, PythonOperators.Integer(new BigInteger(d)), spec with { Type = 'd' });
                    break;
                case 'd' or 'i' or 'u' or 'x' or 'X' or 'o' when PythonOperators.IsInteger(value):
                    WriteNumber(context, builder, value, spec with { Type = type is 'i' or 'u' ? 'd' : type });
                    break;
                case 'e' or 'E' or 'f' or 'F' or 'g' or 'G' when PythonOperators.IsNumber(value):
                    WriteNumber(context, builder, PythonOperators.ToDouble(value), spec with { Type = type });
                    break;
                default:
                    throw context.Error($"'%{type}' cannot format {PythonOperators.TypeName(value)}");
            }
        }
        if (next < arguments.Length && values is not (JinjaDict or JinjaList or JinjaRange or Undefined))
            throw context.Error("The format uses fewer values than were given");
        return format.IsMarkup ? builder.ToText().AsMarkup() : builder.ToText();

        object? Next() => next < arguments.Length ? arguments[next++] : throw context.Error("The format needs more values than were given");
    }

    /// <summary>str.format.</summary>
    public static JinjaText Braces(RenderContext context, JinjaText format, CallArguments arguments)
    {
        var builder = new JinjaTextBuilder(context);
        var automatic = 0;
        WriteBraces(context, builder, format, arguments, ref automatic, 0);
        return builder.ToText();
    }

    private static void WriteBraces(
        RenderContext context, JinjaTextBuilder to, JinjaText format, CallArguments arguments, ref int automatic, int depth)
    {
        if (depth > 2)
            throw context.Error("format(): replacement fields nest too deep");
        var source = format.Value;
        for (var i = 0; i < source.Length;)
        {
            var c = source[i];
            if (c is not ('{' or '}'))
            {
                var end = source.AsSpan(i).IndexOfAny('{', '}');
                end = end < 0 ? source.Length : i + end;
                to.Append(format, i, end - i);
                i = end;
                continue;
            }
            if (i + 1 < source.Length && source[i + 1] == c)
            {
                to.Append(format, i, 1);
                i += 2;
                continue;
            }
            if (c == '}')
                throw context.Error("format(): a single '}' in the format");
            var nesting = 1;
            var close = i + 1;
            for (; close < source.Length; close++)
            {
                nesting += source[close] switch { '{' => 1, '}' => -1, _ => 0 };
                if (nesting == 0)
                    break;
            }
            if (nesting != 0)
                throw context.Error("format(): '{' without '}' in the format");
            WriteField(context, to, format.Slice(i + 1, close - i - 1), arguments, ref automatic, depth);
            i = close + 1;
        }
    }

    private static void WriteField(
        RenderContext context, JinjaTextBuilder to, JinjaText field, CallArguments arguments, ref int automatic, int depth)
    {
        var colon = field.Value.IndexOf(':', StringComparison.Ordinal);
        var head = colon < 0 ? field.Value : field.Value[..colon];
        var bang = head.IndexOf('!', StringComparison.Ordinal);
        var conversion = bang < 0 ? "" : head[(bang + 1)..];
        var name = bang < 0 ? head : head[..bang];
        var pathAt = name.AsSpan().IndexOfAny('.', '[');
        var first = pathAt < 0 ? name : name[..pathAt];
        object? value;
        if (first.Length == 0 || int.TryParse(first, NumberStyles.None, CultureInfo.InvariantCulture, out _))
        {
            var index = first.Length == 0 ? automatic++ : int.Parse(first, CultureInfo.InvariantCulture);
            value = index < arguments.Positional.Count
                ? arguments.Positional[index]
                : throw context.Error($"format(): the format uses argument {index}, but {arguments.Positional.Count} were given");
        }
        else
        {
            var found = arguments.Named.Where(a => a.Key == first).ToList();
            value = found.Count > 0 ? found[0].Value : throw context.Error($"format(): no argument '{first}'");
        }
        for (var rest = pathAt < 0 ? "" : name[pathAt..]; rest.Length > 0;)
        {
            if (rest[0] == '.')
            {
                var end = rest.AsSpan(1).IndexOfAny('.', '[') is var e and >= 0 ? e + 1 : rest.Length;
                value = Access.Attribute(context, value, rest[1..end]);
                rest = rest[end..];
            }
            else
            {
                var end = rest.IndexOf(']', StringComparison.Ordinal);
                if (end < 0)
                    throw context.Error("format(): '[' without ']' in the format");
                var key = rest[1..end];
                value = Access.Item(context, value, long.TryParse(key, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : JinjaText.Template(key));
                rest = rest[(end + 1)..];
            }
            if (value is Undefined undefined)
                throw context.Error("format(): " + undefined.Message);
        }
        value = conversion switch
        {
            "" => value,
            "s" => PythonText.Str(context, value),
            "r" or "a" => PythonText.Repr(context, value),
            _ => throw context.Error($"format(): unknown conversion '!{conversion}'"),
        };
        var spec = "";
        if (colon >= 0)
        {
            var nested = new JinjaTextBuilder(context);
            WriteBraces(context, nested, field.Slice(colon + 1), arguments, ref automatic, depth + 1);
            spec = nested.ToText().Value;
        }
        Write(context, to, value, spec);
    }

    private static void Write(RenderContext context, JinjaTextBuilder to, object? value, string source)
    {
        var spec = Parse(context, source);
        if (PythonOperators.IsNumber(value) && !(value is bool && spec.Type == '\0'))
        {
            if (spec.Align == '\0')
                spec = spec with { Align = '>' };
            if (spec.Type is 'e' or 'E' or 'f' or 'F' or 'g' or 'G' or '%' && value is not double)
                value = PythonOperators.ToDouble(value);
            WriteNumber(context, to, value, spec);
            return;
        }
        if (spec.Type is not ('\0' or 's'))
            throw context.Error($"format(): '{spec.Type}' cannot format {PythonOperators.TypeName(value)}");
        WriteText(context, to, PythonText.Str(context, value), spec.Align == '\0' ? spec with { Align = '<' } : spec);
    }

    /// <summary>[[fill]align][sign][#][0][width][,][.precision][type].</summary>
    private static Spec Parse(RenderContext context, string source)
    {
        var spec = new Spec();
        var i = 0;
        if (source.Length >= 2 && source[1] is '<' or '>' or '^' or '=')
        {
            spec = spec with { Fill = source[0], Align = source[1] };
            i = 2;
        }
        else if (source.Length >= 1 && source[0] is '<' or '>' or '^' or '=')
        {
            spec = spec with { Align = source[0] };
            i = 1;
        }
        if (i < source.Length && source[i] is '+' or '-' or ' ')
            spec = spec with { Sign = source[i++] };
        if (i < source.Length && source[i] == '#')
            (spec, i) = (spec with { Alternate = true }, i + 1);
        if (i < source.Length && source[i] == '0')
            (spec, i) = (spec with { ZeroPad = true }, i + 1);
        spec = spec with { Width = Digits(context, source, ref i) ?? 0 };
        if (i < source.Length && source[i] is ',' or '_')
            spec = spec with { Group = source[i++] };
        if (i < source.Length && source[i] == '.')
        {
            i++;
            spec = spec with { Precision = Digits(context, source, ref i) ?? throw context.Error("format(): '.' without a precision") };
        }
        if (i < source.Length)
            spec = spec with { Type = source[i++] };
        return i == source.Length ? spec : throw context.Error($"format(): '{source}' is not a format");
    }

    private static void WriteText(RenderContext context, JinjaTextBuilder to, JinjaText text, Spec spec)
    {
        if (spec.Precision is { } most && text.CodePointCount > most)
            text = text.SliceCodePoints(0, most);
        var padding = Math.Max(0, spec.Width - text.CodePointCount);
        context.ChargeString(padding);
        var left = spec.Align switch { '>' => padding, '^' => padding / 2, _ => 0 };
        to.Append(spec.Fill, left, true).Append(text).Append(spec.Fill, padding - left, true);
    }

    private static void WriteNumber(RenderContext context, JinjaTextBuilder to, object? value, Spec spec)
    {
        if (spec.Precision > 1000)
            throw context.Error($"A precision of {spec.Precision} digits is more than 1000");
        var negative = value is double d ? d < 0 || double.IsNegative(d) : PythonOperators.ToBigInteger(value).Sign < 0;
        var digits = value is double number ? Float(context, Math.Abs(number), spec) : IntegerDigits(context, BigInteger.Abs(PythonOperators.ToBigInteger(value)), spec);
        var sign = negative ? "-" : spec.Sign is '+' or ' ' ? spec.Sign.ToString() : "";
        if (spec.Group != '\0')
            digits = Grouped(digits, spec.Group);
        var padding = Math.Max(0, spec.Width - sign.Length - digits.Length);
        context.ChargeString(padding + digits.Length);
        if (spec.ZeroPad && spec.Align is '>' or '=' && spec.Fill == ' ')
            (sign, padding) = (sign + new string('0', padding), 0);
        if (spec.Align == '=')
            (sign, padding) = (sign + new string(spec.Fill, padding), 0);
        WriteText(context, to, JinjaText.Template(sign + digits), spec with { Precision = null });
    }

    private static string IntegerDigits(RenderContext context, BigInteger value, Spec spec) => spec.Type switch
    {
        '\0' or 'd' or 'n' => value.ToString(CultureInfo.InvariantCulture),
        'x' => (spec.Alternate ? "0x" : "") + Radix(value, 16),
        'X' => (spec.Alternate ? "0X" : "") + Radix(value, 16).ToUpperInvariant(),
        'o' => (spec.Alternate ? "0o" : "") + Radix(value, 8),
        'b' => (spec.Alternate ? "0b" : "") + Radix(value, 2),
        'c' when value <= 0x10FFFF && value is var v && (v < 0xD800 || v > 0xDFFF) => char.ConvertFromUtf32((int)value),
        _ => throw context.Error($"format(): '{spec.Type}' cannot format int"),
    };

    private static string Radix(BigInteger value, int radix)
    {
        if (value.IsZero)
            return "0";
        var digits = new Stack<char>();
        for (; !value.IsZero; value /= radix)
            digits.Push("0123456789abcdef"[(int)(value % radix)]);
        return string.Concat(digits);
    }

    private static string Float(RenderContext context, double value, Spec spec)
    {
        if (!double.IsFinite(value))
            return double.IsNaN(value) ? "nan" : "inf";
        var invariant = CultureInfo.InvariantCulture;
        switch (spec.Type)
        {
            case '\0' when spec.Precision is null:
                return PythonText.Float(value);
            case 'f' or 'F':
                return value.ToString("F" + (spec.Precision ?? 6), invariant);
            case '%':
                return (value * 100).ToString("F" + (spec.Precision ?? 6), invariant) + "%";
            case 'e' or 'E':
                return Scientific(value, spec.Precision ?? 6, spec.Type);
            case '\0' or 'g' or 'G' or 'n':
                var precision = Math.Max(1, spec.Precision ?? 6);
                var scientific = Scientific(value, precision - 1, spec.Type == 'G' ? 'E' : 'e');
                var mark = scientific.AsSpan().IndexOfAny('e', 'E');
                var exponent = int.Parse(scientific.AsSpan(mark + 1), NumberStyles.AllowLeadingSign, invariant);
                // Without a type a float keeps its '.0', so that it stays a float.
                if (exponent >= -4 && exponent < precision - (spec.Type == '\0' ? 1 : 0))
                {
                    var plain = Trimmed(value.ToString("F" + (precision - 1 - exponent), invariant));
                    return spec.Type == '\0' && !plain.Contains('.', StringComparison.Ordinal) ? plain + ".0" : plain;
                }
                return Trimmed(scientific[..mark]) + scientific[mark..];
            default:
                throw context.Error($"format(): '{spec.Type}' cannot format float");
        }
    }

    private static string Trimmed(string digits) =>
        digits.Contains('.', StringComparison.Ordinal) ? digits.TrimEnd('0').TrimEnd('.') : digits;

    private static string Scientific(double value, int precision, char mark)
    {
        var text = value.ToString("E" + precision, CultureInfo.InvariantCulture);
        var at = text.IndexOf('E', StringComparison.Ordinal);
        var exponent = int.Parse(text.AsSpan(at + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
        return $"{text[..at]}{mark}{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent):00}";
    }

    private static string Grouped(string digits, char separator)
    {
        var end = digits.AsSpan().IndexOfAnyExceptInRange('0', '9');
        end = end < 0 ? digits.Length : end;
        for (var i = end - 3; i > 0; i -= 3)
            digits = digits.Insert(i, separator.ToString());
        return digits;
    }

    private static int? Digits(RenderContext context, string source, ref int i)
    {
        var start = i;
        while (i < source.Length && char.IsAsciiDigit(source[i]))
            i++;
        if (i == start)
            return null;
        return int.TryParse(source.AsSpan(start, i - start), NumberStyles.None, CultureInfo.InvariantCulture, out var value)
            && value <= context.Limits.StringLength
            ? value
            : throw context.Error($"A width or precision of more than {context.Limits.StringLength} ({nameof(JinjaLimits)}.{nameof(JinjaLimits.StringLength)})");
    }

    private static int SmallInteger(RenderContext context, object? value) =>
        value is long number && Math.Abs(number) <= context.Limits.StringLength
            ? (int)number
            : throw context.Error("'*' in a format needs a small integer");

    private readonly record struct Spec()
    {
        public char Fill { get; init; } = ' ';
        public char Align { get; init; }
        public char Sign { get; init; }
        public bool Alternate { get; init; }
        public bool ZeroPad { get; init; }
        public int Width { get; init; }
        public char Group { get; init; }
        public int? Precision { get; init; }
        public char Type { get; init; }
    }
}
