using System.Text;

namespace LocalLlm.Chat.Jinja;

// The expressions, weakest operator first: if, or, and, not, comparison, + -, ~, * / // %, **, unary, then . [] () | is.
internal sealed partial class JinjaParser
{
    private Expression ParseExpression(bool withConditional = true)
    {
        Nest();
        var expression = withConditional ? ParseConditional() : ParseOr();
        _depth--;
        return expression;
    }

    /// <summary>One expression, or several with commas: a tuple.</summary>
    private Expression ParseTuple(bool withConditional = true, string? end = null)
    {
        var position = Current.Position;
        var items = new List<Expression>();
        var isTuple = false;
        do
        {
            if (items.Count > 0 && IsTupleEnd(end))
                break;
            items.Add(ParseExpression(withConditional));
            isTuple |= IsOperator(",");
        }
        while (SkipOperator(","));
        return isTuple ? new SequenceLiteral(position, items, isTuple: true) : items[0];
    }

    private bool IsTupleEnd(string? end) =>
        Current.Kind is TokenKind.VariableEnd or TokenKind.BlockEnd || IsOperator(")") || (end is not null && IsName(end));

    private Expression ParseConditional()
    {
        var expression = ParseOr();
        while (IsName("if"))
        {
            var position = Next().Position;
            var condition = ParseOr();
            var otherwise = SkipName("else") ? ParseExpression() : null;
            expression = new Conditional(position, condition, expression, otherwise);
        }
        return expression;
    }

    private Expression ParseOr()
    {
        var left = ParseAnd();
        while (IsName("or"))
            left = new Binary(Next().Position, BinaryOperator.Or, left, ParseAnd());
        return left;
    }

    private Expression ParseAnd()
    {
        var left = ParseNot();
        while (IsName("and"))
            left = new Binary(Next().Position, BinaryOperator.And, left, ParseNot());
        return left;
    }

    private Expression ParseNot()
    {
        if (!IsName("not"))
            return ParseComparison();
        var position = Next().Position;
        Nest();
        var operand = ParseNot();
        _depth--;
        return new Unary(position, UnaryOperator.Not, operand);
    }

    private Expression ParseComparison()
    {
        var first = ParseSum();
        var rest = new List<(string, Expression)>();
        var position = Current.Position;
        while (true)
        {
            if (Current is { Kind: TokenKind.Operator, Value: "==" or "!=" or "<" or "<=" or ">" or ">=" })
            {
                rest.Add((Next().Value, ParseSum()));
            }
            else if (SkipName("in"))
            {
                rest.Add(("in", ParseSum()));
            }
            else if (IsName("not") && _tokens[_at + 1] is { Kind: TokenKind.Name, Value: "in" })
            {
                _at += 2;
                rest.Add(("not in", ParseSum()));
            }
            else
            {
                return rest.Count == 0 ? first : new Comparison(position, first, rest);
            }
        }
    }

    private Expression ParseSum()
    {
        var left = ParseConcatenation();
        while (IsOperator("+") || IsOperator("-"))
        {
            var token = Next();
            left = new Binary(token.Position, token.Value == "+" ? BinaryOperator.Add : BinaryOperator.Subtract, left, ParseConcatenation());
        }
        return left;
    }

    private Expression ParseConcatenation()
    {
        var first = ParseProduct();
        if (!IsOperator("~"))
            return first;
        var position = Current.Position;
        var parts = new List<Expression> { first };
        while (SkipOperator("~"))
            parts.Add(ParseProduct());
        return new Concatenation(position, parts);
    }

    private Expression ParseProduct()
    {
        var left = ParsePower();
        while (Current is { Kind: TokenKind.Operator, Value: "*" or "/" or "//" or "%" })
        {
            var token = Next();
            left = new Binary(token.Position, token.Value switch
            {
                "*" => BinaryOperator.Multiply,
                "/" => BinaryOperator.Divide,
                "//" => BinaryOperator.FloorDivide,
                _ => BinaryOperator.Modulo,
            }, left, ParsePower());
        }
        return left;
    }

    private Expression ParsePower()
    {
        var left = ParseUnary();
        while (IsOperator("**"))
            left = new Binary(Next().Position, BinaryOperator.Power, left, ParseUnary());
        return left;
    }

    private Expression ParseUnary(bool withFilters = true)
    {
        Expression expression;
        if (IsOperator("-") || IsOperator("+"))
        {
            var token = Next();
            Nest();
            expression = new Unary(token.Position, token.Value == "-" ? UnaryOperator.Negate : UnaryOperator.Plus, ParseUnary(withFilters: false));
            _depth--;
        }
        else
        {
            expression = ParsePrimary();
        }
        expression = ParsePostfix(expression);
        return withFilters ? ParseFilters(expression) : expression;
    }

    private Expression ParsePrimary()
    {
        var token = Current;
        switch (token.Kind)
        {
            case TokenKind.Name:
                _at++;
                switch (token.Value)
                {
                    case "true" or "True":
                        return new Literal(token.Position, true);
                    case "false" or "False":
                        return new Literal(token.Position, false);
                    case "none" or "None":
                        return new Literal(token.Position, null);
                }
                _namesRead.TryPeek(out var names);
                names?.Add(token.Value);
                return new Variable(token.Position, token.Value);
            case TokenKind.Text:
                var text = new StringBuilder();
                while (Current.Kind == TokenKind.Text) // neighbours are one string
                    text.Append(Next().Value);
                return new Literal(token.Position, JinjaText.Template(text.ToString()));
            case TokenKind.Number:
                _at++;
                return new Literal(token.Position, token.Literal);
        }
        if (SkipOperator("("))
        {
            var inner = IsOperator(")") ? new SequenceLiteral(token.Position, [], isTuple: true) : ParseTuple();
            ExpectOperator(")");
            return inner;
        }
        if (IsOperator("["))
            return ParseList();
        if (IsOperator("{"))
            return ParseDict();
        throw Unexpected("an expression");
    }

    private SequenceLiteral ParseList()
    {
        var position = Next().Position;
        var items = new List<Expression>();
        while (!SkipOperator("]"))
        {
            if (items.Count > 0)
            {
                ExpectOperator(",");
                if (SkipOperator("]"))
                    break;
            }
            items.Add(ParseExpression());
        }
        return new SequenceLiteral(position, items, isTuple: false);
    }

    private DictLiteral ParseDict()
    {
        var position = Next().Position;
        var pairs = new List<(Expression, Expression)>();
        while (!SkipOperator("}"))
        {
            if (pairs.Count > 0)
            {
                ExpectOperator(",");
                if (SkipOperator("}"))
                    break;
            }
            var key = ParseExpression();
            ExpectOperator(":");
            pairs.Add((key, ParseExpression()));
        }
        return new DictLiteral(position, pairs);
    }

    private Expression ParsePostfix(Expression expression)
    {
        while (true)
        {
            if (IsOperator("."))
                expression = ParseAttribute(expression);
            else if (IsOperator("["))
                expression = ParseSubscript(expression);
            else if (IsOperator("("))
                expression = new Call(Current.Position, expression, ParseArguments());
            else
                return expression;
        }
    }

    private Expression ParseFilters(Expression expression)
    {
        while (true)
        {
            if (IsOperator("|"))
                expression = ParseFilterChain(expression)!;
            else if (IsName("is"))
                expression = ParseTest(expression);
            else if (IsOperator("("))
                expression = new Call(Current.Position, expression, ParseArguments());
            else
                return expression;
        }
    }

    private Expression ParseAttribute(Expression target)
    {
        _at++;
        var token = Next();
        return token.Kind switch
        {
            TokenKind.Name => new AttributeAccess(token.Position, target, token.Value),
            TokenKind.Number when token.Literal is long => new ItemAccess(token.Position, target, new Literal(token.Position, token.Literal)),
            _ => throw Error("Expected a name or a number after '.'", token.Position),
        };
    }

    private Expression ParseSubscript(Expression target)
    {
        var position = Next().Position;
        var keys = new List<Expression>();
        while (!SkipOperator("]"))
        {
            if (keys.Count > 0)
            {
                ExpectOperator(",");
                if (SkipOperator("]"))
                    break;
            }
            Expression? start = IsOperator(":") ? null : ParseExpression();
            if (!SkipOperator(":"))
            {
                keys.Add(start!);
                continue;
            }
            var stop = IsSliceEnd() ? null : ParseExpression();
            var step = SkipOperator(":") && !IsSliceEnd() ? ParseExpression() : null;
            if (keys.Count > 0 || !SkipOperator("]"))
                throw Error("Only one slice in brackets is supported", Current.Position);
            return new SliceAccess(position, target, start, stop, step);
        }
        return new ItemAccess(position, target, keys.Count == 1 ? keys[0] : new SequenceLiteral(position, keys, isTuple: true));
    }

    private bool IsSliceEnd() => IsOperator(":") || IsOperator("]") || IsOperator(",");

    private ArgumentList ParseArguments()
    {
        var open = Current.Position;
        ExpectOperator("(");
        if (SkipOperator(")"))
            return ArgumentList.Empty;
        var positional = new List<Expression>();
        var named = new List<(string, Expression)>();
        Expression? star = null, doubleStar = null;
        for (var isFirst = true; !SkipOperator(")"); isFirst = false)
        {
            if (!isFirst)
            {
                ExpectOperator(",");
                if (SkipOperator(")"))
                    break;
            }
            if (doubleStar is null && SkipOperator("**"))
            {
                doubleStar = ParseExpression();
            }
            else if (star is null && SkipOperator("*"))
            {
                star = ParseExpression();
            }
            else if (Current.Kind == TokenKind.Name && _tokens[_at + 1] is { Kind: TokenKind.Operator, Value: "=" })
            {
                var name = Next().Value;
                _at++;
                named.Add((name, ParseExpression()));
            }
            else
            {
                if (named.Count > 0 || star is not null || doubleStar is not null)
                    throw Error("A positional argument follows a named one", open);
                positional.Add(ParseExpression());
            }
        }
        return new ArgumentList(positional, named, star, doubleStar);
    }

    /// <summary>Filters with or without a target; null if there is none. A filter block's first one has no '|' before it.</summary>
    private Expression? ParseFilterChain(Expression? target, bool startInline = false)
    {
        while (startInline || IsOperator("|"))
        {
            if (!startInline)
                _at++;
            startInline = false;
            var position = Current.Position;
            var name = ParseDottedName();
            target = new FilterCall(position, target, name, IsOperator("(") ? ParseArguments() : ArgumentList.Empty);
        }
        return target;
    }

    private TestCall ParseTest(Expression target)
    {
        var position = Next().Position;
        var negated = SkipName("not");
        var name = ParseDottedName();
        var arguments = ArgumentList.Empty;
        if (IsOperator("("))
        {
            arguments = ParseArguments();
        }
        else if (Current.Kind is TokenKind.Text or TokenKind.Number || IsOperator("[") || IsOperator("{")
            || (Current.Kind == TokenKind.Name && Current.Value is not ("else" or "or" or "and" or "if" or "is" or "not" or "in" or "recursive")))
        {
            arguments = new ArgumentList([ParsePostfix(ParsePrimary())], [], null, null);
        }
        else if (IsName("is"))
        {
            throw Error("Tests cannot be chained with 'is'", Current.Position);
        }
        return new TestCall(position, target, name, arguments, negated);
    }

    private string ParseDottedName()
    {
        var name = new StringBuilder(ExpectName());
        while (SkipOperator("."))
            name.Append('.').Append(ExpectName());
        return name.ToString();
    }
}
