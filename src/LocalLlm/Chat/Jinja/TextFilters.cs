using System.Globalization;
using System.Text;
using static LocalLlm.Chat.Jinja.BuiltinArguments;

namespace LocalLlm.Chat.Jinja;

/// <summary>Filters that make text of text; what is no text is converted first.</summary>
internal static class TextFilters
{
    public static Dictionary<string, FilterBody> All { get; } = new()
    {
        ["upper"] = (c, v, a) => StringMethods.Upper(c, Plain(c, "upper", v, a)),
        ["lower"] = (c, v, a) => StringMethods.Lower(c, Plain(c, "lower", v, a)),
        ["capitalize"] = (c, v, a) => StringMethods.Capitalize(c, Plain(c, "capitalize", v, a)),
        ["title"] = (c, v, a) => StringMethods.Map(c, Plain(c, "title", v, a), TitleRune),
        ["trim"] = (c, v, a) => StringMethods.Strip(c, PythonText.Str(c, v), a.Bind(c, "trim", "chars?")[0], true, true),
        ["replace"] = Replace,
        ["indent"] = Indent,
        ["format"] = (c, v, a) => PythonFormat.Percent(c, PythonText.Str(c, v), FormatValues(c, a)),
        ["center"] = Center,
        ["truncate"] = Truncate,
        ["wordcount"] = (c, v, a) => (long)Words(Plain(c, "wordcount", v, a).Value).Count(),
        ["wordwrap"] = WordWrap,
        ["safe"] = (c, v, a) => Plain(c, "safe", v, a).AsMarkup(),
        ["escape"] = (c, v, a) => PythonText.EscapeHtml(c, Plain(c, "escape", v, a)),
        ["e"] = (c, v, a) => PythonText.EscapeHtml(c, Plain(c, "e", v, a)),
        ["forceescape"] = (c, v, a) => PythonText.EscapeHtml(c, Plain(c, "forceescape", v, a).AsPlain()),
        ["striptags"] = StripTags,
        ["urlencode"] = UrlEncode,
        ["filesizeformat"] = FileSize,
    };

    private static JinjaText Plain(RenderContext context, string name, object? value, CallArguments arguments) =>
        PythonText.Str(context, JinjaFilters.None(context, name, value, arguments));

    // Unlike str.title(), the filter keeps a letter small after an apostrophe.
    private static Rune TitleRune(Rune rune, Rune? previous)
    {
        var startsWord = previous is not { } p || (p.IsBmp && (JinjaLexer.IsSpace((char)p.Value) || "-({[<".Contains((char)p.Value, StringComparison.Ordinal)));
        return startsWord ? Rune.ToUpperInvariant(rune) : Rune.ToLowerInvariant(rune);
    }

    private static JinjaText Replace(RenderContext context, object? value, CallArguments arguments)
    {
        var bound = arguments.Bind(context, "replace", "old", "new", "count?");
        var count = Or(bound[2], null) is { } given ? Int(context, given, -1, "count") : -1;
        return StringMethods.Replace(context, PythonText.Str(context, value), PythonText.Str(context, bound[0]), PythonText.Str(context, bound[1]), count);
    }

    private static JinjaText Indent(RenderContext context, object? value, CallArguments arguments)
    {
        var bound = arguments.Bind(context, "indent", "width?", "first?", "blank?");
        var indent = bound[0] as JinjaText ?? JinjaText.Template(new string(' ', Math.Max(0, Width(context, bound[0], 4, "width"))));
        var (first, blank) = (Bool(bound[1], false), Bool(bound[2], false));
        var text = Text(context, value, "indent: the value");
        var newline = JinjaText.Template("\n");
        var lines = StringMethods.SplitLines(context, (JinjaText)PythonOperators.Add(context, text.AsPlain(), newline)!, keepEnds: false);
        var builder = new JinjaTextBuilder(context);
        for (var i = 0; i < lines.Count; i++)
        {
            if (i > 0)
                builder.Append(newline);
            if (i == 0 ? first : blank || lines[i].Length > 0)
                builder.Append(indent);
            builder.Append(lines[i]);
        }
        return text.IsMarkup ? builder.ToText().AsMarkup() : builder.ToText();
    }

    private static object? FormatValues(RenderContext context, CallArguments arguments)
    {
        if (arguments.Named.Count == 0)
            return new JinjaTuple([.. arguments.Positional]);
        if (arguments.Positional.Count > 0)
            throw context.Error("format takes positional or named arguments, not both");
        var dict = new JinjaDict();
        foreach (var (name, value) in arguments.Named)
            dict.Set(name, value);
        return dict;
    }

    private static object? Center(RenderContext context, object? value, CallArguments arguments)
    {
        var width = arguments.Bind(context, "center", "width?")[0];
        var center = (JinjaCallable)StringMethods.Get(PythonText.Str(context, value), "center")!;
        return center.Invoke(context, CallArguments.Of(Or(width, 80L)));
    }

    private static object? Truncate(RenderContext context, object? value, CallArguments arguments)
    {
        var bound = arguments.Bind(context, "truncate", "length?", "killwords?", "end?", "leeway?");
        var length = Int(context, bound[0], 255, "length");
        var end = IsMissing(bound[2]) ? JinjaText.Template("...") : Text(context, bound[2], "end");
        var leeway = Or(bound[3], null) is { } given ? Int(context, given, 5, "leeway") : 5;
        if (length < end.CodePointCount || leeway < 0)
            throw context.Error($"truncate: the length must be at least {end.CodePointCount}, the leeway at least 0");
        if (value is not JinjaText text)
        {
            // Whatever has a length may pass uncut.
            var size = (long)JinjaFilters.Apply(context, "length", value, CallArguments.None)!;
            return size <= (long)length + leeway ? value : Text(context, value, "truncate: the value");
        }
        if (text.CodePointCount <= (long)length + leeway)
            return text;
        var kept = text.SliceCodePoints(0, length - end.CodePointCount);
        if (!Bool(bound[1], false) && kept.Value.LastIndexOf(' ') is var space and >= 0)
            kept = kept.Slice(0, space);
        return PythonOperators.Add(context, kept, end);
    }

    private static IEnumerable<string> Words(string text)
    {
        for (var i = 0; i < text.Length;)
        {
            var start = i;
            while (i < text.Length && (char.IsLetterOrDigit(text[i]) || text[i] == '_' || char.IsSurrogate(text[i])))
                i++;
            if (i > start)
                yield return text[start..i];
            else
                i++;
        }
    }

    private static JinjaText WordWrap(RenderContext context, object? value, CallArguments arguments)
    {
        var bound = arguments.Bind(context, "wordwrap", "width?", "break_long_words?", "wrapstring?", "break_on_hyphens?");
        var text = Text(context, value, "wordwrap: the value");
        var width = Int(context, bound[0], 79, "width");
        if (width <= 0)
            throw context.Error("wordwrap: the width must be at least 1");
        var breakLong = Bool(bound[1], true);
        var newline = Or(bound[2], null) is { } wrap ? Text(context, wrap, "wrapstring") : JinjaText.Template("\n");
        var builder = new JinjaTextBuilder(context);
        var isFirst = true;
        foreach (var line in StringMethods.SplitLines(context, text, keepEnds: false))
        {
            foreach (var part in Wrap(context, line, width, breakLong))
            {
                if (!isFirst)
                    builder.Append(newline);
                isFirst = false;
                builder.Append(part);
            }
        }
        return builder.ToText();
    }

    private static List<JinjaText> Wrap(RenderContext context, JinjaText line, int width, bool breakLong)
    {
        var parts = new List<JinjaText>();
        int start = 0, length = line.CodePointCount;
        bool IsSpaceAt(int i) => JinjaLexer.IsSpace(line.Value[line.Utf16Index(i)]);
        while (length - start > width)
        {
            context.Charge(1);
            var end = start + width;
            if (!IsSpaceAt(end))
                while (end > start && !IsSpaceAt(end - 1))
                    end--;
            if (end == start)
            {
                end = start + width;
                while (!breakLong && end < length && !IsSpaceAt(end))
                    end++;
            }
            var trimmed = end;
            while (trimmed > start && IsSpaceAt(trimmed - 1))
                trimmed--;
            if (trimmed > start)
                parts.Add(line.SliceCodePoints(start, trimmed));
            start = end;
            while (start < length && IsSpaceAt(start))
                start++;
        }
        if (start < length || parts.Count == 0)
            parts.Add(line.SliceCodePoints(start, length));
        return parts;
    }

    private static JinjaText StripTags(RenderContext context, object? value, CallArguments arguments)
    {
        var text = Plain(context, "striptags", value, arguments);
        var kept = new JinjaTextBuilder(context);
        for (var i = 0; i < text.Length;)
        {
            var open = text.Value.IndexOf('<', i);
            var close = open < 0 ? -1 : text.Value.IndexOf('>', open);
            var end = close < 0 ? text.Length : open;
            kept.Append(text, i, end - i);
            i = close < 0 ? text.Length : close + 1;
        }
        var words = StringMethods.Get(kept.ToText(), "split") as JinjaCallable;
        return StringMethods.Join(context, JinjaText.Template(" "), ((JinjaList)words!.Invoke(context, CallArguments.None)!).Items);
    }

    private static JinjaText UrlEncode(RenderContext context, object? value, CallArguments arguments)
    {
        arguments.Bind(context, "urlencode");
        if (value is JinjaText or Undefined || value is not IJinjaIterable)
            return Quote(context, PythonText.Str(context, value), isQuery: false);
        var pairs = value is JinjaDict dict ? CollectionMethods.Items(dict) : PythonOperators.ToList(context, value);
        var builder = new JinjaTextBuilder(context);
        foreach (var pair in pairs)
        {
            var parts = PythonOperators.ToList(context, pair);
            if (parts.Count != 2)
                throw context.Error("urlencode needs pairs");
            if (builder.Length > 0)
                builder.Append("&");
            builder.Append(Quote(context, PythonText.Str(context, parts[0]), isQuery: true)).Append("=");
            builder.Append(Quote(context, PythonText.Str(context, parts[1]), isQuery: true));
        }
        return builder.ToText();
    }

    private static JinjaText Quote(RenderContext context, JinjaText text, bool isQuery)
    {
        var quoted = new StringBuilder();
        foreach (var b in Encoding.UTF8.GetBytes(text.Value))
        {
            if (char.IsAsciiLetterOrDigit((char)b) || (isQuery ? "_.-~" : "_.-~/").Contains((char)b, StringComparison.Ordinal))
                quoted.Append((char)b);
            else if (isQuery && b == ' ')
                quoted.Append('+');
            else
                quoted.Append('%').Append(b.ToString("X2", CultureInfo.InvariantCulture));
        }
        context.ChargeString(quoted.Length);
        return JinjaText.Uniform(quoted.ToString(), text.HasInput);
    }

    private static JinjaText FileSize(RenderContext context, object? value, CallArguments arguments)
    {
        var isBinary = Bool(arguments.Bind(context, "filesizeformat", "binary?")[0], false);
        var bytes = value is JinjaText text && double.TryParse(text.Value, NumberStyles.Float, CultureInfo.InvariantCulture, out var parsed) ? parsed
            : PythonOperators.IsNumber(value) ? PythonOperators.ToDouble(value)
            : throw context.Error($"filesizeformat needs a number, not {PythonOperators.TypeName(value)}");
        var step = isBinary ? 1024.0 : 1000.0;
        if (bytes == 1)
            return JinjaText.Template("1 Byte");
        if (bytes < step)
            return JinjaText.Template($"{(long)bytes} Bytes");
        var units = isBinary ? "KMGTPEZY".Select(u => u + "iB").ToArray() : "kMGTPEZY".Select(u => u + "B").ToArray();
        var index = 0;
        for (bytes /= step; bytes >= step && index < units.Length - 1; bytes /= step)
            index++;
        return JinjaText.Template(string.Create(CultureInfo.InvariantCulture, $"{bytes:F1} {units[index]}"));
    }
}
