using System.Runtime.CompilerServices;

namespace LocalLlm.Chat.Jinja;

/// <summary>The state of one render: variables, output, and what is left of the limits. Belongs to one thread.</summary>
internal sealed class RenderContext
{
    // One step pays for this many UTF-16 units, so that building strings is bounded by the same limit as evaluating nodes.
    private const int CharactersPerStep = 256;

    // A template may raise an error of any length.
    private const int MaxMessageLength = 2000;

    private long _stepsLeft;
    private long _charactersLeft;
    private long _uncharged;
    private int _depth;

    public RenderContext(JinjaLimits limits, TimeProvider time, IReadOnlyDictionary<string, object?> variables)
    {
        (Limits, Time) = (limits, time);
        (_stepsLeft, _charactersLeft) = (limits.Steps, limits.TotalStringLength);
        var globals = new Scope(null);
        foreach (var (name, value) in JinjaGlobals.All)
            globals.Set(name, value);
        var inputs = new Scope(globals);
        foreach (var (name, value) in variables)
            inputs.Set(name, value);
        Scope = new Scope(inputs);
        Output = new JinjaTextBuilder(this);
    }

    public JinjaLimits Limits { get; }

    public TimeProvider Time { get; }

    public Scope Scope { get; set; }

    public JinjaTextBuilder Output { get; set; }

    /// <summary>Where an error would be reported.</summary>
    public SourcePosition Position { get; private set; } = new(1, 1);

    /// <summary>Begins a node that may nest others.</summary>
    public void Enter(SourcePosition position)
    {
        Position = position;
        Charge(1);
        if (++_depth > Limits.RenderDepth)
            throw Error($"The template nests more than {Limits.RenderDepth} expressions, statements and calls while rendering "
                + $"({nameof(JinjaLimits)}.{nameof(JinjaLimits.RenderDepth)})");
        if ((_depth & 15) == 0 && !RuntimeHelpers.TryEnsureSufficientExecutionStack())
            throw Error("The template nests too deep for this thread's stack");
    }

    public void Leave() => _depth--;

    /// <summary>Deepens the nesting for values, which may contain themselves.</summary>
    public void EnterValue() => Enter(Position);

    public void At(SourcePosition position) => Position = position;

    public void Charge(long steps)
    {
        if ((_stepsLeft -= steps) < 0)
            throw Error($"The template takes more than {Limits.Steps} steps ({nameof(JinjaLimits)}.{nameof(JinjaLimits.Steps)})");
    }

    /// <summary>Pays for <paramref name="added"/> UTF-16 units that join a string of <paramref name="existing"/>; call it before they are made.</summary>
    public void ChargeString(long added, long existing = 0)
    {
        if (added + existing > Limits.StringLength)
            throw Error($"The template builds a string of more than {Limits.StringLength} characters "
                + $"({nameof(JinjaLimits)}.{nameof(JinjaLimits.StringLength)})");
        if ((_charactersLeft -= added) < 0)
            throw Error($"The template builds more than {Limits.TotalStringLength} characters of strings "
                + $"({nameof(JinjaLimits)}.{nameof(JinjaLimits.TotalStringLength)})");
        _uncharged += added;
        if (_uncharged >= CharactersPerStep)
        {
            Charge(_uncharged / CharactersPerStep);
            _uncharged %= CharactersPerStep;
        }
    }

    /// <summary>Pays for a list of this many elements; call it before they are made.</summary>
    public void ChargeList(long count)
    {
        if (count > Limits.ListLength)
            throw Error($"The template builds a list of more than {Limits.ListLength} elements "
                + $"({nameof(JinjaLimits)}.{nameof(JinjaLimits.ListLength)})");
        Charge(count);
    }

    public ChatTemplateException Error(string message) => new(
        message.Length <= MaxMessageLength ? message : $"{message.AsSpan(0, MaxMessageLength)}... ({message.Length} characters)", Position.Line, Position.Column);

    /// <summary>The text written by <paramref name="body"/>, which does not reach the output.</summary>
    public JinjaText Capture(Action body)
    {
        var output = Output;
        Output = new JinjaTextBuilder(this);
        body();
        var text = Output.ToText();
        Output = output;
        return text;
    }
}

/// <summary>A place in a template, both counted from 1.</summary>
internal readonly record struct SourcePosition(int Line, int Column);

/// <summary>The variables of one lexical scope; a name that is not here is looked up outside.</summary>
internal sealed class Scope(Scope? parent)
{
    // A loop makes a scope for each round and most hold few names, so these come before the dictionary.
    private const int FewNames = 8;

    private (string Name, object? Value)[]? _few;
    private int _fewCount;
    private Dictionary<string, object?>? _many;

    public void Set(string name, object? value)
    {
        if (_many is not null)
        {
            _many[name] = value;
            return;
        }
        for (var i = 0; i < _fewCount; i++)
        {
            if (_few![i].Name == name)
            {
                _few[i].Value = value;
                return;
            }
        }
        if (_fewCount < FewNames)
        {
            if (_few is null)
                _few = new (string, object?)[2];
            else if (_fewCount == _few.Length)
                Array.Resize(ref _few, FewNames);
            _few[_fewCount++] = (name, value);
            return;
        }
        _many = new(StringComparer.Ordinal) { [name] = value };
        foreach (var (known, old) in _few!)
            _many[known] = old;
    }

    public bool TryGet(string name, out object? value)
    {
        for (var scope = this; scope is not null; scope = scope.Parent)
        {
            if (scope._many is { } many)
            {
                if (many.TryGetValue(name, out value))
                    return true;
                continue;
            }
            for (var i = 0; i < scope._fewCount; i++)
            {
                if (scope._few![i].Name == name)
                {
                    value = scope._few[i].Value;
                    return true;
                }
            }
        }
        value = null;
        return false;
    }

    private Scope? Parent { get; } = parent;
}
