using System.Buffers;
using System.Globalization;
using System.Text;

namespace LocalLlm.Tokenization;

/// <summary>
/// Finds added tokens in text as Hugging Face does: leftmost first, of several at one place the longest. Control tokens count only where
/// a template wrote every character of them.
/// </summary>
internal sealed class AddedTokenMatcher
{
    private readonly SearchValues<char>? _firstChars;
    private readonly Dictionary<char, int[]> _lengthsByFirstChar;
    private readonly Dictionary<string, AddedToken>.AlternateLookup<ReadOnlySpan<char>> _tokens;
    private readonly bool _controlOnly;

    /// <param name="tokens">The tokens to find.</param>
    /// <param name="pattern">The text by which a token is found.</param>
    public AddedTokenMatcher(IEnumerable<AddedToken> tokens, Func<AddedToken, string> pattern)
    {
        var byPattern = new Dictionary<string, AddedToken>(StringComparer.Ordinal);
        foreach (var token in tokens)
        {
            string text = pattern(token);
            if (text.Length > 0)
                byPattern.TryAdd(text, token);
        }
        _tokens = byPattern.GetAlternateLookup<ReadOnlySpan<char>>();
        _lengthsByFirstChar = byPattern.Keys.GroupBy(p => p[0])
            .ToDictionary(g => g.Key, g => g.Select(p => p.Length).Distinct().OrderDescending().ToArray());
        _firstChars = byPattern.Count == 0 ? null : SearchValues.Create([.. _lengthsByFirstChar.Keys]);
        _controlOnly = byPattern.Values.All(t => t.IsControl);
    }

    /// <summary>True when there is nothing to find.</summary>
    public bool IsEmpty => _firstChars is null;

    /// <summary>A token, or text between tokens.</summary>
    /// <param name="TokenId">The token, or null for text.</param>
    /// <param name="Text">The text; default for a token.</param>
    /// <param name="Start">Where it begins.</param>
    public readonly record struct Piece(int? TokenId, MaskedText Text, int Start);

    /// <summary>Splits a text into tokens and what lies between; empty pieces are left out.</summary>
    public IEnumerable<Piece> Split(MaskedText text)
    {
        string s = text.Text;
        int textStart = 0;
        int position = 0;
        bool nothingToFind = IsEmpty || (_controlOnly && text.IsTemplate is { } mask && !mask.AsSpan().Contains(true));
        while (!nothingToFind && position < s.Length)
        {
            int offset = s.AsSpan(position).IndexOfAny(_firstChars!);
            if (offset < 0)
                break;
            position += offset;
            if (Longest(text, position) is not (var token, var length))
            {
                position++;
                continue;
            }
            int start = position;
            int end = position + length;
            position = end;
            if (token.SingleWord && (EndsWithWord(s.AsSpan(0, start)) || StartsWithWord(s.AsSpan(end))))
                continue;
            if (token.StripLeft)
            {
                while (start > textStart && char.IsWhiteSpace(s[start - 1]))
                    start--;
            }
            if (token.StripRight)
            {
                // The search goes on after the token itself, so a token that is made of white space can still be found in what was
                // swallowed.
                while (end < s.Length && char.IsWhiteSpace(s[end]))
                    end++;
            }
            if (textStart < start)
                yield return new Piece(null, text.Slice(textStart, start - textStart), textStart);
            yield return new Piece(token.Id, default, start);
            textStart = Math.Max(textStart, end);
        }
        if (textStart < s.Length)
            yield return new Piece(null, text.Slice(textStart, s.Length - textStart), textStart);
    }

    private (AddedToken Token, int Length)? Longest(MaskedText text, int start)
    {
        foreach (int length in _lengthsByFirstChar[text.Text[start]])
        {
            if (start + length <= text.Text.Length
                && _tokens.TryGetValue(text.Text.AsSpan(start, length), out var token)
                && (!token.IsControl || text.IsTemplateRange(start, length)))
                return (token, length);
        }
        return null;
    }

    private static bool EndsWithWord(ReadOnlySpan<char> text) =>
        Rune.DecodeLastFromUtf16(text, out var rune, out _) == OperationStatus.Done && IsWord(rune);

    private static bool StartsWithWord(ReadOnlySpan<char> text) =>
        Rune.DecodeFromUtf16(text, out var rune, out _) == OperationStatus.Done && IsWord(rune);

    // \w of Unicode regular expressions: letters, marks, numbers that are letters or digits, connectors, joiners.
    private static bool IsWord(Rune rune) => Rune.GetUnicodeCategory(rune) switch
    {
        UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter
            or UnicodeCategory.ModifierLetter or UnicodeCategory.OtherLetter or UnicodeCategory.LetterNumber
            or UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark
            or UnicodeCategory.DecimalDigitNumber or UnicodeCategory.ConnectorPunctuation => true,
        _ => rune.Value is 0x200C or 0x200D,
    };
}
