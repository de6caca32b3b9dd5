using static LocalLlm.Chat.Jinja.BuiltinArguments;

namespace LocalLlm.Chat.Jinja;

/// <summary>Filters over lists, dicts and whatever else can be looped over.</summary>
internal static class SequenceFilters
{
    public static Dictionary<string, FilterBody> All { get; } = new()
    {
        ["length"] = (c, v, a) => Length(c, v, a),
        ["count"] = (c, v, a) => Length(c, v, a),
        ["list"] = (c, v, a) => new JinjaList(PythonOperators.ToList(c, JinjaFilters.None(c, "list", v, a))),
        ["items"] = Items,
        ["first"] = (c, v, a) => FirstOf(c, JinjaFilters.None(c, "first", v, a)),
        ["last"] = (c, v, a) => LastOf(c, JinjaFilters.None(c, "last", v, a)),
        ["reverse"] = Reverse,
        ["join"] = Join,
        ["sort"] = Sort,
        ["dictsort"] = DictSort,
        ["unique"] = Unique,
        ["min"] = (c, v, a) => Extreme(c, "min", v, a, (item, best) => PythonOperators.Compare(c, item, best) < 0),
        ["max"] = (c, v, a) => Extreme(c, "max", v, a, (item, best) => PythonOperators.Compare(c, item, best, ">") > 0),
        ["sum"] = Sum,
        ["map"] = Map,
        ["select"] = (c, v, a) => Select(c, v, a, byAttribute: false, wanted: true),
        ["reject"] = (c, v, a) => Select(c, v, a, byAttribute: false, wanted: false),
        ["selectattr"] = (c, v, a) => Select(c, v, a, byAttribute: true, wanted: true),
        ["rejectattr"] = (c, v, a) => Select(c, v, a, byAttribute: true, wanted: false),
        ["groupby"] = GroupBy,
        ["batch"] = Batch,
        ["slice"] = Slice,
    };

    private static long Length(RenderContext context, object? value, CallArguments arguments) => JinjaFilters.None(context, "length", value, arguments) switch
    {
        JinjaText text => (long)text.CodePointCount,
        JinjaList list => (long)list.Items.Count,
        JinjaTuple tuple => (long)tuple.Items.Length,
        JinjaDict dict => (long)dict.Count,
        JinjaDictView view => (long)view.Items.Count,
        JinjaRange range => (long)range.Count,
        JinjaIterator iterator => (long)iterator.Left,
        Undefined => 0L,
        _ => throw context.Error($"length: {PythonOperators.TypeName(value)} has no length"),
    };

    private static JinjaIterator Items(RenderContext context, object? value, CallArguments arguments) => JinjaFilters.None(context, "items", value, arguments) switch
    {
        JinjaDict dict => new JinjaIterator([.. CollectionMethods.Items(dict)]),
        Undefined => new JinjaIterator([]),
        _ => throw context.Error($"items needs a dict, not {PythonOperators.TypeName(value)}"),
    };

    private static object? FirstOf(RenderContext context, object? value)
    {
        foreach (var item in PythonOperators.Iterate(context, value))
            return item;
        return new Undefined("No first item, sequence was empty.");
    }

    private static object? LastOf(RenderContext context, object? value)
    {
        var items = PythonOperators.ToList(context, value);
        if (items.Count > 0)
            return items[^1];
        return new Undefined("No last item, sequence was empty.");
    }

    private static object? Reverse(RenderContext context, object? value, CallArguments arguments)
    {
        arguments.Bind(context, "reverse");
        if (value is JinjaText)
            return Access.Slice(context, value, null, null, -1L);
        var items = PythonOperators.ToList(context, value);
        items.Reverse();
        return new JinjaIterator(items);
    }

    private static JinjaText Join(RenderContext context, object? value, CallArguments arguments)
    {
        var bound = arguments.Bind(context, "join", "d?", "attribute?");
        var separator = PythonText.Str(context, Or(bound[0], JinjaText.Empty));
        var key = Getter(context, bound[1]);
        var texts = PythonOperators.ToList(context, value).Select(i => (object?)PythonText.Str(context, key(i))).ToList();
        return StringMethods.Join(context, separator, texts);
    }

    /// <summary>Reads an attribute given as <c>'a.b.0'</c> or as an index; without one, the element itself.</summary>
    private static Func<object?, object?> Getter(RenderContext context, object? attribute, object? fallback = null, bool ignoreCase = false)
    {
        object?[] path = Or(attribute, null) switch
        {
            null => [],
            JinjaText text => [.. text.Value.Split('.').Select(p => p.All(char.IsAsciiDigit) && long.TryParse(p, out var index) ? (object)index : JinjaText.Template(p))],
            var index => [index],
        };
        return item =>
        {
            foreach (var part in path)
            {
                context.Charge(1);
                item = Access.Item(context, item, part);
                if (item is Undefined && fallback is not null && !IsMissing(fallback))
                    item = fallback;
            }
            return ignoreCase && item is JinjaText text ? StringMethods.Lower(context, text) : item;
        };
    }

    private static JinjaList Sort(RenderContext context, object? value, CallArguments arguments)
    {
        var bound = arguments.Bind(context, "sort", "reverse?", "case_sensitive?", "attribute?");
        var ignoreCase = !Bool(bound[1], false);
        var items = PythonOperators.ToList(context, value);
        object?[] attributes = bound[2] is JinjaText names ? [.. names.Value.Split(',').Select(JinjaText.Template)] : [bound[2]];
        var keys = attributes.Select(n => Getter(context, n, null, ignoreCase)).ToArray();
        // As sequences, keys need no order where they are equal: undefined ones, for instance.
        PythonSort.Sort(context, items, i => new JinjaTuple([.. keys.Select(k => k(i))]), Bool(bound[0], false));
        return new JinjaList(items);
    }

    private static JinjaList DictSort(RenderContext context, object? value, CallArguments arguments)
    {
        var bound = arguments.Bind(context, "dictsort", "case_sensitive?", "by?", "reverse?");
        var by = IsMissing(bound[1]) ? "key" : Text(context, bound[1], "by").Value;
        if (by is not ("key" or "value"))
            throw context.Error("dictsort: by must be 'key' or 'value'");
        if (value is not JinjaDict dict)
            throw context.Error(value is Undefined undefined ? undefined.Message : $"dictsort needs a dict, not {PythonOperators.TypeName(value)}");
        var pairs = CollectionMethods.Items(dict).ToList();
        var key = Getter(context, by == "key" ? 0L : 1L, null, !Bool(bound[0], false));
        PythonSort.Sort(context, pairs, key, Bool(bound[2], false));
        return new JinjaList(pairs);
    }

    private static JinjaIterator Unique(RenderContext context, object? value, CallArguments arguments)
    {
        var bound = arguments.Bind(context, "unique", "case_sensitive?", "attribute?");
        var key = Getter(context, bound[1], null, !Bool(bound[0], false));
        var seen = new JinjaDict();
        var kept = new List<object?>();
        foreach (var item in PythonOperators.ToList(context, value))
        {
            var k = key(item);
            if (!JinjaDict.IsHashable(k))
                throw context.Error($"unique: {PythonOperators.TypeName(k)} cannot be hashed");
            if (seen.Contains(k))
                continue;
            seen.Set(k, null);
            kept.Add(item);
        }
        return new JinjaIterator(kept);
    }

    private static object? Extreme(RenderContext context, string name, object? value, CallArguments arguments, Func<object?, object?, bool> isBetter)
    {
        var bound = arguments.Bind(context, name, "case_sensitive?", "attribute?");
        var key = Getter(context, bound[1], null, !Bool(bound[0], false));
        object? best = null, bestKey = null;
        var any = false;
        foreach (var item in PythonOperators.ToList(context, value))
        {
            var k = key(item);
            if (!any || isBetter(k, bestKey))
                (best, bestKey) = (item, k);
            any = true;
        }
        return any ? best : new Undefined("No aggregated item, sequence was empty.");
    }

    private static object? Sum(RenderContext context, object? value, CallArguments arguments)
    {
        var bound = arguments.Bind(context, "sum", "attribute?", "start?");
        var key = Getter(context, bound[0]);
        var total = Or(bound[1], 0L);
        if (total is JinjaText)
            throw context.Error("sum cannot add strings; use join");
        foreach (var item in PythonOperators.ToList(context, value))
            total = PythonOperators.Add(context, total, key(item));
        return total;
    }

    // These filters take anything false for an empty list.
    private static List<object?> Items(RenderContext context, object? value) =>
        value is IJinjaIterable || PythonOperators.IsTrue(value) ? PythonOperators.ToList(context, value) : [];

    private static JinjaIterator Map(RenderContext context, object? value, CallArguments arguments)
    {
        var items = Items(context, value);
        if (arguments.Positional.Count == 0)
        {
            var bound = arguments.Bind(context, "map", "attribute", "default?");
            return new JinjaIterator(items.ConvertAll(i => Getter(context, bound[0], bound[1])(i)));
        }
        var name = Text(context, arguments.Positional[0], "map: the filter").Value;
        var rest = new CallArguments([.. arguments.Positional.Skip(1)], arguments.Named);
        return new JinjaIterator(items.ConvertAll(i => JinjaFilters.Apply(context, name, i, rest)));
    }

    private static JinjaIterator Select(RenderContext context, object? value, CallArguments arguments, bool byAttribute, bool wanted)
    {
        var rest = arguments.Positional;
        Func<object?, object?> key = i => i;
        if (byAttribute)
        {
            if (rest.Count == 0)
                throw context.Error("selectattr and rejectattr need the name of an attribute");
            key = Getter(context, rest[0]);
            rest = [.. rest.Skip(1)];
        }
        Func<object?, bool> holds = PythonOperators.IsTrue;
        if (rest.Count > 0)
        {
            var test = Text(context, rest[0], "the test").Value;
            var testArguments = new CallArguments([.. rest.Skip(1)], arguments.Named);
            holds = i => JinjaTests.Holds(context, test, i, testArguments);
        }
        var kept = new List<object?>();
        foreach (var item in Items(context, value))
        {
            context.Charge(1);
            if (holds(key(item)) == wanted)
                kept.Add(item);
        }
        return new JinjaIterator(kept);
    }

    private static JinjaList GroupBy(RenderContext context, object? value, CallArguments arguments)
    {
        var bound = arguments.Bind(context, "groupby", "attribute", "default?", "case_sensitive?");
        var ignoreCase = !Bool(bound[2], false);
        var key = Getter(context, bound[0], bound[1]);
        var sortKey = Getter(context, bound[0], bound[1], ignoreCase);
        var items = PythonOperators.ToList(context, value);
        PythonSort.Sort(context, items, sortKey, reverse: false);
        var groups = new List<object?>();
        List<object?>? current = null;
        object? currentKey = null;
        foreach (var item in items)
        {
            var k = sortKey(item);
            if (current is null || !PythonOperators.AreEqual(context, k, currentKey))
            {
                (current, currentKey) = ([], k);
                groups.Add(new JinjaGroup(key(item), new JinjaList(current)));
            }
            current.Add(item);
        }
        return new JinjaList(groups);
    }

    private static JinjaIterator Batch(RenderContext context, object? value, CallArguments arguments)
    {
        var bound = arguments.Bind(context, "batch", "linecount", "fill_with?");
        var size = Int(context, bound[0], 1, "linecount");
        if (size < 1)
            throw context.Error("batch: the count must be at least 1");
        var batches = new List<object?>();
        foreach (var chunk in PythonOperators.ToList(context, value).Chunk(size))
            batches.Add(new JinjaList([.. chunk]));
        if (Or(bound[1], null) is { } fill && batches.Count > 0 && batches[^1] is JinjaList last)
        {
            context.ChargeList(size);
            last.Items.AddRange(Enumerable.Repeat(fill, size - last.Items.Count));
        }
        return new JinjaIterator(batches);
    }

    private static JinjaIterator Slice(RenderContext context, object? value, CallArguments arguments)
    {
        var bound = arguments.Bind(context, "slice", "slices", "fill_with?");
        var count = Int(context, bound[0], 1, "slices");
        if (count < 1)
            throw context.Error("slice: the count must be at least 1");
        context.ChargeList(count);
        var items = PythonOperators.ToList(context, value);
        var slices = new List<object?>();
        var (size, longer) = (items.Count / count, items.Count % count);
        var from = 0;
        for (var i = 0; i < count; i++)
        {
            var length = size + (i < longer ? 1 : 0);
            var slice = items.GetRange(from, length);
            if (Or(bound[1], null) is { } fill && i >= longer)
                slice.Add(fill);
            slices.Add(new JinjaList(slice));
            from += length;
        }
        return new JinjaIterator(slices);
    }
}

/// <summary>A group of the filter <c>groupby</c>: a pair whose parts also have names.</summary>
internal sealed class JinjaGroup(object? grouper, JinjaList list) : IJinjaIterable, IJinjaAttributes
{
    public IEnumerable<object?> Iterate() => [grouper, list];

    public bool TryGetAttribute(RenderContext context, string name, out object? value)
    {
        value = name == "grouper" ? grouper : list;
        return name is "grouper" or "list";
    }
}
