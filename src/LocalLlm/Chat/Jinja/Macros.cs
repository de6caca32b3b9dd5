namespace LocalLlm.Chat.Jinja;

/// <summary>A macro, or the body of a call block, as it is written.</summary>
internal sealed record MacroDefinition(
    string Name, IReadOnlyList<(string Name, Expression? Default)> Parameters, Body Body, bool UsesVarargs, bool UsesKwargs, bool UsesCaller);

internal sealed class MacroStatement(SourcePosition position, MacroDefinition definition) : Statement(position)
{
    protected override Flow Run(RenderContext context)
    {
        context.Scope.Set(definition.Name, new MacroValue(definition, context.Scope));
        return Flow.Next;
    }
}

/// <summary><c>{% call macro() %}body{% endcall %}</c>: the macro gets the body as <c>caller</c>.</summary>
internal sealed class CallBlock(SourcePosition position, MacroDefinition caller, Call call) : Statement(position)
{
    protected override Flow Run(RenderContext context)
    {
        var value = call.Invoke(context, new MacroValue(caller, context.Scope));
        context.Output.Append(PythonText.Str(context, value));
        return Flow.Next;
    }
}

/// <summary>A macro with the scope in which it was defined.</summary>
internal sealed class MacroValue(MacroDefinition definition, Scope closure) : JinjaCallable, IJinjaAttributes
{
    public override string Name => definition.Name;

    public override object? Invoke(RenderContext context, CallArguments arguments)
    {
        var scope = new Scope(closure);
        var parameters = definition.Parameters;
        var given = new object?[parameters.Count];
        for (var i = 0; i < given.Length; i++)
            given[i] = i < arguments.Positional.Count ? arguments.Positional[i] : CallArguments.Missing;
        if (arguments.Positional.Count > given.Length && !definition.UsesVarargs)
            throw context.Error($"macro '{Name}' takes at most {given.Length} arguments; {arguments.Positional.Count} were given");
        var rest = new JinjaDict();
        object? caller = Undefined.Variable("caller");
        foreach (var (name, value) in arguments.Named)
        {
            var index = parameters.TakeWhile(p => p.Name != name).Count();
            if (index < given.Length)
            {
                if (!ReferenceEquals(given[index], CallArguments.Missing))
                    throw context.Error($"macro '{Name}' got two values for '{name}'");
                given[index] = value;
            }
            else if (name == "caller" && definition.UsesCaller)
            {
                caller = value;
            }
            else if (definition.UsesKwargs)
            {
                rest.Set(name, value);
            }
            else
            {
                throw context.Error($"macro '{Name}' has no parameter '{name}'");
            }
        }
        if (definition.UsesVarargs)
            scope.Set("varargs", new JinjaTuple([.. arguments.Positional.Skip(given.Length)]));
        if (definition.UsesKwargs)
            scope.Set("kwargs", rest);
        if (definition.UsesCaller && parameters.All(p => p.Name != "caller"))
            scope.Set("caller", caller);

        var (outerScope, position) = (context.Scope, context.Position);
        context.EnterValue();
        context.Scope = scope;
        for (var i = 0; i < given.Length; i++)
            scope.Set(parameters[i].Name, ReferenceEquals(given[i], CallArguments.Missing) ? new Undefined($"parameter '{parameters[i].Name}' was not provided") : given[i]);
        for (var i = 0; i < given.Length; i++)
            if (ReferenceEquals(given[i], CallArguments.Missing) && parameters[i].Default is { } defaultValue)
                scope.Set(parameters[i].Name, defaultValue.Evaluate(context));
        var text = context.Capture(() => definition.Body.Execute(context));
        context.Scope = outerScope;
        context.Leave();
        context.At(position);
        return text;
    }

    public bool TryGetAttribute(RenderContext context, string name, out object? value)
    {
        value = name switch
        {
            "name" => JinjaText.Template(definition.Name),
            "arguments" => new JinjaTuple([.. definition.Parameters.Select(p => JinjaText.Template(p.Name))]),
            "catch_varargs" => definition.UsesVarargs,
            "catch_kwargs" => definition.UsesKwargs,
            "caller" => definition.UsesCaller,
            _ => null,
        };
        return value is not null;
    }
}
