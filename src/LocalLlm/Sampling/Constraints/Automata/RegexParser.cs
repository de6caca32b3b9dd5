using System.Globalization;
using System.Text;

namespace LocalLlm.Sampling.Constraints.Automata;

/// <summary>
/// Reads ECMAScript's regular expressions in Unicode mode, in which a dot, a class and a quantifier count scalar values. More lenient in two places,
/// as patterns in the wild need it: any punctuation may be escaped, and braces and brackets that quantify and close nothing are themselves.
/// </summary>
internal sealed class RegexParser
{
    private const int MaxDepth = 100;
    private const string Syntax = "ECMAScript's syntax in Unicode mode is read";

    private readonly string pattern;
    private readonly int[] runes;
    private int position;
    private int depth;

    private RegexParser(string pattern) => (this.pattern, runes) = (pattern, [.. pattern.EnumerateRunes().Select(r => r.Value)]);

    /// <summary>The tree of a pattern.</summary>
    /// <exception cref="ConstraintException">It is wrong, or not a regular language.</exception>
    public static RegexNode Parse(string pattern)
    {
        var parser = new RegexParser(pattern);
        var node = parser.ParseChoice();
        return parser.position == parser.runes.Length ? node : throw parser.Wrong("a ')' closes nothing", parser.position);
    }

    private int Current => position < runes.Length ? runes[position] : -1;

    private RegexNode ParseChoice()
    {
        if (++depth > MaxDepth)
            throw Wrong($"groups nest deeper than {MaxDepth}", position);
        var items = new List<RegexNode> { ParseSequence() };
        while (Take('|'))
            items.Add(ParseSequence());
        depth--;
        return items.Count == 1 ? items[0] : new RegexChoice(items);
    }

    private RegexSequence ParseSequence()
    {
        var items = new List<RegexNode>();
        while (Current is not (-1 or '|' or ')'))
            items.Add(ParseTerm());
        return new RegexSequence(items);
    }

    private RegexNode ParseTerm()
    {
        var start = position;
        var atom = ParseAtom();
        while (TryParseQuantifier(out var min, out var max))
        {
            if (atom is RegexAnchor or RegexRepeat)
                throw Wrong("a quantifier has nothing to repeat", start);
            if (max < min)
                throw Wrong($"the repetition's minimum {min} is above its maximum {max}", start);
            if (Current == '+')
                throw Unsupported("a possessive quantifier", position);
            Take('?'); // lazy: the same language
            atom = new RegexRepeat(atom, min, max);
        }

        return atom;
    }

    private bool TryParseQuantifier(out int min, out int? max)
    {
        (min, max) = (0, null);
        switch (Current)
        {
            case '*':
                position++;
                return true;
            case '+':
                (min, position) = (1, position + 1);
                return true;
            case '?':
                (max, position) = (1, position + 1);
                return true;
            case '{':
                var start = position++;
                if (TryParseCount(out min))
                {
                    max = min;
                    if (Take(','))
                        max = TryParseCount(out var upper) ? upper : null;
                    if (Take('}'))
                        return true;
                }

                position = start;
                return false;
            default:
                return false;
        }
    }

    private bool TryParseCount(out int count)
    {
        var (start, value) = (position, 0L);
        for (; Current is >= '0' and <= '9'; position++)
            value = Math.Min(int.MaxValue, value * 10 + (Current - '0'));
        count = (int)value;
        return position > start;
    }

    private RegexNode ParseAtom()
    {
        var start = position;
        var rune = runes[position++];
        switch (rune)
        {
            case '^':
                return new RegexAnchor(NfaCondition.AtStart);
            case '$':
                return new RegexAnchor(NfaCondition.AtEnd);
            case '.':
                return new RegexSet(UnicodeClasses.Dot);
            case '(':
                return ParseGroup(start);
            case '[':
                return new RegexSet(ParseClass(start));
            case '\\':
                return new RegexSet(ParseEscape(inClass: false));
            case '*' or '+' or '?':
                throw Wrong("a quantifier has nothing to repeat", start);
            default:
                return new RegexSet(CharSet.Single(rune));
        }
    }

    private RegexNode ParseGroup(int start)
    {
        if (Take('?') && !Take(':'))
        {
            var kind = Current;
            if (kind == '<' && position + 1 < runes.Length && runes[position + 1] is not ('=' or '!'))
                SkipName(start);
            else
                throw Unsupported(GroupName(kind), start);
        }

        var node = ParseChoice();
        return Take(')') ? node : throw Wrong("a group is not closed", start);
    }

    private static string GroupName(int kind) =>
        kind switch { '=' or '!' => "look-ahead", '<' => "look-behind", '>' => "an atomic group", _ => "this kind of group" };

    private void SkipName(int start)
    {
        var end = Array.IndexOf(runes, '>', position);
        if (end <= position + 1)
            throw Wrong("a group's name is missing or not closed", start);
        position = end + 1;
    }

    private CharSet ParseClass(int start)
    {
        var negated = Take('^');
        var sets = new List<CharSet>();
        while (!Take(']'))
        {
            if (Current == -1)
                throw Wrong("a class is not closed", start);
            var first = ParseClassAtom();
            if (Current != '-' || position + 1 >= runes.Length || runes[position + 1] == ']')
            {
                sets.Add(first);
                continue;
            }

            var dash = position++;
            var last = ParseClassAtom();
            if (SingleOf(first) is not { } low || SingleOf(last) is not { } high || low > high)
                throw Wrong("a class's range is not from one character to a later one", dash);
            sets.Add(CharSet.Of((low, high)));
        }

        var set = CharSet.Union(sets);
        return negated ? set.Complement() : set;
    }

    private CharSet ParseClassAtom()
    {
        var rune = runes[position++];
        return rune == '\\' ? ParseEscape(inClass: true) : CharSet.Single(rune);
    }

    private static int? SingleOf(CharSet set) => set.Ranges is [var (low, high)] && low == high ? low : null;

    private CharSet ParseEscape(bool inClass)
    {
        var start = position - 1;
        if (Current == -1)
            throw Wrong("an escape is not finished", start);
        var rune = runes[position++];
        switch (rune)
        {
            case 'd':
                return UnicodeClasses.Digit;
            case 'D':
                return UnicodeClasses.Digit.Complement();
            case 'w':
                return UnicodeClasses.Word;
            case 'W':
                return UnicodeClasses.Word.Complement();
            case 's':
                return UnicodeClasses.Space;
            case 'S':
                return UnicodeClasses.Space.Complement();
            case 'p' or 'P':
                var set = ParseProperty(start);
                return rune == 'p' ? set : set.Complement();
            case 't':
                return CharSet.Single('\t');
            case 'n':
                return CharSet.Single('\n');
            case 'r':
                return CharSet.Single('\r');
            case 'f':
                return CharSet.Single('\f');
            case 'v':
                return CharSet.Single('\v');
            case 'x':
                return CharSet.Single(ParseHex(2, start));
            case 'u':
                return CharSet.Single(ParseUnicode(start));
            case 'c':
                var letter = Current;
                if (letter is not (>= 'a' and <= 'z' or >= 'A' and <= 'Z'))
                    throw Wrong("\\c needs a letter", start);
                position++;
                return CharSet.Single(letter % 32);
            case '0' when Current is not (>= '0' and <= '9'):
                return CharSet.Single(0);
            case 'b' when inClass:
                return CharSet.Single('\b');
            case 'b' or 'B':
                throw Unsupported("a word boundary", start);
            case >= '1' and <= '9' when !inClass:
            case 'k':
                throw Unsupported("a back reference", start);
            case >= '0' and <= '9' or >= 'a' and <= 'z' or >= 'A' and <= 'Z':
                throw Wrong($"the escape \\{new Rune(rune)} is unknown", start);
            default:
                return CharSet.Single(rune);
        }
    }

    private CharSet ParseProperty(int start)
    {
        var end = Current == '{' ? Array.IndexOf(runes, '}', position) : -1;
        if (end < 0)
            throw Wrong("\\p needs a name in braces", start);
        var name = string.Concat(runes[(position + 1)..end].Select(r => new Rune(r).ToString()));
        position = end + 1;
        return UnicodeClasses.Property(name)
            ?? throw Unsupported($"the Unicode property '{name}' (general categories, such as L or Lu, are)", start);
    }

    private int ParseUnicode(int start)
    {
        if (Take('{'))
        {
            var value = 0;
            var digits = position;
            for (; Current is >= 0 and < 128 && char.IsAsciiHexDigit((char)Current) && value <= CharSet.MaxValue; position++)
                value = value * 16 + HexValue(Current);
            if (position == digits || !Take('}') || !Rune.IsValid(value))
                throw Wrong("\\u{…} needs the hexadecimal number of a scalar value", start);
            return value;
        }

        var unit = (char)ParseHex(4, start);
        if (char.IsHighSurrogate(unit) && Take('\\') && Take('u'))
        {
            var low = (char)ParseHex(4, start);
            if (char.IsLowSurrogate(low))
                return char.ConvertToUtf32(unit, low);
        }

        return char.IsSurrogate(unit) ? throw Wrong("a surrogate stands alone", start) : unit;
    }

    private int ParseHex(int count, int start)
    {
        var value = 0;
        for (var i = 0; i < count; i++, position++)
        {
            if (Current is < 0 or > 127 || !char.IsAsciiHexDigit((char)Current))
                throw Wrong($"an escape needs {count} hexadecimal digits", start);
            value = value * 16 + HexValue(Current);
        }

        return value;
    }

    private static int HexValue(int digit) => digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10;

    private bool Take(char expected)
    {
        if (Current != expected)
            return false;
        position++;
        return true;
    }

    private ConstraintException Wrong(string what, int at) =>
        new(Subject, [string.Create(CultureInfo.InvariantCulture, $"{what} (at position {at}; {Syntax})")]);

    private ConstraintException Unsupported(string what, int at) =>
        new(Subject, [string.Create(CultureInfo.InvariantCulture, $"{what} at position {at} is not supported; write the pattern without it")]);

    private string Subject => $"The pattern '{pattern}'";
}
