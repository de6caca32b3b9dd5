using System.Runtime.CompilerServices;

namespace LocalLlm.Chat.Jinja;

/// <summary>Tokens to a syntax tree: the statements. The grammar is Jinja2's.</summary>
internal sealed partial class JinjaParser
{
    private readonly List<Token> _tokens;
    private readonly JinjaLimits _limits;

    // The names read within each macro that is being parsed: they tell whether it takes varargs, kwargs and a caller.
    private readonly Stack<HashSet<string>> _namesRead = new();
    private readonly Stack<(string Tag, SourcePosition Position)> _open = new();
    private int _at;
    private int _depth;
    private int _loops;

    private JinjaParser(List<Token> tokens, JinjaLimits limits) => (_tokens, _limits) = (tokens, limits);

    public static Body Parse(string source, JinjaLimits limits)
    {
        if (source.Length > limits.TemplateLength)
            throw new ChatTemplateException($"The template has {source.Length} characters; at most {limits.TemplateLength} are read "
                + $"({nameof(JinjaLimits)}.{nameof(JinjaLimits.TemplateLength)}).");
        var parser = new JinjaParser(JinjaLexer.Read(source), limits);
        return parser.ParseBody();
    }

    private Token Current => _tokens[_at];

    private Token Next() => _tokens[_at++];

    private bool IsOperator(string symbol) => Current.Kind == TokenKind.Operator && Current.Value == symbol;

    private bool IsName(string name) => Current.Kind == TokenKind.Name && Current.Value == name;

    private bool SkipOperator(string symbol)
    {
        if (!IsOperator(symbol))
            return false;
        _at++;
        return true;
    }

    private bool SkipName(string name)
    {
        if (!IsName(name))
            return false;
        _at++;
        return true;
    }

    private void ExpectOperator(string symbol)
    {
        if (!SkipOperator(symbol))
            throw Unexpected($"'{symbol}'");
    }

    private string ExpectName() => Current.Kind == TokenKind.Name ? Next().Value : throw Unexpected("a name");

    private void ExpectBlockEnd()
    {
        if (Current.Kind != TokenKind.BlockEnd)
            throw Unexpected("'%}'");
        _at++;
    }

    private void Nest()
    {
        if (++_depth > _limits.ParseDepth)
            throw Error($"The template nests more than {_limits.ParseDepth} expressions and statements "
                + $"({nameof(JinjaLimits)}.{nameof(JinjaLimits.ParseDepth)})", Current.Position);
        if (!RuntimeHelpers.TryEnsureSufficientExecutionStack())
            throw Error("The template nests too deep for this thread's stack", Current.Position);
    }

    private static ChatTemplateException Error(string message, SourcePosition position) => new(message, position.Line, position.Column);

    private ChatTemplateException Unexpected(string expected)
    {
        var found = Current.Kind switch
        {
            TokenKind.End or TokenKind.Data => "the end of the template",
            TokenKind.BlockEnd => "'%}'",
            TokenKind.VariableEnd => "'}}'",
            TokenKind.Text => $"the string '{Current.Value}'",
            _ => $"'{Current.Value}'",
        };
        return Error($"Expected {expected}, got {found}", Current.Position);
    }

    /// <summary>Statements up to one of the tags in <paramref name="ends"/>, whose name becomes the current token.</summary>
    private Body ParseBody(params string[] ends)
    {
        Nest();
        var statements = new List<Statement>();
        while (true)
        {
            var token = Next();
            switch (token.Kind)
            {
                case TokenKind.Data:
                    statements.Add(new TextOutput(token.Position, token.Value));
                    break;
                case TokenKind.VariableBegin:
                    statements.Add(new ExpressionOutput(Current.Position, ParseTuple()));
                    if (Current.Kind != TokenKind.VariableEnd)
                        throw Unexpected("'}}'");
                    _at++;
                    break;
                case TokenKind.BlockBegin:
                    if (Current.Kind != TokenKind.Name)
                        throw Unexpected("the name of a tag");
                    if (ends.Contains(Current.Value))
                    {
                        _depth--;
                        return new Body(statements);
                    }
                    statements.AddRange(ParseStatement());
                    ExpectBlockEnd();
                    break;
                default:
                    _at--;
                    if (_open.Count > 0)
                    {
                        var (tag, position) = _open.Peek();
                        throw Error($"The tag '{tag}' has no end: expected {string.Join(" or ", ends.Select(e => $"'{e}'"))}", position);
                    }
                    _depth--;
                    return new Body(statements);
            }
        }
    }

    /// <summary>The body of a tag, up to and without the end of the tag that closes it.</summary>
    private Body ParseTagBody(Token tag, params string[] ends)
    {
        ExpectBlockEnd();
        _open.Push((tag.Value, tag.Position));
        var body = ParseBody(ends);
        _open.Pop();
        return body;
    }

    private List<Statement> ParseStatement()
    {
        var tag = Next();
        switch (tag.Value)
        {
            case "if":
                return [ParseIf(tag)];
            case "for":
                return [ParseFor(tag)];
            case "set":
                return [ParseSet(tag)];
            case "macro":
                return [ParseMacro(tag)];
            case "call":
                return [ParseCallBlock(tag)];
            case "filter":
                return [ParseFilterBlock(tag)];
            case "with":
                return [ParseWith(tag)];
            case "generation":
                return [ParseScoped(tag, "endgeneration")];
            case "block":
                ExpectName();
                while (SkipName("scoped") || SkipName("required"))
                {
                }
                var block = ParseScoped(tag, "endblock");
                if (Current.Kind == TokenKind.Name)
                    _at++;
                return [block];
            case "autoescape":
                ParseExpression();
                return [ParseScoped(tag, "endautoescape")];
            case "do":
                return [new ExpressionStatement(tag.Position, ParseTuple())];
            case "print":
                return ParsePrint(tag);
            case "break" or "continue":
                if (_loops == 0)
                    throw Error($"'{tag.Value}' outside a loop", tag.Position);
                return [new LoopControl(tag.Position, tag.Value == "break" ? Flow.Break : Flow.Continue)];
            case "extends" or "include" or "import" or "from":
                throw Error($"The tag '{tag.Value}' is not supported: a chat template is one file and cannot load others", tag.Position);
            case "endif" or "else" or "elif" or "endfor" or "endset" or "endmacro" or "endcall" or "endfilter" or "endwith" or "endblock"
                or "endgeneration" or "endautoescape" or "endraw":
                throw Error(
                    _open.TryPeek(out var open)
                        ? $"The tag '{tag.Value}' does not fit the open tag '{open.Tag}' of line {open.Position.Line}"
                        : $"The tag '{tag.Value}' closes nothing",
                    tag.Position);
            default:
                throw Error($"Unknown tag '{tag.Value}'", tag.Position);
        }
    }

    private If ParseIf(Token tag)
    {
        var branches = new List<(Expression, Body)>();
        Body? otherwise = null;
        var condition = ParseTuple(withConditional: false);
        while (true)
        {
            branches.Add((condition, ParseTagBody(tag, "elif", "else", "endif")));
            var end = Next().Value;
            if (end == "elif")
            {
                condition = ParseTuple(withConditional: false);
                continue;
            }
            if (end == "else")
            {
                otherwise = ParseTagBody(tag, "endif");
                _at++;
            }
            return new If(tag.Position, branches, otherwise);
        }
    }

    private For ParseFor(Token tag)
    {
        var target = ParseTarget(withTuple: true, withNamespace: false, "in");
        if (!SkipName("in"))
            throw Unexpected("'in'");
        var iterable = ParseTuple(withConditional: false, "recursive");
        var filter = SkipName("if") ? ParseExpression() : null;
        var isRecursive = SkipName("recursive");
        _loops++;
        var body = ParseTagBody(tag, "endfor", "else");
        _loops--;
        Body? otherwise = null;
        if (Next().Value == "else")
        {
            otherwise = ParseTagBody(tag, "endfor");
            _at++;
        }
        return new For(tag.Position, target, iterable, filter, isRecursive, body, otherwise);
    }

    private Statement ParseSet(Token tag)
    {
        var target = ParseTarget(withTuple: true, withNamespace: true);
        if (SkipOperator("="))
            return new Set(tag.Position, target, ParseTuple());
        var filter = ParseFilterChain(null) as FilterCall;
        var body = ParseTagBody(tag, "endset");
        _at++;
        return new SetBlock(tag.Position, target, filter, body);
    }

    private MacroStatement ParseMacro(Token tag)
    {
        var name = ExpectName();
        var definition = ParseMacroRest(tag, name, ParseParameters, "endmacro");
        if (Current.Kind == TokenKind.Name) // {% endmacro name %}
            _at++;
        return new MacroStatement(tag.Position, definition);
    }

    private CallBlock ParseCallBlock(Token tag)
    {
        Call? call = null;
        var definition = ParseMacroRest(tag, "caller", () =>
        {
            var parameters = IsOperator("(") ? ParseParameters() : [];
            call = ParseExpression() as Call ?? throw Error("The tag 'call' needs a call of a macro", tag.Position);
            return parameters;
        }, "endcall");
        return new CallBlock(tag.Position, definition, call!);
    }

    private MacroDefinition ParseMacroRest(
        Token tag, string name, Func<IReadOnlyList<(string, Expression?)>> parseParameters, string end)
    {
        var loops = _loops;
        _loops = 0; // a loop around a macro cannot be left from inside it
        _namesRead.Push([]);
        var parameters = parseParameters();
        var body = ParseTagBody(tag, end);
        _at++;
        var names = _namesRead.Pop();
        if (_namesRead.TryPeek(out var outer))
            outer.UnionWith(names);
        _loops = loops;
        return new MacroDefinition(name, parameters, body, names.Contains("varargs"), names.Contains("kwargs"), names.Contains("caller"));
    }

    private List<(string, Expression?)> ParseParameters()
    {
        var parameters = new List<(string Name, Expression? Default)>();
        ExpectOperator("(");
        while (!SkipOperator(")"))
        {
            if (parameters.Count > 0)
            {
                ExpectOperator(",");
                if (SkipOperator(")"))
                    break;
            }
            var name = ExpectName();
            var defaultValue = SkipOperator("=") ? ParseExpression() : null;
            if (defaultValue is null && parameters.Count > 0 && parameters[^1].Default is not null)
                throw Error($"The parameter '{name}' without a default follows one that has a default", Current.Position);
            parameters.Add((name, defaultValue));
        }
        return parameters;
    }

    private FilterBlock ParseFilterBlock(Token tag)
    {
        var filter = (FilterCall)ParseFilterChain(null, startInline: true)!;
        var body = ParseTagBody(tag, "endfilter");
        _at++;
        return new FilterBlock(tag.Position, filter, body);
    }

    private With ParseWith(Token tag)
    {
        var variables = new List<(Target, Expression)>();
        while (Current.Kind != TokenKind.BlockEnd)
        {
            if (variables.Count > 0)
                ExpectOperator(",");
            var target = ParseTarget(withTuple: true, withNamespace: false);
            ExpectOperator("=");
            variables.Add((target, ParseExpression()));
        }
        var body = ParseTagBody(tag, "endwith");
        _at++;
        return new With(tag.Position, variables, body);
    }

    private With ParseScoped(Token tag, string end)
    {
        var body = ParseTagBody(tag, end);
        _at++;
        return new With(tag.Position, [], body);
    }

    private List<Statement> ParsePrint(Token tag)
    {
        var outputs = new List<Statement>();
        while (Current.Kind != TokenKind.BlockEnd)
        {
            if (outputs.Count > 0)
                ExpectOperator(",");
            outputs.Add(new ExpressionOutput(tag.Position, ParseExpression()));
        }
        return outputs;
    }

    private Target ParseTarget(bool withTuple, bool withNamespace, string? end = null)
    {
        var position = Current.Position;
        if (withNamespace && _tokens[_at + 1] is { Kind: TokenKind.Operator, Value: "." })
        {
            var name = ExpectName();
            _at++;
            _namesRead.TryPeek(out var names);
            names?.Add(name);
            return new AttributeTarget(position, name, ExpectName());
        }
        var targets = new List<Target>();
        var isTuple = false;
        do
        {
            if (targets.Count > 0 && (Current.Kind is TokenKind.BlockEnd || IsOperator("=") || IsOperator(")") || (end is not null && IsName(end))))
                break;
            targets.Add(ParseOneTarget());
            isTuple |= IsOperator(",");
        }
        while (withTuple && SkipOperator(","));
        return isTuple ? new TupleTarget(position, targets) : targets[0];
    }

    private Target ParseOneTarget()
    {
        var position = Current.Position;
        if (SkipOperator("("))
        {
            Nest();
            var inner = ParseTarget(withTuple: true, withNamespace: false);
            ExpectOperator(")");
            _depth--;
            return inner;
        }
        var name = ExpectName();
        return name is "true" or "false" or "none" or "True" or "False" or "None"
            ? throw Error($"'{name}' cannot be assigned to", position)
            : new NameTarget(position, name);
    }
}
