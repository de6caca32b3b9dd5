namespace LocalLlm.Chat.Jinja;

/// <summary>A node of the syntax tree that has a value.</summary>
internal abstract class Expression(SourcePosition position)
{
    public SourcePosition Position => position;

    public object? Evaluate(RenderContext context)
    {
        context.Enter(position);
        var value = Compute(context);
        context.Leave();
        return value;
    }

    protected abstract object? Compute(RenderContext context);
}

internal sealed class Literal(SourcePosition position, object? value) : Expression(position)
{
    public object? Value => value;

    protected override object? Compute(RenderContext context) => value;
}

internal sealed class Variable(SourcePosition position, string name) : Expression(position)
{
    public string Name => name;

    protected override object? Compute(RenderContext context) =>
        context.Scope.TryGet(name, out var value) ? value : Undefined.Variable(name);
}

internal sealed class SequenceLiteral(SourcePosition position, IReadOnlyList<Expression> items, bool isTuple) : Expression(position)
{
    public IReadOnlyList<Expression> Items => items;

    protected override object? Compute(RenderContext context)
    {
        context.ChargeList(items.Count);
        var values = new object?[items.Count];
        for (var i = 0; i < values.Length; i++)
            values[i] = items[i].Evaluate(context);
        return isTuple ? new JinjaTuple(values) : new JinjaList([.. values]);
    }
}

internal sealed class DictLiteral(SourcePosition position, IReadOnlyList<(Expression Key, Expression Value)> pairs) : Expression(position)
{
    protected override object? Compute(RenderContext context)
    {
        var dict = new JinjaDict();
        foreach (var (key, value) in pairs)
        {
            var name = key.Evaluate(context);
            if (!JinjaDict.IsHashable(name))
                throw context.Error($"{PythonOperators.TypeName(name)} cannot be a key of a dict");
            dict.Set(name, value.Evaluate(context));
        }
        return dict;
    }
}

internal enum BinaryOperator
{
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Modulo,
    Power,
    And,
    Or,
}

internal sealed class Binary(SourcePosition position, BinaryOperator @operator, Expression left, Expression right) : Expression(position)
{
    protected override object? Compute(RenderContext context)
    {
        var a = left.Evaluate(context);
        if (@operator == BinaryOperator.And)
            return PythonOperators.IsTrue(a) ? right.Evaluate(context) : a;
        if (@operator == BinaryOperator.Or)
            return PythonOperators.IsTrue(a) ? a : right.Evaluate(context);
        var b = right.Evaluate(context);
        context.At(Position);
        return @operator switch
        {
            BinaryOperator.Add => PythonOperators.Add(context, a, b),
            BinaryOperator.Subtract => PythonOperators.Subtract(context, a, b),
            BinaryOperator.Multiply => PythonOperators.Multiply(context, a, b),
            BinaryOperator.Divide => PythonOperators.Divide(context, a, b),
            BinaryOperator.FloorDivide => PythonOperators.FloorDivide(context, a, b),
            BinaryOperator.Modulo => PythonOperators.Modulo(context, a, b),
            _ => PythonOperators.Power(context, a, b),
        };
    }
}

internal enum UnaryOperator
{
    Not,
    Negate,
    Plus,
}

internal sealed class Unary(SourcePosition position, UnaryOperator @operator, Expression operand) : Expression(position)
{
    protected override object? Compute(RenderContext context)
    {
        var value = operand.Evaluate(context);
        context.At(Position);
        return @operator switch
        {
            UnaryOperator.Not => !PythonOperators.IsTrue(value),
            UnaryOperator.Negate => PythonOperators.Negate(context, value),
            _ => PythonOperators.Plus(context, value),
        };
    }
}

/// <summary>The operator <c>~</c> over all its operands: converts each to text and joins them.</summary>
internal sealed class Concatenation(SourcePosition position, IReadOnlyList<Expression> parts) : Expression(position)
{
    protected override object? Compute(RenderContext context)
    {
        var builder = new JinjaTextBuilder(context);
        foreach (var part in parts)
            builder.Append(PythonText.Str(context, part.Evaluate(context)));
        return builder.ToText();
    }
}

/// <summary>Comparisons chain as in Python: <c>a &lt; b &lt; c</c>.</summary>
internal sealed class Comparison(SourcePosition position, Expression first, IReadOnlyList<(string Operator, Expression Operand)> rest)
    : Expression(position)
{
    protected override object? Compute(RenderContext context)
    {
        var left = first.Evaluate(context);
        foreach (var (symbol, operand) in rest)
        {
            var right = operand.Evaluate(context);
            context.At(Position);
            if (!Holds(context, symbol, left, right))
                return false;
            left = right;
        }
        return true;
    }

    public static bool Holds(RenderContext context, string symbol, object? left, object? right) => symbol switch
    {
        "==" => PythonOperators.AreEqual(context, left, right),
        "!=" => !PythonOperators.AreEqual(context, left, right),
        "<" => PythonOperators.Compare(context, left, right, symbol) < 0,
        "<=" => PythonOperators.Compare(context, left, right, symbol) <= 0,
        ">" => PythonOperators.Compare(context, left, right, symbol) > 0,
        ">=" => PythonOperators.Compare(context, left, right, symbol) >= 0,
        "in" => PythonOperators.Contains(context, right, left),
        _ => !PythonOperators.Contains(context, right, left),
    };
}

internal sealed class Conditional(SourcePosition position, Expression condition, Expression then, Expression? otherwise) : Expression(position)
{
    protected override object? Compute(RenderContext context) =>
        PythonOperators.IsTrue(condition.Evaluate(context)) ? then.Evaluate(context)
        : otherwise is not null ? otherwise.Evaluate(context)
        : new Undefined("the inline if-expression evaluated to false and no else section was defined");
}

internal sealed class AttributeAccess(SourcePosition position, Expression target, string name) : Expression(position)
{
    protected override object? Compute(RenderContext context)
    {
        var value = target.Evaluate(context);
        context.At(Position);
        return Access.Attribute(context, value, name);
    }
}

internal sealed class ItemAccess(SourcePosition position, Expression target, Expression key) : Expression(position)
{
    protected override object? Compute(RenderContext context)
    {
        var value = target.Evaluate(context);
        var index = key.Evaluate(context);
        context.At(Position);
        return Access.Item(context, value, index);
    }
}

internal sealed class SliceAccess(SourcePosition position, Expression target, Expression? start, Expression? stop, Expression? step)
    : Expression(position)
{
    protected override object? Compute(RenderContext context)
    {
        var value = target.Evaluate(context);
        var (from, to, by) = (start?.Evaluate(context), stop?.Evaluate(context), step?.Evaluate(context));
        context.At(Position);
        return Access.Slice(context, value, from, to, by);
    }
}

/// <summary>The arguments as they are written in a call.</summary>
internal sealed record ArgumentList(
    IReadOnlyList<Expression> Positional, IReadOnlyList<(string Name, Expression Value)> Named, Expression? Star, Expression? DoubleStar)
{
    public static ArgumentList Empty { get; } = new([], [], null, null);

    public CallArguments Evaluate(RenderContext context)
    {
        if (ReferenceEquals(this, Empty))
            return CallArguments.None;
        var positional = new List<object?>(Positional.Count);
        foreach (var argument in Positional)
            positional.Add(argument.Evaluate(context));
        var named = new List<KeyValuePair<string, object?>>(Named.Count);
        foreach (var (name, value) in Named)
            named.Add(new(name, value.Evaluate(context)));
        if (Star is not null)
            positional.AddRange(PythonOperators.ToList(context, Star.Evaluate(context)));
        if (DoubleStar is not null)
        {
            if (DoubleStar.Evaluate(context) is not JinjaDict dict)
                throw context.Error("'**' in a call needs a dict");
            foreach (var (key, value) in dict.Pairs)
                named.Add(new(key is JinjaText name ? name.Value : throw context.Error("'**' in a call needs text as keys"), value));
        }
        return new(positional, named);
    }
}

internal sealed class Call(SourcePosition position, Expression target, ArgumentList arguments) : Expression(position)
{
    protected override object? Compute(RenderContext context) => Invoke(context, caller: null);

    /// <summary>Calls, with the body of a call block as the argument <c>caller</c>.</summary>
    public object? Invoke(RenderContext context, MacroValue? caller)
    {
        var function = target.Evaluate(context);
        var values = arguments.Evaluate(context);
        context.At(Position);
        if (function is not JinjaCallable callable)
            throw context.Error(function is Undefined undefined ? undefined.Message : $"{PythonOperators.TypeName(function)} cannot be called");
        if (caller is not null)
            values = new(values.Positional, [.. values.Named, new("caller", caller)]);
        return callable.Invoke(context, values);
    }
}

/// <summary>A filter; without a target it belongs to a block and is given the block's text.</summary>
internal sealed class FilterCall(SourcePosition position, Expression? target, string name, ArgumentList arguments) : Expression(position)
{
    protected override object? Compute(RenderContext context) => Apply(context, target?.Evaluate(context));

    /// <summary>Applies a chain of filters to the text of a block.</summary>
    public object? ApplyChain(RenderContext context, object? value)
    {
        context.Enter(Position);
        if (target is FilterCall inner)
            value = inner.ApplyChain(context, value);
        value = Apply(context, value);
        context.Leave();
        return value;
    }

    private object? Apply(RenderContext context, object? value)
    {
        var values = arguments.Evaluate(context);
        context.At(Position);
        return JinjaFilters.Apply(context, name, value, values);
    }
}

internal sealed class TestCall(SourcePosition position, Expression target, string name, ArgumentList arguments, bool negated) : Expression(position)
{
    protected override object? Compute(RenderContext context)
    {
        var value = target.Evaluate(context);
        var values = arguments.Evaluate(context);
        context.At(Position);
        return JinjaTests.Holds(context, name, value, values) != negated;
    }
}
