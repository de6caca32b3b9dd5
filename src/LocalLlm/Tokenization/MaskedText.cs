using System.Text;

namespace LocalLlm.Tokenization;

/// <summary>A text that knows which of its characters a template wrote.</summary>
/// <param name="Text">The text, without lone surrogates.</param>
/// <param name="IsTemplate">One entry per UTF-16 unit; null when all of the text is template text.</param>
internal readonly record struct MaskedText(string Text, bool[]? IsTemplate)
{
    /// <summary>Joins a prompt's segments.</summary>
    public static MaskedText Join(IReadOnlyList<PromptSegment> segments)
    {
        if (segments.Count == 1 && segments[0].IsTemplate)
            return new MaskedText(WithoutLoneSurrogates(segments[0].Text), null);
        var text = new StringBuilder();
        foreach (var segment in segments)
            text.Append(segment.Text);
        if (segments.All(s => s.IsTemplate))
            return new MaskedText(WithoutLoneSurrogates(text.ToString()), null);
        bool[] isTemplate = new bool[text.Length];
        int position = 0;
        foreach (var segment in segments)
        {
            isTemplate.AsSpan(position, segment.Text.Length).Fill(segment.IsTemplate);
            position += segment.Text.Length;
        }
        return new MaskedText(WithoutLoneSurrogates(text.ToString()), isTemplate);
    }

    /// <summary>A part of the text.</summary>
    public MaskedText Slice(int start, int length) =>
        length == Text.Length
            ? this
            : new MaskedText(Text.Substring(start, length), IsTemplate?[start..(start + length)]);

    /// <summary>True when a template wrote the whole range.</summary>
    public bool IsTemplateRange(int start, int length) => IsTemplate is null || !IsTemplate.AsSpan(start, length).Contains(false);

    // U+FFFD for a lone surrogate, which has no UTF-8 form. The length does not change.
    private static string WithoutLoneSurrogates(string text)
    {
        int first = IndexOfLoneSurrogate(text, 0);
        if (first < 0)
            return text;
        char[] units = text.ToCharArray();
        for (int i = first; i >= 0; i = IndexOfLoneSurrogate(text, i + 1))
            units[i] = '\uFFFD';
        return new string(units);
    }

    private static int IndexOfLoneSurrogate(string text, int start)
    {
        for (int i = start; i < text.Length; i++)
        {
            int offset = text.AsSpan(i).IndexOfAnyInRange('\uD800', '\uDFFF');
            if (offset < 0)
                return -1;
            i += offset;
            if (i + 1 < text.Length && char.IsSurrogatePair(text[i], text[i + 1]))
                i++;
            else
                return i;
        }
        return -1;
    }
}
