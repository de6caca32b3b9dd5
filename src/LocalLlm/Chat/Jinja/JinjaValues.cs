using System.Diagnostics.CodeAnalysis;

namespace LocalLlm.Chat.Jinja;

// A value is: null (Python's None), bool, long, BigInteger (only where long is too narrow), double, JinjaText, or a class of this file.

/// <summary>A value that does not exist. Printing it gives nothing; using it is an error that tells what was missing.</summary>
internal sealed class Undefined(string message)
{
    public string Message => message;

    public static Undefined Variable(string name) => new($"'{name}' is undefined");
}

/// <summary>Something that can be looped over.</summary>
internal interface IJinjaIterable
{
    IEnumerable<object?> Iterate();
}

/// <summary>A Python list.</summary>
internal sealed class JinjaList(List<object?> items) : IJinjaIterable
{
    public JinjaList() : this([])
    {
    }

    public List<object?> Items => items;

    /// <summary>
    /// True for the list of tools: printed whole it is JSON, as huggingface.js prints it, because models are trained to read tools as JSON.
    /// Every other list prints as Python's.
    /// </summary>
    public bool PrintsAsJson { get; init; }

    public IEnumerable<object?> Iterate() => items;
}

/// <summary>A Python tuple.</summary>
internal sealed class JinjaTuple(params object?[] items) : IJinjaIterable
{
    public object?[] Items => items;

    public IEnumerable<object?> Iterate() => items;
}

/// <summary>A Python dict: insertion order, keys compared as Python does.</summary>
internal sealed class JinjaDict : IJinjaIterable
{
    // Dictionary keys cannot be null.
    private static readonly object NoneKey = new();

    private readonly OrderedDictionary<object, object?> _items = new(KeyComparer.Instance);

    public int Count => _items.Count;

    public IEnumerable<object?> Keys => _items.Keys.Select(FromKey);

    public IEnumerable<object?> Values => _items.Values;

    public IEnumerable<KeyValuePair<object?, object?>> Pairs => _items.Select(p => KeyValuePair.Create(FromKey(p.Key), p.Value));

    public IEnumerable<object?> Iterate() => Keys;

    public bool TryGet(object? key, out object? value) => _items.TryGetValue(key ?? NoneKey, out value);

    public bool Contains(object? key) => _items.ContainsKey(key ?? NoneKey);

    public void Set(object? key, object? value) => _items[key ?? NoneKey] = value;

    public void Set(string key, object? value) => _items[JinjaText.Template(key)] = value;

    public bool Remove(object? key, out object? value) => _items.Remove(key ?? NoneKey, out value);

    public void Clear() => _items.Clear();

    /// <summary>True if Python would accept it as a key.</summary>
    public static bool IsHashable(object? key) => key switch
    {
        JinjaList or JinjaDict => false,
        JinjaTuple tuple => tuple.Items.All(IsHashable),
        _ => true,
    };

    private static object? FromKey(object key) => ReferenceEquals(key, NoneKey) ? null : key;

    private sealed class KeyComparer : IEqualityComparer<object>
    {
        public static KeyComparer Instance { get; } = new();

        public new bool Equals(object? x, object? y) => ReferenceEquals(x, y) || PythonOperators.AreEqual(null, x, y);

        public int GetHashCode([DisallowNull] object obj) => PythonOperators.Hash(obj);
    }
}

/// <summary>Python's dict.keys(), .values() or .items(): has a length, but no index.</summary>
internal sealed class JinjaDictView(string name, IReadOnlyList<object?> items) : IJinjaIterable
{
    public string Name => name;

    public IReadOnlyList<object?> Items => items;

    public IEnumerable<object?> Iterate() => items;
}

/// <summary>A Python range.</summary>
internal sealed class JinjaRange(long start, long stop, long step, int count) : IJinjaIterable
{
    public long Start => start;

    public long Stop => stop;

    public long Step => step;

    public int Count => count;

    public object? this[int index] => start + index * step;

    public IEnumerable<object?> Iterate()
    {
        for (var i = 0; i < count; i++)
            yield return this[i];
    }
}

/// <summary>A Python generator, as filters such as map yield one: true even if empty, and read only once.</summary>
internal sealed class JinjaIterator(IReadOnlyList<object?> items) : IJinjaIterable
{
    private int _next;

    public int Left => items.Count - _next;

    public IEnumerable<object?> Iterate()
    {
        while (_next < items.Count)
            yield return items[_next++];
    }
}

/// <summary>A value whose attributes are computed.</summary>
internal interface IJinjaAttributes
{
    bool TryGetAttribute(RenderContext context, string name, out object? value);
}

/// <summary>What <c>namespace()</c> makes: the only object whose attributes a template can set.</summary>
internal sealed class JinjaNamespace : IJinjaAttributes
{
    private readonly Dictionary<string, object?> _attributes = new(StringComparer.Ordinal);

    public IReadOnlyDictionary<string, object?> Attributes => _attributes;

    public void Set(string name, object? value) => _attributes[name] = value;

    public bool TryGetAttribute(RenderContext context, string name, out object? value) => _attributes.TryGetValue(name, out value);
}

/// <summary>Something that can be called.</summary>
internal abstract class JinjaCallable
{
    public abstract string Name { get; }

    public abstract object? Invoke(RenderContext context, CallArguments arguments);
}

internal delegate object? BuiltinBody(RenderContext context, CallArguments arguments);

/// <summary>A function of the language.</summary>
internal sealed class BuiltinFunction(string name, BuiltinBody body) : JinjaCallable
{
    public override string Name => name;

    public override object? Invoke(RenderContext context, CallArguments arguments) => body(context, arguments);
}

internal delegate object? MethodBody<in T>(RenderContext context, T self, CallArguments arguments);

/// <summary>A method together with its object.</summary>
internal sealed class BoundMethod<T>(string name, T self, MethodBody<T> body) : JinjaCallable
{
    public override string Name => name;

    public override object? Invoke(RenderContext context, CallArguments arguments) => body(context, self, arguments);
}

/// <summary>What <c>cycler()</c> makes.</summary>
internal sealed class JinjaCycler(IReadOnlyList<object?> items) : IJinjaAttributes
{
    private int _position;

    public bool TryGetAttribute(RenderContext context, string name, out object? value)
    {
        value = name switch
        {
            "current" => items[_position],
            "next" => new BuiltinFunction("next", (_, _) =>
            {
                var current = items[_position];
                _position = (_position + 1) % items.Count;
                return current;
            }),
            "reset" => new BuiltinFunction("reset", (_, _) =>
            {
                _position = 0;
                return null;
            }),
            _ => this,
        };
        return !ReferenceEquals(value, this);
    }
}

/// <summary>The arguments of a call, and their binding to the names of parameters.</summary>
internal sealed class CallArguments(IReadOnlyList<object?> positional, IReadOnlyList<KeyValuePair<string, object?>> named)
{
    /// <summary>Stands for an optional argument that was not given.</summary>
    public static readonly object Missing = new();

    public static CallArguments None { get; } = new([], []);

    public IReadOnlyList<object?> Positional => positional;

    public IReadOnlyList<KeyValuePair<string, object?>> Named => named;

    public static CallArguments Of(params object?[] positional) => new(positional, []);

    /// <summary>Binds to parameters in order; a name that ends in '?' is optional and bound to <see cref="Missing"/> if not given.</summary>
    public object?[] Bind(RenderContext context, string function, params ReadOnlySpan<string> parameters)
    {
        var values = new object?[parameters.Length];
        if (positional.Count > parameters.Length)
            throw context.Error($"{function}() takes at most {parameters.Length} arguments; {positional.Count} were given");
        for (var i = 0; i < parameters.Length; i++)
            values[i] = i < positional.Count ? positional[i] : Missing;
        foreach (var (name, value) in named)
        {
            var index = -1;
            for (var i = 0; i < parameters.Length; i++)
                if (parameters[i].AsSpan().TrimEnd('?').SequenceEqual(name))
                    index = i;
            if (index < 0)
                throw context.Error($"{function}() has no parameter '{name}'");
            if (!ReferenceEquals(values[index], Missing))
                throw context.Error($"{function}() got two values for '{name}'");
            values[index] = value;
        }
        for (var i = 0; i < parameters.Length; i++)
            if (ReferenceEquals(values[i], Missing) && !parameters[i].EndsWith('?'))
                throw context.Error($"{function}() needs the argument '{parameters[i]}'");
        return values;
    }
}
