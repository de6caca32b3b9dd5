using System.Collections.Frozen;
using static LocalLlm.Chat.Jinja.BuiltinArguments;

namespace LocalLlm.Chat.Jinja;

/// <summary>The methods of Python's dict, list and tuple.</summary>
internal static class CollectionMethods
{
    private static readonly FrozenDictionary<string, MethodBody<JinjaDict>> OfDict = new Dictionary<string, MethodBody<JinjaDict>>
    {
        ["get"] = (c, d, a) =>
        {
            var bound = a.Bind(c, "get", "key", "default?");
            return d.TryGet(Key(c, bound[0]), out var value) ? value : Or(bound[1], null);
        },
        ["items"] = (c, d, a) => View(c, "dict_items", a, "items", Items(d)),
        ["keys"] = (c, d, a) => View(c, "dict_keys", a, "keys", d.Keys),
        ["values"] = (c, d, a) => View(c, "dict_values", a, "values", d.Values),
        ["copy"] = (c, d, a) =>
        {
            a.Bind(c, "copy");
            return Copy(c, d);
        },
        ["update"] = Update,
        ["setdefault"] = (c, d, a) =>
        {
            var bound = a.Bind(c, "setdefault", "key", "default?");
            if (d.TryGet(Key(c, bound[0]), out var value))
                return value;
            c.ChargeList(d.Count + 1);
            d.Set(bound[0], Or(bound[1], null));
            return Or(bound[1], null);
        },
        ["pop"] = (c, d, a) =>
        {
            var bound = a.Bind(c, "pop", "key", "default?");
            return d.Remove(Key(c, bound[0]), out var value) ? value
                : IsMissing(bound[1]) ? throw c.Error($"pop(): the dict has no key {PythonText.Repr(c, bound[0])}")
                : bound[1];
        },
        ["popitem"] = (c, d, a) =>
        {
            a.Bind(c, "popitem");
            if (d.Count == 0)
                throw c.Error("popitem(): the dict is empty");
            var (key, value) = d.Pairs.Last();
            d.Remove(key, out _);
            return new JinjaTuple(key, value);
        },
        ["clear"] = (c, d, a) =>
        {
            a.Bind(c, "clear");
            d.Clear();
            return null;
        },
    }.ToFrozenDictionary();

    private static readonly FrozenDictionary<string, MethodBody<JinjaList>> OfList = new Dictionary<string, MethodBody<JinjaList>>
    {
        ["append"] = (c, l, a) =>
        {
            var item = a.Bind(c, "append", "object")[0];
            Grow(c, l, 1);
            l.Items.Add(item);
            return null;
        },
        ["extend"] = (c, l, a) =>
        {
            var items = PythonOperators.ToList(c, a.Bind(c, "extend", "iterable")[0]);
            Grow(c, l, items.Count);
            l.Items.AddRange(items);
            return null;
        },
        ["insert"] = (c, l, a) =>
        {
            var bound = a.Bind(c, "insert", "index", "object");
            var index = Int(c, bound[0], 0, "index");
            Grow(c, l, 1);
            l.Items.Insert(Math.Clamp(index < 0 ? index + l.Items.Count : index, 0, l.Items.Count), bound[1]);
            return null;
        },
        ["pop"] = (c, l, a) =>
        {
            var index = Int(c, a.Bind(c, "pop", "index?")[0], -1, "index");
            index = index < 0 ? index + l.Items.Count : index;
            if (index < 0 || index >= l.Items.Count)
                throw c.Error(l.Items.Count == 0 ? "pop(): the list is empty" : "pop(): the index is out of range");
            var item = l.Items[index];
            l.Items.RemoveAt(index);
            return item;
        },
        ["remove"] = (c, l, a) =>
        {
            l.Items.RemoveAt(IndexOf(c, l.Items, a.Bind(c, "remove", "value")[0], "remove"));
            return null;
        },
        ["clear"] = (c, l, a) =>
        {
            a.Bind(c, "clear");
            l.Items.Clear();
            return null;
        },
        ["copy"] = (c, l, a) =>
        {
            a.Bind(c, "copy");
            c.ChargeList(l.Items.Count);
            return new JinjaList([.. l.Items]);
        },
        ["reverse"] = (c, l, a) =>
        {
            a.Bind(c, "reverse");
            c.ChargeList(l.Items.Count);
            l.Items.Reverse();
            return null;
        },
        ["sort"] = (c, l, a) =>
        {
            var bound = a.Bind(c, "sort", "reverse?");
            PythonSort.Sort(c, l.Items, i => i, Bool(bound[0], false));
            return null;
        },
        ["index"] = (c, l, a) => (long)IndexOf(c, l.Items, a.Bind(c, "index", "value")[0], "index"),
        ["count"] = (c, l, a) => Count(c, l.Items, a),
    }.ToFrozenDictionary();

    public static object? Get(JinjaDict self, string name) => OfDict.TryGetValue(name, out var body) ? new BoundMethod<JinjaDict>(name, self, body) : null;

    public static object? Get(JinjaList self, string name) => OfList.TryGetValue(name, out var body) ? new BoundMethod<JinjaList>(name, self, body) : null;

    public static object? Get(JinjaTuple self, string name) => name switch
    {
        "index" => new BuiltinFunction(name, (c, a) => (long)IndexOf(c, self.Items, a.Bind(c, "index", "value")[0], "index")),
        "count" => new BuiltinFunction(name, (c, a) => Count(c, self.Items, a)),
        _ => null,
    };

    /// <summary>The pairs of a dict as tuples.</summary>
    public static IEnumerable<object?> Items(JinjaDict dict) => dict.Pairs.Select(p => (object?)new JinjaTuple(p.Key, p.Value));

    public static JinjaDict Copy(RenderContext context, JinjaDict dict)
    {
        context.ChargeList(dict.Count);
        var copy = new JinjaDict();
        foreach (var (key, value) in dict.Pairs)
            copy.Set(key, value);
        return copy;
    }

    /// <summary>What dict(...) and dict.update(...) take: a dict or pairs, then named values.</summary>
    public static void Fill(RenderContext context, JinjaDict dict, CallArguments arguments, string function)
    {
        if (arguments.Positional.Count > 1)
            throw context.Error($"{function}() takes at most 1 positional argument; {arguments.Positional.Count} were given");
        if (arguments.Positional.Count == 1)
        {
            if (arguments.Positional[0] is JinjaDict other)
            {
                foreach (var (key, value) in Copy(context, other).Pairs)
                    dict.Set(key, value);
            }
            else
            {
                foreach (var pair in PythonOperators.ToList(context, arguments.Positional[0]))
                {
                    var parts = PythonOperators.ToList(context, pair);
                    if (parts.Count != 2)
                        throw context.Error($"{function}() needs pairs; one has {parts.Count} elements");
                    dict.Set(Key(context, parts[0]), parts[1]);
                }
            }
        }
        foreach (var (name, value) in arguments.Named)
            dict.Set(name, value);
        context.ChargeList(dict.Count);
    }

    private static object? Update(RenderContext context, JinjaDict dict, CallArguments arguments)
    {
        Fill(context, dict, arguments, "update");
        return null;
    }

    private static object? Key(RenderContext context, object? key) => JinjaDict.IsHashable(key)
        ? key
        : throw context.Error($"{PythonOperators.TypeName(key)} cannot be a key of a dict");

    private static JinjaDictView View(RenderContext context, string type, CallArguments arguments, string method, IEnumerable<object?> items)
    {
        arguments.Bind(context, method);
        var list = items.ToList();
        context.ChargeList(list.Count);
        return new(type, list);
    }

    private static void Grow(RenderContext context, JinjaList list, int added)
    {
        if (list.Items.Count + added > context.Limits.ListLength)
            context.ChargeList(list.Items.Count + added);
        context.Charge(added);
    }

    private static int IndexOf(RenderContext context, IReadOnlyList<object?> items, object? value, string method)
    {
        for (var i = 0; i < items.Count; i++)
        {
            context.Charge(1);
            if (PythonOperators.AreEqual(context, items[i], value))
                return i;
        }
        throw context.Error($"{method}(): the value is not in the list");
    }

    private static long Count(RenderContext context, IReadOnlyList<object?> items, CallArguments arguments)
    {
        var value = arguments.Bind(context, "count", "value")[0];
        context.Charge(items.Count);
        return items.LongCount(i => PythonOperators.AreEqual(context, i, value));
    }
}
