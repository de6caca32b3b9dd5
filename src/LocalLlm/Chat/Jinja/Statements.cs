namespace LocalLlm.Chat.Jinja;

/// <summary>How a statement ended.</summary>
internal enum Flow
{
    Next,
    Break,
    Continue,
}

/// <summary>A node of the syntax tree that writes output or sets variables.</summary>
internal abstract class Statement(SourcePosition position)
{
    public SourcePosition Position => position;

    public Flow Execute(RenderContext context)
    {
        context.Enter(position);
        var flow = Run(context);
        context.Leave();
        return flow;
    }

    protected abstract Flow Run(RenderContext context);
}

/// <summary>Statements in order.</summary>
internal sealed class Body(IReadOnlyList<Statement> statements)
{
    public Flow Execute(RenderContext context)
    {
        foreach (var statement in statements)
            if (statement.Execute(context) is var flow and not Flow.Next)
                return flow;
        return Flow.Next;
    }

    /// <summary>Executes in a scope of its own.</summary>
    public Flow ExecuteIn(RenderContext context, Scope scope)
    {
        var outer = context.Scope;
        context.Scope = scope;
        var flow = Execute(context);
        context.Scope = outer;
        return flow;
    }
}

internal sealed class TextOutput(SourcePosition position, string text) : Statement(position)
{
    protected override Flow Run(RenderContext context)
    {
        context.Output.Append(text);
        return Flow.Next;
    }
}

internal sealed class ExpressionOutput(SourcePosition position, Expression expression) : Statement(position)
{
    protected override Flow Run(RenderContext context)
    {
        var value = expression.Evaluate(context);
        context.At(expression.Position);
        context.Output.Append(PythonText.Str(context, value));
        return Flow.Next;
    }
}

/// <summary>An expression whose value is dropped: <c>{% do %}</c>.</summary>
internal sealed class ExpressionStatement(SourcePosition position, Expression expression) : Statement(position)
{
    protected override Flow Run(RenderContext context)
    {
        expression.Evaluate(context);
        return Flow.Next;
    }
}

internal sealed class If(SourcePosition position, IReadOnlyList<(Expression Condition, Body Body)> branches, Body? otherwise) : Statement(position)
{
    protected override Flow Run(RenderContext context)
    {
        foreach (var (condition, body) in branches)
            if (PythonOperators.IsTrue(condition.Evaluate(context)))
                return body.Execute(context);
        return otherwise?.Execute(context) ?? Flow.Next;
    }
}

internal sealed class LoopControl(SourcePosition position, Flow flow) : Statement(position)
{
    protected override Flow Run(RenderContext context) => flow;
}

/// <summary>Where an assignment puts its value.</summary>
internal abstract class Target(SourcePosition position)
{
    public SourcePosition Position => position;

    public abstract void Assign(RenderContext context, Scope scope, object? value);
}

internal sealed class NameTarget(SourcePosition position, string name) : Target(position)
{
    public override void Assign(RenderContext context, Scope scope, object? value) => scope.Set(name, value);
}

/// <summary>An attribute of a namespace.</summary>
internal sealed class AttributeTarget(SourcePosition position, string name, string attribute) : Target(position)
{
    public override void Assign(RenderContext context, Scope scope, object? value)
    {
        context.At(Position);
        if (!scope.TryGet(name, out var holder))
            throw context.Error($"'{name}' is undefined");
        if (holder is not JinjaNamespace ns)
            throw context.Error($"'{name}' is {PythonOperators.TypeName(holder)}; only the attributes of a namespace can be set");
        ns.Set(attribute, value);
    }
}

internal sealed class TupleTarget(SourcePosition position, IReadOnlyList<Target> targets) : Target(position)
{
    public override void Assign(RenderContext context, Scope scope, object? value)
    {
        context.At(Position);
        var items = PythonOperators.ToList(context, value);
        if (items.Count != targets.Count)
            throw context.Error($"{targets.Count} variables cannot take {items.Count} values");
        for (var i = 0; i < items.Count; i++)
            targets[i].Assign(context, scope, items[i]);
    }
}

internal sealed class Set(SourcePosition position, Target target, Expression value) : Statement(position)
{
    protected override Flow Run(RenderContext context)
    {
        target.Assign(context, context.Scope, value.Evaluate(context));
        return Flow.Next;
    }
}

internal sealed class SetBlock(SourcePosition position, Target target, FilterCall? filter, Body body) : Statement(position)
{
    protected override Flow Run(RenderContext context)
    {
        object? value = context.Capture(() => body.ExecuteIn(context, new Scope(context.Scope)));
        if (filter is not null)
            value = filter.ApplyChain(context, value);
        target.Assign(context, context.Scope, value);
        return Flow.Next;
    }
}

internal sealed class FilterBlock(SourcePosition position, FilterCall filter, Body body) : Statement(position)
{
    protected override Flow Run(RenderContext context)
    {
        var text = context.Capture(() => body.ExecuteIn(context, new Scope(context.Scope)));
        context.Output.Append(PythonText.Str(context, filter.ApplyChain(context, text)));
        return Flow.Next;
    }
}

/// <summary>Statements in a scope of their own: <c>{% with %}</c>, <c>{% block %}</c>, <c>{% generation %}</c>.</summary>
internal sealed class With(SourcePosition position, IReadOnlyList<(Target Target, Expression Value)> variables, Body body) : Statement(position)
{
    protected override Flow Run(RenderContext context)
    {
        var scope = new Scope(context.Scope);
        foreach (var (target, value) in variables)
            target.Assign(context, scope, value.Evaluate(context));
        return body.ExecuteIn(context, scope);
    }
}

internal sealed class For(
    SourcePosition position, Target target, Expression iterable, Expression? filter, bool isRecursive, Body body, Body? otherwise)
    : Statement(position)
{
    protected override Flow Run(RenderContext context)
    {
        Loop(context, iterable.Evaluate(context), 0);
        return Flow.Next;
    }

    /// <summary>Runs the loop over a value; a recursive loop calls this again from its body.</summary>
    public void Loop(RenderContext context, object? value, int depth)
    {
        var outer = context.Scope;
        context.At(iterable.Position);
        var items = PythonOperators.ToList(context, value);
        if (filter is not null)
            items = Filter(context, items);
        var loop = new LoopValue(items, depth, isRecursive ? this : null, outer);
        for (var i = 0; i < items.Count; i++)
        {
            context.Charge(3); // a round costs more than an expression
            var scope = new Scope(outer);
            loop.MoveTo(i);
            scope.Set("loop", loop);
            target.Assign(context, scope, items[i]);
            if (body.ExecuteIn(context, scope) == Flow.Break)
                return;
        }
        if (items.Count == 0)
            otherwise?.ExecuteIn(context, new Scope(outer));
    }

    private List<object?> Filter(RenderContext context, List<object?> items)
    {
        var outer = context.Scope;
        var kept = new List<object?>();
        foreach (var item in items)
        {
            context.Scope = new Scope(outer);
            target.Assign(context, context.Scope, item);
            if (PythonOperators.IsTrue(filter!.Evaluate(context)))
                kept.Add(item);
        }
        context.Scope = outer;
        return kept;
    }
}

/// <summary>The variable <c>loop</c>.</summary>
internal sealed class LoopValue(List<object?> items, int depth, For? recursive, Scope outer) : JinjaCallable, IJinjaAttributes
{
    private int _index;
    private object? _lastChanged = CallArguments.Missing;

    public override string Name => "loop";

    public void MoveTo(int index) => _index = index;

    public override object? Invoke(RenderContext context, CallArguments arguments)
    {
        if (recursive is null)
            throw context.Error("loop() needs the loop to be marked 'recursive'");
        var iterable = arguments.Bind(context, "loop", "iterable")[0];
        context.EnterValue();
        var text = context.Capture(() =>
        {
            var scope = context.Scope;
            context.Scope = outer;
            recursive.Loop(context, iterable, depth + 1);
            context.Scope = scope;
        });
        context.Leave();
        return text;
    }

    public bool TryGetAttribute(RenderContext context, string name, out object? value)
    {
        value = name switch
        {
            "index" => _index + 1L,
            "index0" => (long)_index,
            "revindex" => (long)(items.Count - _index),
            "revindex0" => (long)(items.Count - _index - 1),
            "first" => _index == 0,
            "last" => _index == items.Count - 1,
            "length" => (long)items.Count,
            "depth" => depth + 1L,
            "depth0" => (long)depth,
            "previtem" => _index > 0 ? items[_index - 1] : new Undefined("there is no previous item"),
            "nextitem" => _index + 1 < items.Count ? items[_index + 1] : new Undefined("there is no next item"),
            "cycle" => new BuiltinFunction("cycle", (c, arguments) => arguments.Positional.Count > 0
                ? arguments.Positional[_index % arguments.Positional.Count]
                : throw c.Error("loop.cycle() needs values")),
            "changed" => new BuiltinFunction("changed", (c, arguments) =>
            {
                var current = new JinjaTuple([.. arguments.Positional]);
                if (PythonOperators.AreEqual(c, _lastChanged, current))
                    return false;
                _lastChanged = current;
                return true;
            }),
            _ => CallArguments.Missing,
        };
        return !ReferenceEquals(value, CallArguments.Missing);
    }
}
