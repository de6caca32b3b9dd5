using System.Globalization;
using System.Numerics;
using System.Text.Json;

namespace LocalLlm.Chat.Jinja;

/// <summary>JSON to values and back, written as Python's json.dumps writes it.</summary>
internal static class PythonJson
{
    /// <summary>The value of a JSON element; its texts count as input.</summary>
    public static object? FromJson(JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Object:
                var dict = new JinjaDict();
                foreach (var property in element.EnumerateObject())
                    dict.Set(JinjaText.Input(property.Name), FromJson(property.Value));
                return dict;
            case JsonValueKind.Array:
                return new JinjaList([.. element.EnumerateArray().Select(FromJson)]);
            case JsonValueKind.String:
                return JinjaText.Input(element.GetString()!);
            case JsonValueKind.Number:
                return FromNumber(element.GetRawText());
            case JsonValueKind.True:
                return true;
            case JsonValueKind.False:
                return false;
            default:
                return null;
        }
    }

    private static object FromNumber(string text)
    {
        if (text.AsSpan().IndexOfAny('.', 'e', 'E') >= 0)
            return double.Parse(text, CultureInfo.InvariantCulture);
        if (long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value))
            return value;
        return text.Length <= 1000
            ? BigInteger.Parse(text, CultureInfo.InvariantCulture)
            : throw new ChatTemplateException($"A JSON integer of {text.Length} digits is too long; at most 1000 are allowed.");
    }

    /// <summary>How json.dumps writes.</summary>
    /// <param name="EnsureAscii">Escapes everything beyond ASCII.</param>
    /// <param name="Indent">What a level is indented by; null for one line.</param>
    /// <param name="ItemSeparator">Between elements.</param>
    /// <param name="KeySeparator">Between a key and its value.</param>
    /// <param name="SortKeys">Orders the keys of every object.</param>
    public sealed record Style(bool EnsureAscii, JinjaText? Indent, JinjaText ItemSeparator, JinjaText KeySeparator, bool SortKeys);

    /// <summary>What json.dumps does by itself, without escaping beyond ASCII.</summary>
    public static Style OneLine { get; } = new(false, null, JinjaText.Template(", "), JinjaText.Template(": "), false);

    public static JinjaText Dump(RenderContext context, object? value, Style style)
    {
        var builder = new JinjaTextBuilder(context);
        Write(context, builder, value, style, 0, !PythonText.ContainsInput(context, value));
        return builder.ToText();
    }

    private static void Write(RenderContext context, JinjaTextBuilder to, object? value, Style style, int level, bool isTemplate)
    {
        context.EnterValue();
        switch (value)
        {
            case null:
                to.Append("null", isTemplate);
                break;
            case bool b:
                to.Append(b ? "true" : "false", isTemplate);
                break;
            case long or BigInteger or double:
                to.Append(Number(value), isTemplate);
                break;
            case JinjaText text:
                WriteString(to, text, style.EnsureAscii);
                break;
            case JinjaList list:
                WriteArray(context, to, list.Items, style, level, isTemplate);
                break;
            case JinjaTuple tuple:
                WriteArray(context, to, tuple.Items, style, level, isTemplate);
                break;
            case JinjaDict dict:
                WriteObject(context, to, dict, style, level, isTemplate);
                break;
            case Undefined undefined:
                throw context.Error($"tojson: {undefined.Message}");
            default:
                throw context.Error($"tojson: {PythonOperators.TypeName(value)} cannot be written as JSON");
        }
        context.Leave();
    }

    private static string Number(object value) => value switch
    {
        double.NaN => "NaN",
        double.PositiveInfinity => "Infinity",
        double.NegativeInfinity => "-Infinity",
        _ => PythonText.Scalar(value),
    };

    private static void WriteArray(RenderContext context, JinjaTextBuilder to, IReadOnlyList<object?> items, Style style, int level, bool isTemplate)
    {
        to.Append("[", isTemplate);
        for (var i = 0; i < items.Count; i++)
        {
            Separate(to, i == 0, style, level + 1, isTemplate);
            Write(context, to, items[i], style, level + 1, isTemplate);
        }
        if (items.Count > 0)
            NewLine(to, style, level, isTemplate);
        to.Append("]", isTemplate);
    }

    private static void WriteObject(RenderContext context, JinjaTextBuilder to, JinjaDict dict, Style style, int level, bool isTemplate)
    {
        var pairs = dict.Pairs.ToList();
        if (style.SortKeys)
            PythonSort.Sort(context, pairs, p => p.Key, reverse: false);
        to.Append("{", isTemplate);
        for (var i = 0; i < pairs.Count; i++)
        {
            Separate(to, i == 0, style, level + 1, isTemplate);
            WriteString(to, Key(context, pairs[i].Key, isTemplate), style.EnsureAscii);
            to.Append(style.KeySeparator.Value, isTemplate && !style.KeySeparator.HasInput);
            Write(context, to, pairs[i].Value, style, level + 1, isTemplate);
        }
        if (pairs.Count > 0)
            NewLine(to, style, level, isTemplate);
        to.Append("}", isTemplate);
    }

    private static JinjaText Key(RenderContext context, object? key, bool isTemplate) => key switch
    {
        JinjaText text => text,
        null => JinjaText.Uniform("null", !isTemplate),
        bool b => JinjaText.Uniform(b ? "true" : "false", !isTemplate),
        long or BigInteger or double => JinjaText.Uniform(Number(key), !isTemplate),
        _ => throw context.Error($"tojson: a key must be text, a number, a bool or None, not {PythonOperators.TypeName(key)}"),
    };

    private static void Separate(JinjaTextBuilder to, bool isFirst, Style style, int level, bool isTemplate)
    {
        if (!isFirst)
            to.Append(style.ItemSeparator.Value, isTemplate && !style.ItemSeparator.HasInput);
        NewLine(to, style, level, isTemplate);
    }

    private static void NewLine(JinjaTextBuilder to, Style style, int level, bool isTemplate)
    {
        if (style.Indent is not { } indent)
            return;
        to.Append("\n", isTemplate);
        for (var i = 0; i < level; i++)
            to.Append(indent.Value, isTemplate && !indent.HasInput);
    }

    private static void WriteString(JinjaTextBuilder to, JinjaText text, bool ensureAscii)
    {
        var value = text.Value;
        to.Append('"', text.Length == 0 || text.IsTemplateAt(0));
        var plainFrom = 0;
        for (var i = 0; i < value.Length; i++)
        {
            var c = value[i];
            var escaped = c switch
            {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                '\b' => "\\b",
                '\f' => "\\f",
                < ' ' => $"\\u{(int)c:x4}",
                > '~' when ensureAscii => $"\\u{(int)c:x4}",
                _ => null,
            };
            if (escaped is null)
                continue;
            to.Append(text, plainFrom, i - plainFrom).Append(escaped, text.IsTemplateAt(i));
            plainFrom = i + 1;
        }
        to.Append(text, plainFrom, value.Length - plainFrom);
        to.Append('"', text.Length == 0 || text.IsTemplateAt(text.Length - 1));
    }
}
