using System.Text;

namespace LocalLlm.Tokenization;

/// <summary>The normalizer of a tokenizer: steps that rewrite text before it is split.</summary>
internal sealed class TextNormalizer(IReadOnlyList<NormalizationStep> steps)
{
    /// <summary>Leaves text as it is.</summary>
    public static TextNormalizer None { get; } = new([]);

    /// <summary>Rewrites a text; a rewritten character is template text if all that it comes from is.</summary>
    public MaskedText Apply(MaskedText text)
    {
        foreach (var step in steps)
            text = step.Apply(text);
        return text;
    }
}

/// <summary>One step of a <see cref="TextNormalizer"/>.</summary>
internal abstract class NormalizationStep
{
    public abstract MaskedText Apply(MaskedText text);
}

/// <summary>Puts a text before any text that is not empty.</summary>
internal sealed class PrependStep(string prefix) : NormalizationStep
{
    public override MaskedText Apply(MaskedText text) =>
        text.Text.Length == 0 || prefix.Length == 0
            ? text
            : new MaskedText(
                prefix + text.Text,
                text.IsTemplate is { } mask ? [.. Enumerable.Repeat(mask[0], prefix.Length), .. mask] : null);
}

/// <summary>Replaces each match of a pattern with a fixed text.</summary>
internal sealed class ReplaceStep(TextPattern pattern, string replacement) : NormalizationStep
{
    public override MaskedText Apply(MaskedText text)
    {
        string s = text.Text;
        if (text.IsTemplate is null && pattern.Literal is { } literal)
            return new MaskedText(s.Replace(literal, replacement, StringComparison.Ordinal), null);
        var matches = new List<TextSpan>();
        pattern.FindMatches(s, matches);
        if (matches.Count == 0)
            return text;
        var result = new StringBuilder();
        var mask = text.IsTemplate is null ? null : new List<bool>();
        int copied = 0;
        foreach (var match in matches)
        {
            Copy(copied, match.Start);
            result.Append(replacement);
            mask?.AddRange(Enumerable.Repeat(text.IsTemplateRange(match.Start, match.Length), replacement.Length));
            copied = match.End;
        }
        Copy(copied, s.Length);
        return new MaskedText(result.ToString(), mask?.ToArray());

        void Copy(int from, int to)
        {
            result.Append(s, from, to - from);
            mask?.AddRange(text.IsTemplate.AsSpan(from, to - from));
        }
    }
}

/// <summary>Turns text into a canonical Unicode normalization form.</summary>
internal sealed class UnicodeFormStep(bool compose) : NormalizationStep
{
    // Characters below it never combine with the character before them, so text may be cut before each of them.
    private const char FirstCombining = '\u0300';

    public override MaskedText Apply(MaskedText text)
    {
        string s = text.Text;
        int first = s.AsSpan().IndexOfAnyExceptInRange('\0', compose ? '\u02FF' : '\u007F');
        if (first < 0)
            return text;
        if (text.IsTemplate is not { } mask)
            return new MaskedText(UnicodeNormalization.Normalize(s, compose), null);
        var result = new StringBuilder();
        var resultMask = new List<bool>();
        for (int start = 0; start < s.Length;)
        {
            int end = start + 1;
            while (end < s.Length && s[end] >= FirstCombining)
                end++;
            string piece = UnicodeNormalization.Normalize(s[start..end], compose);
            result.Append(piece);
            resultMask.AddRange(Enumerable.Repeat(!mask.AsSpan(start, end - start).Contains(false), piece.Length));
            start = end;
        }
        return new MaskedText(result.ToString(), [.. resultMask]);
    }
}

/// <summary>Turns text into lower case.</summary>
internal sealed class LowercaseStep : NormalizationStep
{
    // The only character whose lower case has more than one character.
    private static readonly ReplaceStep CapitalDottedI = new(TextPattern.FromLiteral("\u0130"), "i\u0307");

    public override MaskedText Apply(MaskedText text)
    {
        text = CapitalDottedI.Apply(text);
        return text with { Text = text.Text.ToLowerInvariant() };
    }
}

/// <summary>Takes white space off the ends of text.</summary>
internal sealed class StripStep(bool left, bool right) : NormalizationStep
{
    public override MaskedText Apply(MaskedText text)
    {
        string s = text.Text;
        int start = left ? s.Length - s.AsSpan().TrimStart().Length : 0;
        int end = right ? s.AsSpan().TrimEnd().Length : s.Length;
        return start >= end ? new MaskedText("", text.IsTemplate is null ? null : []) : text.Slice(start, end - start);
    }
}
