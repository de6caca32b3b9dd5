using System.Globalization;
using System.Text;

namespace LocalLlm.Tokenization;

/// <summary>Rewrites regular expressions from Oniguruma's syntax to .NET's where the two differ.</summary>
internal static class OnigurumaSyntax
{
    /// <summary>
    /// Possessive quantifiers become atomic groups and <c>\x{…}</c>, <c>\h</c> become what .NET knows. What would silently mean something
    /// else in .NET is refused: POSIX brackets, classes inside classes, characters beyond U+FFFF.
    /// </summary>
    /// <exception cref="ArgumentException">The expression uses what .NET cannot do.</exception>
    public static string ToDotNet(string pattern)
    {
        var result = new StringBuilder(pattern.Length);
        var groupStarts = new Stack<int>();
        int atomStart = 0; // where in the result the last atom begins: what a quantifier would repeat
        for (int i = 0; i < pattern.Length;)
        {
            char c = pattern[i];
            if (char.IsSurrogate(c))
                throw new ArgumentException("characters beyond U+FFFF in a pattern are not supported");
            switch (c)
            {
                case '\\':
                    atomStart = result.Length;
                    i = AppendEscape(pattern, i, result, inClass: false);
                    break;
                case '[':
                    atomStart = result.Length;
                    i = AppendClass(pattern, i, result);
                    break;
                case '(':
                    groupStarts.Push(result.Length);
                    result.Append(c);
                    i++;
                    if (i < pattern.Length && pattern[i] == '?')
                    {
                        // The '?' of "(?:" and the like is no quantifier.
                        result.Append('?');
                        i++;
                    }
                    break;
                case ')':
                    atomStart = groupStarts.TryPop(out int start) ? start : result.Length;
                    result.Append(c);
                    i++;
                    break;
                case '?' or '*' or '+':
                    result.Append(c);
                    i++;
                    if (i < pattern.Length && pattern[i] == '+')
                    {
                        result.Insert(atomStart, "(?>").Append(')');
                        i++;
                    }
                    else if (i < pattern.Length && pattern[i] == '?')
                    {
                        result.Append('?');
                        i++;
                    }
                    break;
                default:
                    if (c != '{')
                        atomStart = result.Length;
                    result.Append(c);
                    i++;
                    if (c == '{')
                    {
                        // "{1,3}" stays; a quantifier after it would repeat the whole.
                        int close = pattern.IndexOf('}', i);
                        if (close > 0)
                        {
                            result.Append(pattern, i, close + 1 - i);
                            i = close + 1;
                            if (i < pattern.Length && pattern[i] == '+')
                                throw new ArgumentException("'+' after an interval is not supported");
                        }
                    }
                    break;
            }
        }
        return result.ToString();
    }

    private static int AppendClass(string pattern, int start, StringBuilder result)
    {
        int i = start + 1;
        result.Append('[');
        if (i < pattern.Length && pattern[i] == '^')
        {
            result.Append('^');
            i++;
        }
        for (bool first = true; i < pattern.Length; first = false)
        {
            char c = pattern[i];
            if (char.IsSurrogate(c))
                throw new ArgumentException("characters beyond U+FFFF in a pattern are not supported");
            if (c == '[')
                throw new ArgumentException(
                    "a bracket inside a character class ([[:alpha:]], nested classes) is not supported; write '\\[' for the character");
            if (c == '&' && i + 1 < pattern.Length && pattern[i + 1] == '&')
                throw new ArgumentException("'&&' inside a character class is not supported");
            if (c == '\\')
            {
                i = AppendEscape(pattern, i, result, inClass: true);
                continue;
            }
            result.Append(c);
            i++;
            if (c == ']' && !first)
                return i;
        }
        throw new ArgumentException("a character class has no end");
    }

    private static int AppendEscape(string pattern, int start, StringBuilder result, bool inClass)
    {
        if (start + 1 >= pattern.Length)
            throw new ArgumentException("the pattern ends in '\\'");
        char c = pattern[start + 1];
        if (c == 'h' || c == 'H')
        {
            if (inClass && c == 'H')
                throw new ArgumentException("'\\H' inside a character class is not supported");
            result.Append(inClass ? "0-9a-fA-F" : c == 'h' ? "[0-9a-fA-F]" : "[^0-9a-fA-F]");
            return start + 2;
        }
        if (c is 'p' or 'P')
        {
            int close = pattern.IndexOf('}', start);
            if (start + 2 >= pattern.Length || pattern[start + 2] != '{' || close < 0)
                throw new ArgumentException($"'\\{c}' needs a property in braces");
            bool negated = pattern[start + 3] == '^';
            result.Append('\\').Append(negated ? (c == 'p' ? 'P' : 'p') : c).Append('{')
                .Append(pattern, start + (negated ? 4 : 3), close - start - (negated ? 4 : 3)).Append('}');
            return close + 1;
        }
        if (c == 'x' && start + 2 < pattern.Length && pattern[start + 2] == '{')
        {
            int close = pattern.IndexOf('}', start);
            var digits = close < 0 ? default : pattern.AsSpan(start + 3, close - start - 3);
            if (!ushort.TryParse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ushort unit))
                throw new ArgumentException("'\\x{…}' must be a character up to U+FFFF");
            result.Append("\\u").Append(unit.ToString("X4", CultureInfo.InvariantCulture));
            return close + 1;
        }
        result.Append('\\').Append(c);
        return start + 2;
    }
}
