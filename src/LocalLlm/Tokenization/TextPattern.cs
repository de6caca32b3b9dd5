using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace LocalLlm.Tokenization;

/// <summary>A range of a text.</summary>
internal readonly record struct TextSpan(int Start, int Length)
{
    public int End => Start + Length;
}

/// <summary>A fixed text, a regular expression or a class of characters, as tokenizer files use them to split and replace.</summary>
internal sealed class TextPattern
{
    // A split pattern needs microseconds a match; only one made to backtrack without end comes near this.
    private static readonly TimeSpan MatchTimeout = TimeSpan.FromSeconds(10);

    private readonly Regex? _regex;
    private readonly Func<Rune, bool>? _isMember;

    private TextPattern(string? literal, Regex? regex, Func<Rune, bool>? isMember) =>
        (Literal, _regex, _isMember) = (literal, regex, isMember);

    /// <summary>The fixed text, or null for another kind.</summary>
    public string? Literal { get; }

    /// <summary>Matches a fixed text; one that is empty matches nothing.</summary>
    public static TextPattern FromLiteral(string literal) => new(literal, null, null);

    /// <summary>Matches each character of a class by itself.</summary>
    public static TextPattern FromClass(Func<Rune, bool> isMember) => new(null, null, isMember);

    /// <summary>Matches a regular expression in Oniguruma's syntax, which tokenizer files are written for.</summary>
    /// <exception cref="ArgumentException">The expression is wrong or uses what .NET cannot do; the message says what.</exception>
    public static TextPattern FromRegex(string pattern) => new(
        null,
        new Regex(
            OnigurumaSyntax.ToDotNet(pattern),
            RegexOptions.Compiled | RegexOptions.CultureInvariant | RegexOptions.Multiline,
            MatchTimeout),
        null);

    /// <summary>Finds all matches, left to right.</summary>
    public void FindMatches(ReadOnlySpan<char> text, List<TextSpan> matches)
    {
        if (Literal is { Length: > 0 } literal)
        {
            for (int position = 0; text[position..].IndexOf(literal, StringComparison.Ordinal) is >= 0 and var offset;)
            {
                matches.Add(new TextSpan(position + offset, literal.Length));
                position += offset + literal.Length;
            }
        }
        else if (_isMember is not null)
        {
            for (int position = 0; position < text.Length;)
            {
                Rune.DecodeFromUtf16(text[position..], out var rune, out int length);
                if (_isMember(rune))
                    matches.Add(new TextSpan(position, length));
                position += length;
            }
        }
        else if (_regex is not null)
        {
            try
            {
                if (text.IndexOfAnyInRange('\uD800', '\uDFFF') < 0)
                    FindRegexMatches(text, matches);
                else
                    FindRegexMatchesBeyondBmp(text, matches);
            }
            catch (RegexMatchTimeoutException e)
            {
                throw new LocalLlmException(
                    $"The tokenizer's split pattern '{_regex}' needed more than {MatchTimeout.TotalSeconds} s for one match in a text of "
                    + $"{text.Length} characters. The pattern in tokenizer.json backtracks without end: use one that does not.",
                    e);
            }
        }
    }

    private void FindRegexMatches(ReadOnlySpan<char> text, List<TextSpan> matches)
    {
        foreach (var match in _regex!.EnumerateMatches(text))
            matches.Add(new TextSpan(match.Index, match.Length));
    }

    // .NET's expressions see a character beyond U+FFFF as two surrogates, which are neither letters nor digits nor anything else that a
    // pattern asks for. So they look at a text in which a rare character of the same category stands for each of them.
    private void FindRegexMatchesBeyondBmp(ReadOnlySpan<char> text, List<TextSpan> matches)
    {
        char[] standIns = ArrayPool<char>.Shared.Rent(text.Length);
        int[] positions = ArrayPool<int>.Shared.Rent(text.Length + 1);
        int count = 0;
        for (int i = 0; i < text.Length; i++)
        {
            positions[count] = i;
            if (char.IsHighSurrogate(text[i]) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]))
            {
                standIns[count++] = StandIn(new Rune(text[i], text[i + 1]));
                i++;
            }
            else
            {
                standIns[count++] = text[i];
            }
        }
        positions[count] = text.Length;
        foreach (var match in _regex!.EnumerateMatches(standIns.AsSpan(0, count)))
        {
            int start = positions[match.Index];
            matches.Add(new TextSpan(start, positions[match.Index + match.Length] - start));
        }
        ArrayPool<char>.Shared.Return(standIns);
        ArrayPool<int>.Shared.Return(positions);
    }

    /// <summary>A character below U+10000 that regular expressions treat alike: one of the same category that no pattern names.</summary>
    internal static char StandIn(Rune rune) => Rune.GetUnicodeCategory(rune) switch
    {
        UnicodeCategory.UppercaseLetter => '\uA77D',
        UnicodeCategory.LowercaseLetter => '\uA771',
        UnicodeCategory.TitlecaseLetter => '\u1FBC',
        UnicodeCategory.ModifierLetter => '\uA9CF',
        UnicodeCategory.OtherLetter => '\uA840',
        UnicodeCategory.NonSpacingMark => '\uA8E0',
        UnicodeCategory.SpacingCombiningMark => '\uA880',
        UnicodeCategory.EnclosingMark => '\uA670',
        UnicodeCategory.DecimalDigitNumber => '\uA8D0',
        UnicodeCategory.LetterNumber => '\uA6E6',
        UnicodeCategory.OtherNumber => '\uA830',
        UnicodeCategory.ConnectorPunctuation => '\uFE4D',
        UnicodeCategory.DashPunctuation => '\uFE58',
        UnicodeCategory.OpenPunctuation => '\uFE47',
        UnicodeCategory.ClosePunctuation => '\uFE48',
        UnicodeCategory.InitialQuotePunctuation => '\u2E02',
        UnicodeCategory.FinalQuotePunctuation => '\u2E03',
        UnicodeCategory.OtherPunctuation => '\uA8CE',
        UnicodeCategory.MathSymbol => '\u2A00',
        UnicodeCategory.CurrencySymbol => '\uA838',
        UnicodeCategory.ModifierSymbol => '\uA700',
        UnicodeCategory.OtherSymbol => '\uA828',
        UnicodeCategory.Format => '\u2061',
        UnicodeCategory.PrivateUse => '\uE000',
        _ => '\u0378',
    };
}
