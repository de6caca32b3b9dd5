using System.Numerics;

namespace LocalLlm.Chat.Jinja;

/// <summary>Attributes, elements and slices of values.</summary>
internal static class Access
{
    /// <summary><c>value.name</c>: a method or attribute first, then an element of that name, else undefined.</summary>
    public static object? Attribute(RenderContext context, object? value, string name)
    {
        if (value is Undefined undefined)
            throw context.Error(undefined.Message);
        if (TryGetAttribute(context, value, name, out var attribute))
            return attribute;
        return value is JinjaDict dict && dict.TryGet(JinjaText.Template(name), out var element)
            ? element
            : Missing(value, $"attribute '{name}'");
    }

    /// <summary><c>value[key]</c>: an element first, then a method or attribute of that name, else undefined.</summary>
    public static object? Item(RenderContext context, object? value, object? key)
    {
        switch (value)
        {
            case Undefined undefined:
                throw context.Error(undefined.Message);
            case JinjaDict dict when JinjaDict.IsHashable(key) && dict.TryGet(key, out var element):
                return element;
            case JinjaList list when Index(key, list.Items.Count) is { } index:
                return list.Items[index];
            case JinjaTuple tuple when Index(key, tuple.Items.Length) is { } index:
                return tuple.Items[index];
            case JinjaRange range when Index(key, range.Count) is { } index:
                return range[index];
            case JinjaText text when key is long or bool && Index(key, text.CodePointCount) is { } index:
                return text.SliceCodePoints(index, index + 1);
        }
        if (key is JinjaText name && TryGetAttribute(context, value, name.Value, out var attribute))
            return attribute;
        return Missing(value, key is JinjaText ? $"attribute '{key}'" : $"element {(PythonOperators.IsNumber(key) ? PythonText.Scalar(key) : PythonOperators.TypeName(key))}");
    }

    /// <summary><c>value[start:stop:step]</c>.</summary>
    public static object? Slice(RenderContext context, object? value, object? start, object? stop, object? step)
    {
        var by = Bound(context, step) ?? 1;
        if (by == 0)
            throw context.Error("The step of a slice is 0");
        switch (value)
        {
            case JinjaText text when by == 1:
                var (first, count) = Resolve(context, text.CodePointCount, start, stop, by);
                var part = text.SliceCodePoints(first, first + count);
                context.ChargeString(part.Length);
                return part;
            case JinjaText text:
                var builder = new JinjaTextBuilder(context);
                foreach (var i in Indexes(context, text.CodePointCount, start, stop, by))
                    builder.Append(text, text.Utf16Index(i), text.Utf16Index(i + 1) - text.Utf16Index(i));
                return builder.ToText();
            case JinjaList list:
                return new JinjaList([.. Indexes(context, list.Items.Count, start, stop, by).Select(i => list.Items[i])]);
            case JinjaTuple tuple:
                return new JinjaTuple([.. Indexes(context, tuple.Items.Length, start, stop, by).Select(i => tuple.Items[i])]);
            case JinjaRange range:
                var (begin, size) = Resolve(context, range.Count, start, stop, by);
                var newStart = range.Start + begin * range.Step;
                return new JinjaRange(newStart, newStart + size * range.Step * by, range.Step * by, size);
            case Undefined undefined:
                throw context.Error(undefined.Message);
            default:
                throw context.Error($"{PythonOperators.TypeName(value)} cannot be sliced");
        }
    }

    private static bool TryGetAttribute(RenderContext context, object? value, string name, out object? attribute)
    {
        attribute = value switch
        {
            JinjaText text => StringMethods.Get(text, name),
            JinjaDict dict => CollectionMethods.Get(dict, name),
            JinjaList list => CollectionMethods.Get(list, name),
            JinjaTuple tuple => CollectionMethods.Get(tuple, name),
            double number when name == "is_integer" => new BuiltinFunction(name, (_, _) => double.IsInteger(number)),
            JinjaRange range => name switch { "start" => range.Start, "stop" => range.Stop, "step" => range.Step, _ => null },
            _ => null,
        };
        return attribute is not null || (value is IJinjaAttributes attributes && attributes.TryGetAttribute(context, name, out attribute));
    }

    private static Undefined Missing(object? value, string what) => new(value switch
    {
        null => $"None has no {what}",
        _ => $"'{PythonOperators.TypeName(value)} object' has no {what}",
    });

    private static int? Index(object? key, int count)
    {
        var index = key switch { long i => i, bool b => b ? 1 : 0, _ => long.MaxValue };
        if (index < 0)
            index += count;
        return index >= 0 && index < count ? (int)index : null;
    }

    private static long? Bound(RenderContext context, object? value) => value switch
    {
        null => null,
        long i => i,
        bool b => b ? 1 : 0,
        BigInteger i => i.Sign < 0 ? int.MinValue : int.MaxValue,
        Undefined undefined => throw context.Error(undefined.Message),
        _ => throw context.Error($"A slice needs integers, not {PythonOperators.TypeName(value)}"),
    };

    private static (int First, int Count) Resolve(RenderContext context, int length, object? start, object? stop, long step)
    {
        long lowest = step > 0 ? 0 : -1, highest = step > 0 ? length : length - 1;
        var from = Bound(context, start) is { } a ? Math.Clamp(a < 0 ? a + length : a, lowest, highest) : step > 0 ? lowest : highest;
        var to = Bound(context, stop) is { } b ? Math.Clamp(b < 0 ? b + length : b, lowest, highest) : step > 0 ? highest : lowest;
        var distance = step > 0 ? to - from : from - to;
        // |step| may be as large as an integer gets: count by division, not by stepping.
        var count = distance <= 0 ? 0 : 1 + (distance - 1) / Math.Abs(Math.Max(step, -int.MaxValue));
        return ((int)from, (int)count);
    }

    private static IEnumerable<int> Indexes(RenderContext context, int length, object? start, object? stop, long step)
    {
        var (first, count) = Resolve(context, length, start, stop, step);
        context.ChargeList(count);
        for (var i = 0; i < count; i++)
            yield return (int)(first + i * step);
    }
}
