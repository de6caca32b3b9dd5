using System.Globalization;
using System.Numerics;

namespace LocalLlm.Chat.Jinja;

/// <summary>Python's str() and repr(), with provenance: what is written around an input's text counts as input too.</summary>
internal static class PythonText
{
    /// <summary>Python's str(); an undefined value is the empty text.</summary>
    public static JinjaText Str(RenderContext context, object? value)
    {
        switch (value)
        {
            case JinjaText text:
                return text;
            case Undefined:
                return JinjaText.Empty;
            case null or bool or long or BigInteger or double:
                return JinjaText.Template(Scalar(value));
            case JinjaList { PrintsAsJson: true }:
                return PythonJson.Dump(context, value, PythonJson.OneLine);
            default:
                return Repr(context, value);
        }
    }

    public static JinjaText Repr(RenderContext context, object? value)
    {
        var builder = new JinjaTextBuilder(context);
        WriteRepr(context, builder, value, !ContainsInput(context, value));
        return builder.ToText();
    }

    /// <summary>True if some text in the value, at any depth, came from an input.</summary>
    public static bool ContainsInput(RenderContext context, object? value)
    {
        switch (value)
        {
            case JinjaText text:
                return text.HasInput;
            case JinjaList or JinjaTuple or JinjaDictView:
                return AnyInput(context, ((IJinjaIterable)value).Iterate());
            case JinjaDict dict:
                return AnyInput(context, dict.Keys) || AnyInput(context, dict.Values);
            case JinjaNamespace ns:
                return AnyInput(context, ns.Attributes.Values);
            case JinjaIterator: // cannot be looked into without using it up
                return true;
            default:
                return false;
        }
    }

    private static bool AnyInput(RenderContext context, IEnumerable<object?> values)
    {
        context.EnterValue();
        var any = false;
        foreach (var value in values)
        {
            context.Charge(1);
            if (ContainsInput(context, value))
            {
                any = true;
                break;
            }
        }
        context.Leave();
        return any;
    }

    /// <summary>The text of None, a bool or a number.</summary>
    public static string Scalar(object? value) => value switch
    {
        null => "None",
        bool b => b ? "True" : "False",
        long i => i.ToString(CultureInfo.InvariantCulture),
        BigInteger i => i.ToString(CultureInfo.InvariantCulture),
        double d => Float(d),
        _ => throw new ArgumentException("Not a scalar.", nameof(value)),
    };

    /// <summary>Python's repr() of a float: the shortest digits that read back, an exponent below 1e-4 and from 1e16.</summary>
    public static string Float(double value)
    {
        if (double.IsNaN(value))
            return "nan";
        if (double.IsInfinity(value))
            return value > 0 ? "inf" : "-inf";
        if (value == 0)
            return double.IsNegative(value) ? "-0.0" : "0.0";
        var shortest = Math.Abs(value).ToString("R", CultureInfo.InvariantCulture);
        var mark = shortest.IndexOf('E', StringComparison.Ordinal);
        var mantissa = mark < 0 ? shortest : shortest[..mark];
        var point = mantissa.IndexOf('.', StringComparison.Ordinal);
        var digits = mantissa.Replace(".", "", StringComparison.Ordinal);
        var text = digits.TrimStart('0');
        // The exponent of the first significant digit.
        var exponent = (mark < 0 ? 0 : int.Parse(shortest.AsSpan(mark + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture))
            + (point < 0 ? mantissa.Length : point) - 1 - (digits.Length - text.Length);
        text = text.TrimEnd('0');
        var sign = value < 0 ? "-" : "";
        if (exponent is < -4 or >= 16)
        {
            var significant = text.Length == 1 ? text : $"{text[0]}.{text[1..]}";
            return $"{sign}{significant}e{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent):00}";
        }
        if (exponent < 0)
            return sign + "0." + new string('0', -exponent - 1) + text;
        return text.Length <= exponent + 1
            ? sign + text.PadRight(exponent + 1, '0') + ".0"
            : $"{sign}{text[..(exponent + 1)]}.{text[(exponent + 1)..]}";
    }

    /// <summary>Escapes for HTML, unless the text is already markup; the result is markup.</summary>
    public static JinjaText EscapeHtml(RenderContext context, JinjaText text)
    {
        if (text.IsMarkup)
            return text;
        var builder = new JinjaTextBuilder(context);
        for (var i = 0; i < text.Length; i++)
        {
            var escaped = text.Value[i] switch { '&' => "&amp;", '<' => "&lt;", '>' => "&gt;", '\'' => "&#39;", '"' => "&#34;", _ => null };
            if (escaped is null)
                builder.Append(text, i, 1);
            else
                builder.Append(escaped, text.IsTemplateAt(i));
        }
        return builder.ToText().AsMarkup();
    }

    private static void WriteRepr(RenderContext context, JinjaTextBuilder to, object? value, bool isTemplate)
    {
        context.EnterValue();
        switch (value)
        {
            case JinjaText text:
                WriteQuoted(to, text);
                break;
            case null or bool or long or BigInteger or double:
                to.Append(Scalar(value), isTemplate);
                break;
            case JinjaList list:
                WriteItems(context, to, list.Items, "[", "]", isTemplate);
                break;
            case JinjaTuple tuple:
                WriteItems(context, to, tuple.Items, "(", tuple.Items.Length == 1 ? ",)" : ")", isTemplate);
                break;
            case JinjaDict dict:
                WritePairs(context, to, dict, isTemplate);
                break;
            case JinjaDictView view:
                WriteItems(context, to.Append(view.Name + "(", isTemplate), view.Items, "[", "])", isTemplate);
                break;
            case JinjaRange range:
                to.Append(range.Step == 1 ? $"range({range.Start}, {range.Stop})" : $"range({range.Start}, {range.Stop}, {range.Step})", isTemplate);
                break;
            case JinjaNamespace ns:
                var attributes = new JinjaDict();
                foreach (var (name, attribute) in ns.Attributes)
                    attributes.Set(name, attribute);
                WritePairs(context, to.Append("<Namespace ", isTemplate), attributes, isTemplate);
                to.Append(">", isTemplate);
                break;
            case Undefined:
                to.Append("Undefined", isTemplate);
                break;
            case JinjaCallable callable:
                to.Append($"<{PythonOperators.TypeName(value)} '{callable.Name}'>", isTemplate);
                break;
            default:
                to.Append($"<{PythonOperators.TypeName(value)}>", isTemplate);
                break;
        }
        context.Leave();
    }

    private static void WriteItems(RenderContext context, JinjaTextBuilder to, IReadOnlyList<object?> items, string open, string close, bool isTemplate)
    {
        to.Append(open, isTemplate);
        for (var i = 0; i < items.Count; i++)
        {
            if (i > 0)
                to.Append(", ", isTemplate);
            WriteRepr(context, to, items[i], isTemplate);
        }
        to.Append(close, isTemplate);
    }

    private static void WritePairs(RenderContext context, JinjaTextBuilder to, JinjaDict dict, bool isTemplate)
    {
        to.Append("{", isTemplate);
        var first = true;
        foreach (var (key, item) in dict.Pairs)
        {
            if (!first)
                to.Append(", ", isTemplate);
            first = false;
            WriteRepr(context, to, key, isTemplate);
            to.Append(": ", isTemplate);
            WriteRepr(context, to, item, isTemplate);
        }
        to.Append("}", isTemplate);
    }

    private static void WriteQuoted(JinjaTextBuilder to, JinjaText text)
    {
        var value = text.Value;
        var quote = value.Contains('\'', StringComparison.Ordinal) && !value.Contains('"', StringComparison.Ordinal) ? '"' : '\'';
        if (text.IsMarkup)
            to.Append("Markup(", !text.HasInput);
        to.Append(quote, text.Length == 0 || text.IsTemplateAt(0));
        var plainFrom = 0;
        for (var i = 0; i < value.Length; i++)
        {
            var width = char.IsHighSurrogate(value[i]) && i + 1 < value.Length && char.IsLowSurrogate(value[i + 1]) ? 2 : 1;
            if (EscapeForRepr(value, i, width, quote) is { } escaped)
            {
                to.Append(text, plainFrom, i - plainFrom).Append(escaped, text.IsTemplateAt(i));
                plainFrom = i + width;
            }
            i += width - 1;
        }
        to.Append(text, plainFrom, value.Length - plainFrom);
        to.Append(quote, text.Length == 0 || text.IsTemplateAt(text.Length - 1));
        if (text.IsMarkup)
            to.Append(")", !text.HasInput);
    }

    private static string? EscapeForRepr(string value, int index, int width, char quote)
    {
        var c = value[index];
        if (c == quote || c == '\\')
            return "\\" + c;
        if (c is >= ' ' and < '\x7f')
            return null;
        switch (c)
        {
            case '\n':
                return "\\n";
            case '\r':
                return "\\r";
            case '\t':
                return "\\t";
        }
        var category = CharUnicodeInfo.GetUnicodeCategory(value, index);
        var isPrintable = category is not (UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.Surrogate
            or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned or UnicodeCategory.LineSeparator
            or UnicodeCategory.ParagraphSeparator or UnicodeCategory.SpaceSeparator);
        if (isPrintable)
            return null;
        var codePoint = width == 2 ? char.ConvertToUtf32(value, index) : c;
        return codePoint switch
        {
            <= 0xFF => $"\\x{codePoint:x2}",
            <= 0xFFFF => $"\\u{codePoint:x4}",
            _ => $"\\U{codePoint:x8}",
        };
    }
}
