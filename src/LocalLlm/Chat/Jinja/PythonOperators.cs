using System.Numerics;

namespace LocalLlm.Chat.Jinja;

/// <summary>Truth, equality, order, hash and membership as Python defines them.</summary>
internal static partial class PythonOperators
{
    public static bool IsTrue(object? value) => value switch
    {
        null or Undefined => false,
        bool b => b,
        long i => i != 0,
        BigInteger i => !i.IsZero,
        double d => d != 0,
        JinjaText text => text.Length > 0,
        JinjaList list => list.Items.Count > 0,
        JinjaTuple tuple => tuple.Items.Length > 0,
        JinjaDict dict => dict.Count > 0,
        JinjaDictView view => view.Items.Count > 0,
        JinjaRange range => range.Count > 0,
        _ => true,
    };

    public static string TypeName(object? value) => value switch
    {
        null => "NoneType",
        Undefined => "Undefined",
        bool => "bool",
        long or BigInteger => "int",
        double => "float",
        JinjaText { IsMarkup: true } => "Markup",
        JinjaText => "str",
        JinjaList => "list",
        JinjaTuple => "tuple",
        JinjaDict => "dict",
        JinjaDictView view => view.Name,
        JinjaRange => "range",
        JinjaIterator => "generator",
        JinjaNamespace => "Namespace",
        LoopValue => "LoopContext",
        MacroValue => "Macro",
        JinjaCallable => "function",
        _ => value.GetType().Name,
    };

    public static bool IsInteger(object? value) => value is bool or long or BigInteger;

    public static bool IsNumber(object? value) => IsInteger(value) || value is double;

    public static BigInteger ToBigInteger(object? value) => value switch
    {
        bool b => b ? BigInteger.One : BigInteger.Zero,
        long i => i,
        BigInteger i => i,
        _ => throw new ArgumentException("Not an integer.", nameof(value)),
    };

    public static double ToDouble(object? value) => value switch
    {
        bool b => b ? 1 : 0,
        long i => i,
        BigInteger i => (double)i,
        double d => d,
        _ => throw new ArgumentException("Not a number.", nameof(value)),
    };

    /// <summary>The narrowest representation of an integer.</summary>
    public static object Integer(BigInteger value) =>
        value >= long.MinValue && value <= long.MaxValue ? (object)(long)value : value;

    /// <summary>Equality; <paramref name="context"/> bounds the work on nested values and may be null for keys of dicts.</summary>
    public static bool AreEqual(RenderContext? context, object? left, object? right)
    {
        switch (left, right)
        {
            case (JinjaText a, JinjaText b):
                return a.Equals(b);
            case (long a, long b):
                return a == b;
            case (null, null) or (Undefined, Undefined):
                return true;
            case (JinjaList a, JinjaList b):
                return ReferenceEquals(a, b) || AreEqual(context, a.Items, b.Items);
            case (JinjaTuple a, JinjaTuple b):
                return ReferenceEquals(a, b) || AreEqual(context, a.Items, b.Items);
            case (JinjaDict a, JinjaDict b):
                return ReferenceEquals(a, b) || AreEqual(context, a, b);
            case (JinjaRange a, JinjaRange b):
                return a.Count == b.Count && (a.Count == 0 || (a.Start == b.Start && (a.Count == 1 || a.Step == b.Step)));
        }
        if (IsNumber(left) && IsNumber(right))
            return CompareNumbers(left, right) == 0;
        return ReferenceEquals(left, right);
    }

    private static bool AreEqual(RenderContext? context, IReadOnlyList<object?> left, IReadOnlyList<object?> right)
    {
        if (left.Count != right.Count)
            return false;
        context?.EnterValue();
        var equal = true;
        for (var i = 0; i < left.Count && equal; i++)
        {
            context?.Charge(1);
            equal = AreEqual(context, left[i], right[i]);
        }
        context?.Leave();
        return equal;
    }

    private static bool AreEqual(RenderContext? context, JinjaDict left, JinjaDict right)
    {
        if (left.Count != right.Count)
            return false;
        context?.EnterValue();
        var equal = true;
        foreach (var (key, value) in left.Pairs)
        {
            context?.Charge(1);
            if (!right.TryGet(key, out var other) || !AreEqual(context, value, other))
            {
                equal = false;
                break;
            }
        }
        context?.Leave();
        return equal;
    }

    public static int Hash(object? value)
    {
        switch (value)
        {
            case bool or long or BigInteger:
                return ToBigInteger(value).GetHashCode();
            case double d when double.IsInteger(d):
                return new BigInteger(d).GetHashCode();
            case JinjaTuple tuple:
                var hash = new HashCode();
                foreach (var item in tuple.Items)
                    hash.Add(Hash(item));
                return hash.ToHashCode();
            case Undefined:
                return 1;
            default:
                return value?.GetHashCode() ?? 0;
        }
    }

    /// <summary>Order of two values, or null for a comparison with NaN; an error if Python has no order for them.</summary>
    public static int? Compare(RenderContext context, object? left, object? right, string symbol = "<")
    {
        switch (left, right)
        {
            case (JinjaText a, JinjaText b):
                return JinjaText.Compare(a, b);
            case (JinjaList a, JinjaList b):
                return CompareSequences(context, a.Items, b.Items, symbol);
            case (JinjaTuple a, JinjaTuple b):
                return CompareSequences(context, a.Items, b.Items, symbol);
        }
        if (IsNumber(left) && IsNumber(right))
            return CompareNumbers(left, right);
        throw (left as Undefined ?? right as Undefined) is { } undefined
            ? context.Error(undefined.Message)
            : context.Error($"'{symbol}' is not supported between {TypeName(left)} and {TypeName(right)}");
    }

    private static int? CompareSequences(RenderContext context, IReadOnlyList<object?> left, IReadOnlyList<object?> right, string symbol)
    {
        context.EnterValue();
        int? order = left.Count.CompareTo(right.Count);
        for (var i = 0; i < left.Count && i < right.Count; i++)
        {
            if (!AreEqual(context, left[i], right[i]))
            {
                order = Compare(context, left[i], right[i], symbol);
                break;
            }
        }
        context.Leave();
        return order;
    }

    private static int? CompareNumbers(object? left, object? right)
    {
        if (IsInteger(left) && IsInteger(right))
            return ToBigInteger(left).CompareTo(ToBigInteger(right));
        double a = ToDouble(left), b = ToDouble(right);
        if (double.IsNaN(a) || double.IsNaN(b))
            return null;
        // An integer beyond 2^53 is compared exactly with a float, as Python does.
        if (double.IsFinite(a) && double.IsFinite(b) && double.IsInteger(a) && double.IsInteger(b))
            return ExactInteger(left).CompareTo(ExactInteger(right));
        return a.CompareTo(b);
    }

    private static BigInteger ExactInteger(object? value) => value is double d ? new BigInteger(d) : ToBigInteger(value);

    /// <summary>Python's <c>in</c>.</summary>
    public static bool Contains(RenderContext context, object? container, object? item)
    {
        switch (container)
        {
            case JinjaText text:
                return item switch
                {
                    JinjaText part => Find(context, text, part),
                    Undefined undefined => throw context.Error(undefined.Message),
                    _ => throw context.Error($"'in <string>' needs a string on the left, not {TypeName(item)}"),
                };
            case JinjaDict dict:
                return JinjaDict.IsHashable(item) ? dict.Contains(item) : throw context.Error($"{TypeName(item)} cannot be a key of a dict");
            case Undefined:
                return false;
            case IJinjaIterable iterable:
                foreach (var element in iterable.Iterate())
                {
                    context.Charge(1);
                    if (AreEqual(context, element, item))
                        return true;
                }
                return false;
            default:
                throw context.Error($"{TypeName(container)} is not a container: 'in' cannot search it");
        }
    }

    private static bool Find(RenderContext context, JinjaText text, JinjaText part)
    {
        context.Charge(1 + text.Length / 1024);
        return text.Value.Contains(part.Value, StringComparison.Ordinal);
    }

    /// <summary>The elements of a value that can be looped over.</summary>
    public static IEnumerable<object?> Iterate(RenderContext context, object? value) => value switch
    {
        IJinjaIterable iterable => iterable.Iterate(),
        JinjaText text => Characters(context, text),
        Undefined => [],
        _ => throw context.Error($"{TypeName(value)} cannot be looped over"),
    };

    /// <summary>The elements of a value, copied.</summary>
    public static List<object?> ToList(RenderContext context, object? value)
    {
        var items = new List<object?>();
        foreach (var item in Iterate(context, value))
        {
            if ((items.Count & 63) == 0)
                context.ChargeList(items.Count + 64 > context.Limits.ListLength ? items.Count + 1 : 64);
            items.Add(item);
        }
        if (items.Count > context.Limits.ListLength)
            context.ChargeList(items.Count);
        return items;
    }

    private static IEnumerable<object?> Characters(RenderContext context, JinjaText text)
    {
        text = text.AsPlain();
        for (var i = 0; i < text.CodePointCount; i++)
        {
            context.ChargeString(1);
            yield return text.SliceCodePoints(i, i + 1);
        }
    }
}
