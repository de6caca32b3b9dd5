using System.Buffers;
using System.Collections.Frozen;
using System.Text;
using static LocalLlm.Chat.Jinja.BuiltinArguments;

namespace LocalLlm.Chat.Jinja;

/// <summary>The methods of Python's str, following the provenance of every character.</summary>
internal static class StringMethods
{
    private static readonly SearchValues<char> LineEnds = SearchValues.Create("\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029");

    private static readonly FrozenDictionary<string, MethodBody<JinjaText>> All = new Dictionary<string, MethodBody<JinjaText>>
    {
        ["upper"] = (c, s, a) => Upper(c, Self(c, "upper", s, a)),
        ["lower"] = (c, s, a) => Lower(c, Self(c, "lower", s, a)),
        ["casefold"] = (c, s, a) => Lower(c, Self(c, "casefold", s, a)),
        ["title"] = (c, s, a) => Title(c, Self(c, "title", s, a)),
        ["capitalize"] = (c, s, a) => Capitalize(c, Self(c, "capitalize", s, a)),
        ["swapcase"] = (c, s, a) => Map(c, Self(c, "swapcase", s, a), (x, _) => Rune.IsUpper(x) ? Rune.ToLowerInvariant(x) : Rune.ToUpperInvariant(x)),
        ["strip"] = (c, s, a) => Strip(c, s, a.Bind(c, "strip", "chars?")[0], true, true),
        ["lstrip"] = (c, s, a) => Strip(c, s, a.Bind(c, "lstrip", "chars?")[0], true, false),
        ["rstrip"] = (c, s, a) => Strip(c, s, a.Bind(c, "rstrip", "chars?")[0], false, true),
        ["split"] = (c, s, a) => Split(c, s, a, "split", fromRight: false),
        ["rsplit"] = (c, s, a) => Split(c, s, a, "rsplit", fromRight: true),
        ["splitlines"] = (c, s, a) => new JinjaList([.. SplitLines(c, s, Bool(a.Bind(c, "splitlines", "keepends?")[0], false))]),
        ["partition"] = (c, s, a) => Partition(c, s, a, "partition", last: false),
        ["rpartition"] = (c, s, a) => Partition(c, s, a, "rpartition", last: true),
        ["startswith"] = (c, s, a) => HasAffix(c, s, a, "startswith", (x, y) => x.StartsWith(y, StringComparison.Ordinal)),
        ["endswith"] = (c, s, a) => HasAffix(c, s, a, "endswith", (x, y) => x.EndsWith(y, StringComparison.Ordinal)),
        ["removeprefix"] = RemovePrefix,
        ["removesuffix"] = RemoveSuffix,
        ["replace"] = ReplaceMethod,
        ["join"] = (c, s, a) => Join(c, s, PythonOperators.ToList(c, a.Bind(c, "join", "iterable")[0])),
        ["format"] = PythonFormat.Braces,
        ["find"] = (c, s, a) => Find(c, s, a, "find", last: false, mustBeThere: false),
        ["rfind"] = (c, s, a) => Find(c, s, a, "rfind", last: true, mustBeThere: false),
        ["index"] = (c, s, a) => Find(c, s, a, "index", last: false, mustBeThere: true),
        ["rindex"] = (c, s, a) => Find(c, s, a, "rindex", last: true, mustBeThere: true),
        ["count"] = (c, s, a) => Count(c, s, a),
        ["center"] = (c, s, a) => Justify(c, s, a, "center", (padding, width) => padding / 2 + (padding & width & 1)),
        ["ljust"] = (c, s, a) => Justify(c, s, a, "ljust", (_, _) => 0),
        ["rjust"] = (c, s, a) => Justify(c, s, a, "rjust", (padding, _) => padding),
        ["zfill"] = ZeroFill,
        ["expandtabs"] = ExpandTabs,
        ["isdigit"] = (c, s, a) => AllRunes(Self(c, "isdigit", s, a), Rune.IsDigit),
        ["isdecimal"] = (c, s, a) => AllRunes(Self(c, "isdecimal", s, a), Rune.IsDigit),
        ["isnumeric"] = (c, s, a) => AllRunes(Self(c, "isnumeric", s, a), Rune.IsNumber),
        ["isalpha"] = (c, s, a) => AllRunes(Self(c, "isalpha", s, a), Rune.IsLetter),
        ["isalnum"] = (c, s, a) => AllRunes(Self(c, "isalnum", s, a), r => Rune.IsLetter(r) || Rune.IsNumber(r)),
        ["isspace"] = (c, s, a) => AllRunes(Self(c, "isspace", s, a), r => r.IsBmp && JinjaLexer.IsSpace((char)r.Value)),
        ["isascii"] = (c, s, a) => Self(c, "isascii", s, a).Value.All(char.IsAscii),
        ["isupper"] = (c, s, a) => IsCase(Self(c, "isupper", s, a), Rune.IsUpper, Rune.IsLower),
        ["islower"] = (c, s, a) => IsCase(Self(c, "islower", s, a), Rune.IsLower, Rune.IsUpper),
        ["istitle"] = (c, s, a) => IsCase(Self(c, "istitle", s, a), _ => true, _ => false) && Title(c, s).Equals(s),
        ["isidentifier"] = (c, s, a) => IsIdentifier(Self(c, "isidentifier", s, a).Value),
        ["isprintable"] = (c, s, a) => PythonText.Repr(c, Self(c, "isprintable", s, a)).Length - 2 == s.Length + s.Value.Count(x => x == '\\'),
    }.ToFrozenDictionary();

    public static object? Get(JinjaText self, string name) => All.TryGetValue(name, out var body) ? new BoundMethod<JinjaText>(name, self, body) : null;

    public static JinjaText Upper(RenderContext context, JinjaText text) => text.Value.Contains('ß', StringComparison.Ordinal)
        ? Upper(context, Replace(context, text, JinjaText.Input("ß"), JinjaText.Uniform("SS", text.HasInput), -1))
        : Map(context, text, (rune, _) => Rune.ToUpperInvariant(rune));

    public static JinjaText Lower(RenderContext context, JinjaText text) => Map(context, text, (rune, _) => Rune.ToLowerInvariant(rune));

    /// <summary>Every letter after a character that is not a letter becomes upper case, the others lower.</summary>
    public static JinjaText Title(RenderContext context, JinjaText text) => Map(context, text, (rune, previous) =>
        previous is { } p && Rune.IsLetter(p) ? Rune.ToLowerInvariant(rune) : Rune.ToUpperInvariant(rune));

    public static JinjaText Capitalize(RenderContext context, JinjaText text) => Map(context, text, (rune, previous) =>
        previous is null ? Rune.ToUpperInvariant(rune) : Rune.ToLowerInvariant(rune));

    /// <summary>Maps character by character; the length in UTF-16 must not change, so that provenance stays exact.</summary>
    public static JinjaText Map(RenderContext context, JinjaText text, Func<Rune, Rune?, Rune> map)
    {
        context.ChargeString(text.Length);
        var result = new StringBuilder(text.Length);
        Rune? previous = null;
        for (var i = 0; i < text.Length;)
        {
            if (!Rune.TryGetRuneAt(text.Value, i, out var rune))
            {
                result.Append(text.Value[i++]); // a lone surrogate
                previous = null;
                continue;
            }
            var mapped = map(rune, previous);
            result.Append(mapped.Utf16SequenceLength == rune.Utf16SequenceLength ? mapped.ToString() : rune.ToString());
            previous = rune;
            i += rune.Utf16SequenceLength;
        }
        return text.WithValue(result.ToString());
    }

    public static JinjaText Strip(RenderContext context, JinjaText text, object? chars, bool left, bool right)
    {
        Func<char, bool> strips = JinjaLexer.IsSpace;
        if (!IsMissing(chars) && chars is not null)
        {
            var set = Text(context, chars, "chars").Value;
            strips = c => set.Contains(c, StringComparison.Ordinal);
        }
        int start = 0, end = text.Length;
        while (left && start < end && strips(text.Value[start]))
            start++;
        while (right && end > start && strips(text.Value[end - 1]))
            end--;
        context.ChargeString(end - start);
        return text.Slice(start, end - start);
    }

    /// <summary>Replaces up to <paramref name="count"/> times, all if it is negative; an empty <paramref name="old"/> is met between all characters.</summary>
    public static JinjaText Replace(RenderContext context, JinjaText text, JinjaText old, JinjaText @new, int count)
    {
        var builder = new JinjaTextBuilder(context);
        var from = 0;
        if (old.Length == 0)
        {
            var points = text.CodePointCount;
            for (var i = 0; i <= points; i++)
            {
                if (count < 0 || i < count)
                    builder.Append(@new);
                if (i < points)
                    builder.Append(text, text.Utf16Index(i), text.Utf16Index(i + 1) - text.Utf16Index(i));
            }
            return builder.ToText();
        }
        for (var done = 0; count < 0 || done < count; done++)
        {
            var at = text.Value.IndexOf(old.Value, from, StringComparison.Ordinal);
            if (at < 0)
                break;
            builder.Append(text, from, at - from).Append(@new);
            from = at + old.Length;
        }
        return from == 0 ? text : builder.Append(text, from, text.Length - from).ToText();
    }

    public static JinjaText Join(RenderContext context, JinjaText separator, IReadOnlyList<object?> items)
    {
        var builder = new JinjaTextBuilder(context);
        for (var i = 0; i < items.Count; i++)
        {
            if (i > 0)
                builder.Append(separator);
            builder.Append(items[i] as JinjaText ?? throw context.Error($"join() needs strings; element {i} is {PythonOperators.TypeName(items[i])}"));
        }
        return builder.ToText();
    }

    public static List<JinjaText> SplitLines(RenderContext context, JinjaText text, bool keepEnds)
    {
        context.ChargeString(text.Length);
        var lines = new List<JinjaText>();
        var value = text.Value;
        for (var start = 0; start < value.Length;)
        {
            var end = value.AsSpan(start).IndexOfAny(LineEnds);
            end = end < 0 ? value.Length : start + end;
            var next = end == value.Length ? end : value.AsSpan(end).StartsWith("\r\n") ? end + 2 : end + 1;
            lines.Add(text.Slice(start, (keepEnds ? next : end) - start));
            start = next;
        }
        context.ChargeList(lines.Count);
        return lines;
    }

    private static JinjaText Self(RenderContext context, string name, JinjaText self, CallArguments arguments)
    {
        arguments.Bind(context, name);
        return self;
    }

    private static JinjaList Split(RenderContext context, JinjaText text, CallArguments arguments, string name, bool fromRight)
    {
        var bound = arguments.Bind(context, name, "sep?", "maxsplit?");
        var most = Int(context, bound[1], -1, "maxsplit");
        var separator = Or(bound[0], null) is { } sep ? Text(context, sep, "sep").Value : null;
        if (separator is { Length: 0 })
            throw context.Error($"{name}() needs a separator that is not empty");
        context.ChargeString(text.Length);
        var parts = new List<object?>();
        if (separator is null)
            SplitAtSpace(text, most, fromRight, parts);
        else if (fromRight)
            SplitFromRight(text, separator, most, parts);
        else
            SplitFromLeft(text, separator, most, parts);
        if (fromRight)
            parts.Reverse();
        context.ChargeList(parts.Count);
        return new JinjaList(parts);
    }

    private static void SplitFromLeft(JinjaText text, string separator, int most, List<object?> parts)
    {
        var from = 0;
        for (int at; parts.Count != most && (at = text.Value.IndexOf(separator, from, StringComparison.Ordinal)) >= 0; from = at + separator.Length)
            parts.Add(text.Slice(from, at - from));
        parts.Add(text.Slice(from));
    }

    private static void SplitFromRight(JinjaText text, string separator, int most, List<object?> parts)
    {
        var to = text.Length;
        for (int at; parts.Count != most && (at = text.Value.AsSpan(0, to).LastIndexOf(separator)) >= 0; to = at)
            parts.Add(text.Slice(at + separator.Length, to - at - separator.Length));
        parts.Add(text.Slice(0, to));
    }

    private static void SplitAtSpace(JinjaText text, int most, bool fromRight, List<object?> parts)
    {
        int start = 0, end = text.Length;
        while (true)
        {
            while (start < end && JinjaLexer.IsSpace(text.Value[start]))
                start++;
            while (end > start && fromRight && JinjaLexer.IsSpace(text.Value[end - 1]))
                end--;
            if (start == end)
                return;
            if (parts.Count == most)
            {
                // What is left keeps its inner space; on the left of rsplit also its leading space, on the right of split its trailing.
                parts.Add(fromRight ? text.Slice(0, end) : text.Slice(start, end - start));
                return;
            }
            if (fromRight)
            {
                var at = end;
                while (at > start && !JinjaLexer.IsSpace(text.Value[at - 1]))
                    at--;
                parts.Add(text.Slice(at, end - at));
                end = at;
            }
            else
            {
                var at = start;
                while (at < end && !JinjaLexer.IsSpace(text.Value[at]))
                    at++;
                parts.Add(text.Slice(start, at - start));
                start = at;
            }
        }
    }

    private static JinjaTuple Partition(RenderContext context, JinjaText text, CallArguments arguments, string name, bool last)
    {
        var separator = Text(context, arguments.Bind(context, name, "sep")[0], "sep");
        if (separator.Length == 0)
            throw context.Error($"{name}() needs a separator that is not empty");
        context.ChargeString(text.Length);
        var at = last ? text.Value.LastIndexOf(separator.Value, StringComparison.Ordinal) : text.Value.IndexOf(separator.Value, StringComparison.Ordinal);
        return at >= 0 ? new(text.Slice(0, at), text.Slice(at, separator.Length), text.Slice(at + separator.Length))
            : last ? new(JinjaText.Empty, JinjaText.Empty, text)
            : new(text, JinjaText.Empty, JinjaText.Empty);
    }

    /// <summary>The part of a text that the arguments start and end select, by code points; null if start lies behind the end.</summary>
    private static JinjaText? Part(RenderContext context, JinjaText text, object? start, object? end, out int offset)
    {
        var length = text.CodePointCount;
        var from = Int(context, Or(start, null) ?? CallArguments.Missing, 0, "start");
        var to = Int(context, Or(end, null) ?? CallArguments.Missing, length, "end");
        from = from < 0 ? Math.Max(0, from + length) : from;
        to = to < 0 ? Math.Max(0, to + length) : Math.Min(to, length);
        offset = from;
        return from > to ? null : text.SliceCodePoints(from, to);
    }

    private static bool HasAffix(RenderContext context, JinjaText text, CallArguments arguments, string name, Func<string, string, bool> has)
    {
        var bound = arguments.Bind(context, name, "affix", "start?", "end?");
        if (Part(context, text, bound[1], bound[2], out _) is not { } part)
            return false;
        context.Charge(1 + part.Length / 4096);
        var affixes = bound[0] is JinjaTuple tuple ? tuple.Items : [bound[0]];
        return affixes.Any(affix => has(part.Value, Text(context, affix, $"{name}()'s argument").Value));
    }

    private static JinjaText RemovePrefix(RenderContext context, JinjaText text, CallArguments arguments)
    {
        var prefix = Text(context, arguments.Bind(context, "removeprefix", "prefix")[0], "prefix").Value;
        return text.Value.StartsWith(prefix, StringComparison.Ordinal) ? text.Slice(prefix.Length) : text;
    }

    private static JinjaText RemoveSuffix(RenderContext context, JinjaText text, CallArguments arguments)
    {
        var suffix = Text(context, arguments.Bind(context, "removesuffix", "suffix")[0], "suffix").Value;
        return text.Value.EndsWith(suffix, StringComparison.Ordinal) ? text.Slice(0, text.Length - suffix.Length) : text;
    }

    private static bool IsIdentifier(string text) =>
        text.Length > 0 && !char.IsDigit(text[0]) && text.All(c => c == '_' || char.IsLetterOrDigit(c));

    private static JinjaText ReplaceMethod(RenderContext context, JinjaText text, CallArguments arguments)
    {
        var bound = arguments.Bind(context, "replace", "old", "new", "count?");
        return Replace(context, text, Text(context, bound[0], "old"), Text(context, bound[1], "new"), Int(context, bound[2], -1, "count"));
    }

    private static object Find(RenderContext context, JinjaText text, CallArguments arguments, string name, bool last, bool mustBeThere)
    {
        var bound = arguments.Bind(context, name, "sub", "start?", "end?");
        var sub = Text(context, bound[0], "sub").Value;
        context.ChargeString(text.Length);
        var part = Part(context, text, bound[1], bound[2], out var offset);
        var at = part is null ? -1
            : last ? part.Value.LastIndexOf(sub, StringComparison.Ordinal)
            : part.Value.IndexOf(sub, StringComparison.Ordinal);
        if (at < 0)
            return mustBeThere ? throw context.Error($"{name}(): the string does not contain '{sub}'") : -1L;
        return (long)(offset + part!.CodePointIndex(at));
    }

    private static long Count(RenderContext context, JinjaText text, CallArguments arguments)
    {
        var bound = arguments.Bind(context, "count", "sub", "start?", "end?");
        var sub = Text(context, bound[0], "sub").Value;
        context.ChargeString(text.Length);
        if (Part(context, text, bound[1], bound[2], out _) is not { } part)
            return 0L;
        if (sub.Length == 0)
            return part.CodePointCount + 1L;
        var count = 0L;
        for (var at = 0; (at = part.Value.IndexOf(sub, at, StringComparison.Ordinal)) >= 0; at += sub.Length)
            count++;
        return count;
    }

    private static JinjaText Justify(RenderContext context, JinjaText text, CallArguments arguments, string name, Func<int, int, int> leftPadding)
    {
        var bound = arguments.Bind(context, name, "width", "fillchar?");
        var width = Width(context, bound[0], 0, "width");
        var fill = IsMissing(bound[1]) ? JinjaText.Template(" ") : Text(context, bound[1], "fillchar");
        if (fill.Length != 1)
            throw context.Error($"{name}(): fillchar must be one character");
        var padding = width - text.CodePointCount;
        if (padding <= 0)
            return text;
        var left = leftPadding(padding, width);
        var isTemplate = !fill.HasInput;
        return new JinjaTextBuilder(context).Append(fill.Value[0], left, isTemplate).Append(text).Append(fill.Value[0], padding - left, isTemplate).ToText();
    }

    private static JinjaText ZeroFill(RenderContext context, JinjaText text, CallArguments arguments)
    {
        var padding = Width(context, arguments.Bind(context, "zfill", "width")[0], 0, "width") - text.CodePointCount;
        if (padding <= 0)
            return text;
        var sign = text.Length > 0 && text.Value[0] is '+' or '-' ? 1 : 0;
        return new JinjaTextBuilder(context).Append(text, 0, sign).Append('0', padding, true).Append(text, sign, text.Length - sign).ToText();
    }

    private static JinjaText ExpandTabs(RenderContext context, JinjaText text, CallArguments arguments)
    {
        var size = Math.Clamp(Int(context, arguments.Bind(context, "expandtabs", "tabsize?")[0], 8, "tabsize"), 0, 1000);
        var builder = new JinjaTextBuilder(context);
        var column = 0;
        for (var i = 0; i < text.Length; i++)
        {
            if (text.Value[i] != '\t')
            {
                builder.Append(text, i, 1);
                column = text.Value[i] is '\n' or '\r' ? 0 : column + 1;
                continue;
            }
            var spaces = size == 0 ? 0 : size - column % size;
            builder.Append(' ', spaces, text.IsTemplateAt(i));
            column += spaces;
        }
        return builder.ToText();
    }

    private static bool AllRunes(JinjaText text, Func<Rune, bool> holds) => text.Length > 0 && text.Value.EnumerateRunes().All(holds);

    private static bool IsCase(JinjaText text, Func<Rune, bool> wanted, Func<Rune, bool> unwanted)
    {
        var any = false;
        foreach (var rune in text.Value.EnumerateRunes())
        {
            if (unwanted(rune))
                return false;
            any |= wanted(rune) && (Rune.IsUpper(rune) || Rune.IsLower(rune));
        }
        return any;
    }
}
