using System.Globalization;
using System.Numerics;
using System.Text;

namespace LocalLlm.Chat.Jinja;

internal enum TokenKind
{
    Data,
    BlockBegin,
    BlockEnd,
    VariableBegin,
    VariableEnd,
    Name,
    Text,
    Number,
    Operator,
    End,
}

/// <summary>A token; <paramref name="Value"/> is its text, <paramref name="Literal"/> a number's value.</summary>
internal readonly record struct Token(TokenKind Kind, string Value, SourcePosition Position, object? Literal = null);

/// <summary>
/// Template source to tokens as Jinja2 reads it with trim_blocks and lstrip_blocks: the newline after a block is dropped, and so is the
/// space before a block that begins its line; <c>-</c> strips all white space, <c>+</c> keeps it; one newline at the end is dropped.
/// </summary>
internal sealed class JinjaLexer
{
    private static readonly string[] Operators =
        ["//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";"];

    private readonly string _source;
    private readonly List<int> _lineStarts = [0];
    private readonly List<Token> _tokens = [];
    private int _at;

    private JinjaLexer(string source)
    {
        source = source.Replace("\r\n", "\n", StringComparison.Ordinal).Replace('\r', '\n');
        _source = source.EndsWith('\n') ? source[..^1] : source;
        for (var i = 0; i < _source.Length; i++)
            if (_source[i] == '\n')
                _lineStarts.Add(i + 1);
    }

    public static List<Token> Read(string source)
    {
        var lexer = new JinjaLexer(source);
        lexer.ReadTemplate();
        return lexer._tokens;
    }

    public static bool IsSpace(char c) => char.IsWhiteSpace(c) || c is >= '\x1c' and <= '\x1f';

    private void ReadTemplate()
    {
        var lineStarts = true; // the text that follows begins at the start of a line
        while (_at < _source.Length)
        {
            var (begin, kind) = FindTag(_at);
            if (begin < 0)
            {
                Emit(TokenKind.Data, _source[_at..], _at);
                break;
            }
            var sign = SignAt(begin + 2);
            EmitData(_at, begin, sign, stripLine: kind != '{', lineStarts);
            _at = begin + 2 + (sign == '\0' ? 0 : 1);
            if (kind == '#')
                SkipComment(begin);
            else if (kind == '%' && TryReadRaw(begin))
            {
            }
            else
                ReadTag(begin, isBlock: kind == '%');
            lineStarts = _source[_at - 1] == '\n';
        }
        Emit(TokenKind.End, "", _source.Length);
    }

    private (int Index, char Kind) FindTag(int from)
    {
        for (var i = from; (i = _source.IndexOf('{', i)) >= 0 && i + 1 < _source.Length; i++)
            if (_source[i + 1] is '%' or '{' or '#')
                return (i, _source[i + 1]);
        return (-1, '\0');
    }

    private char SignAt(int index) => index < _source.Length && _source[index] is '-' or '+' ? _source[index] : '\0';

    private void EmitData(int from, int to, char sign, bool stripLine, bool lineStarts)
    {
        if (sign == '-')
        {
            while (to > from && IsSpace(_source[to - 1]))
                to--;
        }
        else if (sign == '\0' && stripLine)
        {
            var line = to;
            while (line > from && _source[line - 1] != '\n' && IsSpace(_source[line - 1]))
                line--;
            if (line == from ? lineStarts : _source[line - 1] == '\n')
                to = line;
        }
        if (to > from)
            Emit(TokenKind.Data, _source[from..to], from);
    }

    /// <summary>Moves past the end of a tag whose last characters begin at <paramref name="end"/>.</summary>
    private void EndTag(int end, char sign, bool trimNewline)
    {
        _at = end + 2;
        if (sign == '-')
        {
            while (_at < _source.Length && IsSpace(_source[_at]))
                _at++;
        }
        else if (sign == '\0' && trimNewline && _at < _source.Length && _source[_at] == '\n')
        {
            _at++;
        }
    }

    private void SkipComment(int begin)
    {
        var end = _source.IndexOf("#}", _at, StringComparison.Ordinal);
        if (end < 0)
            throw Error("The comment '{#' has no end '#}'", begin);
        EndTag(end, end > _at ? SignAt(end - 1) : '\0', trimNewline: true);
    }

    private bool TryReadRaw(int begin)
    {
        var i = SkipSpace(_at);
        if (!Matches(i, "raw"))
            return false;
        i = SkipSpace(i + 3);
        if (Matches(i, "-%}"))
            EndTag(i + 1, '-', trimNewline: false);
        else if (Matches(i, "%}"))
            EndTag(i, '\0', trimNewline: false);
        else
            return false;
        var lineStarts = _source[_at - 1] == '\n';
        for (var from = _at; (from = _source.IndexOf("{%", from, StringComparison.Ordinal)) >= 0; from += 2)
        {
            var sign = SignAt(from + 2);
            i = SkipSpace(from + 2 + (sign == '\0' ? 0 : 1));
            if (!Matches(i, "endraw"))
                continue;
            i = SkipSpace(i + 6);
            var endSign = SignAt(i);
            if (endSign != '\0')
                i++;
            if (!Matches(i, "%}"))
                continue;
            EmitData(_at, from, sign, stripLine: true, lineStarts);
            EndTag(i, endSign, trimNewline: true);
            return true;
        }
        throw Error("The raw block has no end '{% endraw %}'", begin);
    }

    private bool Matches(int index, string text) => string.CompareOrdinal(_source, index, text, 0, text.Length) == 0;

    private int SkipSpace(int index)
    {
        while (index < _source.Length && IsSpace(_source[index]))
            index++;
        return index;
    }

    private void ReadTag(int begin, bool isBlock)
    {
        Emit(isBlock ? TokenKind.BlockBegin : TokenKind.VariableBegin, "", begin);
        var closers = new Stack<char>();
        var close = isBlock ? "%}" : "}}";
        while (true)
        {
            _at = SkipSpace(_at);
            if (_at >= _source.Length)
                throw Error($"The tag '{_source.Substring(begin, 2)}' has no end '{close}'", begin);
            if (closers.Count == 0)
            {
                var sign = SignAt(_at);
                if (sign == '+' && !isBlock)
                    sign = '\0'; // '+' ends no variable tag; it is an operator
                if (Matches(_at + (sign == '\0' ? 0 : 1), close))
                {
                    Emit(isBlock ? TokenKind.BlockEnd : TokenKind.VariableEnd, "", _at);
                    EndTag(_at + (sign == '\0' ? 0 : 1), sign, trimNewline: isBlock);
                    return;
                }
            }
            ReadToken(closers);
        }
    }

    private void ReadToken(Stack<char> closers)
    {
        var start = _at;
        var c = _source[start];
        if (c is '\'' or '"')
        {
            ReadString(c);
        }
        else if (char.IsAsciiDigit(c))
        {
            ReadNumber();
        }
        else if (c == '_' || char.IsLetter(c))
        {
            while (_at < _source.Length && (_source[_at] == '_' || char.IsLetterOrDigit(_source[_at])))
                _at++;
            Emit(TokenKind.Name, _source[start.._at], start);
        }
        else
        {
            var symbol = Array.Find(Operators, o => Matches(start, o)) ?? throw Error($"Unexpected character '{c}'", start);
            switch (symbol)
            {
                case "(":
                    closers.Push(')');
                    break;
                case "[":
                    closers.Push(']');
                    break;
                case "{":
                    closers.Push('}');
                    break;
                case ")" or "]" or "}":
                    if (closers.Count == 0)
                        throw Error($"Unexpected '{symbol}'", start);
                    if (closers.Pop() is var expected && expected != symbol[0])
                        throw Error($"Unexpected '{symbol}', expected '{expected}'", start);
                    break;
            }
            _at += symbol.Length;
            Emit(TokenKind.Operator, symbol, start);
        }
    }

    private void ReadNumber()
    {
        var start = _at;
        if (_source[start] == '0' && start + 1 < _source.Length && char.ToLowerInvariant(_source[start + 1]) is var mark and ('x' or 'o' or 'b'))
        {
            var radix = mark switch { 'x' => 16, 'o' => 8, _ => 2 };
            var value = BigInteger.Zero;
            var digits = 0;
            for (_at += 2; _at < _source.Length && (_source[_at] == '_' || char.IsAsciiHexDigit(_source[_at])); _at++)
            {
                if (_source[_at] == '_')
                    continue;
                var digit = Convert.ToInt32(_source[_at].ToString(), 16);
                if (digit >= radix || ++digits > 1000)
                    throw Error($"'{_source[start..(_at + 1)]}' is not a number", start);
                value = value * radix + digit;
            }
            if (digits == 0)
                throw Error("A number needs digits", start);
            Emit(TokenKind.Number, _source[start.._at], start, PythonOperators.Integer(value));
            return;
        }
        SkipDigits();
        var isFloat = false;
        var afterDot = start > 0 && _source[start - 1] == '.'; // a.0.1 is two indexes
        if (!afterDot && Matches(_at, ".") && DigitAt(_at + 1))
        {
            isFloat = true;
            _at++;
            SkipDigits();
        }
        if (!afterDot && _at < _source.Length && _source[_at] is 'e' or 'E')
        {
            var exponent = _at + 1;
            if (exponent < _source.Length && _source[exponent] is '+' or '-')
                exponent++;
            if (DigitAt(exponent))
            {
                isFloat = true;
                _at = exponent;
                SkipDigits();
            }
        }
        var text = _source[start.._at].Replace("_", "", StringComparison.Ordinal);
        if (text.Length > 1000)
            throw Error($"A number of {text.Length} digits is too long; at most 1000 are allowed", start);
        Emit(TokenKind.Number, text, start, isFloat
            ? double.Parse(text, CultureInfo.InvariantCulture)
            : PythonOperators.Integer(BigInteger.Parse(text, CultureInfo.InvariantCulture)));
    }

    private bool DigitAt(int index) => index < _source.Length && char.IsAsciiDigit(_source[index]);

    private void SkipDigits()
    {
        while (DigitAt(_at) || (Matches(_at, "_") && DigitAt(_at + 1)))
            _at++;
    }

    private void ReadString(char quote)
    {
        var start = _at++;
        var text = new StringBuilder();
        while (true)
        {
            if (_at >= _source.Length)
                throw Error("The string has no end", start);
            var c = _source[_at++];
            if (c == quote)
                break;
            if (c == '\\' && _at < _source.Length)
                ReadEscape(text);
            else
                text.Append(c);
        }
        Emit(TokenKind.Text, text.ToString(), start);
    }

    private void ReadEscape(StringBuilder text)
    {
        var start = _at - 1;
        var c = _source[_at++];
        switch (c)
        {
            case '\n':
                break;
            case '\\' or '\'' or '"':
                text.Append(c);
                break;
            case 'n':
                text.Append('\n');
                break;
            case 't':
                text.Append('\t');
                break;
            case 'r':
                text.Append('\r');
                break;
            case 'a':
                text.Append('\a');
                break;
            case 'b':
                text.Append('\b');
                break;
            case 'f':
                text.Append('\f');
                break;
            case 'v':
                text.Append('\v');
                break;
            case 'x':
                AppendCodePoint(text, start, Hex(2, start));
                break;
            case 'u':
                text.Append((char)Hex(4, start));
                break;
            case 'U':
                AppendCodePoint(text, start, Hex(8, start));
                break;
            case 'N':
                throw Error("The escape '\\N{...}' is not supported; write the character or its \\u code", start);
            case >= '0' and <= '7':
                var value = c - '0';
                for (var i = 0; i < 2 && _at < _source.Length && _source[_at] is >= '0' and <= '7'; i++)
                    value = value * 8 + (_source[_at++] - '0');
                text.Append((char)value);
                break;
            default:
                text.Append('\\').Append(c);
                break;
        }
    }

    private long Hex(int digits, int start)
    {
        var value = 0L;
        for (var i = 0; i < digits; i++)
        {
            if (_at >= _source.Length || !char.IsAsciiHexDigit(_source[_at]))
                throw Error($"The escape '{_source[start..Math.Min(_at, _source.Length)]}' needs {digits} hexadecimal digits", start);
            value = value * 16 + Convert.ToInt32(_source[_at++].ToString(), 16);
        }
        return value;
    }

    private void AppendCodePoint(StringBuilder text, int start, long codePoint)
    {
        if (codePoint > 0x10FFFF)
            throw Error($"The escape names the code point {codePoint:x}; the last is 10ffff", start);
        if (codePoint > 0xFFFF)
            text.Append(char.ConvertFromUtf32((int)codePoint));
        else
            text.Append((char)codePoint);
    }

    private void Emit(TokenKind kind, string value, int at, object? literal = null) => _tokens.Add(new(kind, value, PositionOf(at), literal));

    private SourcePosition PositionOf(int at)
    {
        var line = _lineStarts.BinarySearch(at);
        line = line < 0 ? ~line - 1 : line;
        return new(line + 1, at - _lineStarts[line] + 1);
    }

    private ChatTemplateException Error(string message, int at)
    {
        var (line, column) = PositionOf(at);
        return new(message, line, column);
    }
}
