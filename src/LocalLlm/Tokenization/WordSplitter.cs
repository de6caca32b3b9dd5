using System.Text;

namespace LocalLlm.Tokenization;

/// <summary>The pre-tokenizer of a tokenizer: steps that split text into words, within which the model then merges.</summary>
internal sealed class WordSplitter(IReadOnlyList<SplitStep> steps)
{
    /// <summary>Splits a text, and rewrites it where a step does so.</summary>
    /// <param name="text">Normalized text.</param>
    /// <param name="isTextStart">True when nothing comes before it in the prompt.</param>
    public Words Split(string text, bool isTextStart)
    {
        var words = new Words(text, [new TextSpan(0, text.Length)], isTextStart);
        foreach (var step in steps)
            step.Apply(words);
        return words;
    }
}

/// <summary>A text and the words that it is split into.</summary>
internal sealed class Words(string text, List<TextSpan> spans, bool isTextStart)
{
    public string Text { get; private set; } = text;

    /// <summary>The words: ranges of <see cref="Text"/>, in order, never empty.</summary>
    public List<TextSpan> Spans { get; private set; } = spans;

    /// <summary>True when the first word begins the prompt.</summary>
    public bool IsTextStart { get; } = isTextStart;

    public void Replace(List<TextSpan> spans) => Spans = spans;

    public void Replace(string text, List<TextSpan> spans) => (Text, Spans) = (text, spans);

    public ReadOnlySpan<char> this[TextSpan span] => Text.AsSpan(span.Start, span.Length);
}

/// <summary>One step of a <see cref="WordSplitter"/>.</summary>
internal abstract class SplitStep
{
    public abstract void Apply(Words words);
}

/// <summary>What becomes of the matches of a split pattern.</summary>
internal enum SplitBehavior
{
    /// <summary>Matches and what lies between are words.</summary>
    Isolated,

    /// <summary>Only what lies between is words.</summary>
    Removed,

    /// <summary>Neighbouring matches are one word.</summary>
    Contiguous,

    /// <summary>A match ends the word before it.</summary>
    MergedWithPrevious,

    /// <summary>A match begins the word after it.</summary>
    MergedWithNext,
}

/// <summary>Splits each word at the matches of a pattern.</summary>
internal sealed class PatternSplitStep(TextPattern pattern, SplitBehavior behavior, bool invert) : SplitStep
{
    public override void Apply(Words words)
    {
        var result = new List<TextSpan>(words.Spans.Count);
        var matches = new List<TextSpan>();
        var parts = new List<(TextSpan Span, bool IsMatch)>();
        foreach (var word in words.Spans)
        {
            matches.Clear();
            parts.Clear();
            pattern.FindMatches(words[word], matches);
            int covered = 0;
            foreach (var match in matches)
            {
                if (match.Start > covered)
                    parts.Add((new TextSpan(word.Start + covered, match.Start - covered), invert));
                if (match.Length > 0)
                    parts.Add((new TextSpan(word.Start + match.Start, match.Length), !invert));
                covered = match.End;
            }
            if (covered < word.Length)
                parts.Add((new TextSpan(word.Start + covered, word.Length - covered), invert));
            Arrange(parts, result);
        }
        words.Replace(result);
    }

    private void Arrange(List<(TextSpan Span, bool IsMatch)> parts, List<TextSpan> result)
    {
        int first = result.Count;
        switch (behavior)
        {
            case SplitBehavior.Isolated:
                foreach (var (span, _) in parts)
                    result.Add(span);
                break;
            case SplitBehavior.Removed:
                foreach (var (span, isMatch) in parts)
                {
                    if (!isMatch)
                        result.Add(span);
                }
                break;
            case SplitBehavior.Contiguous or SplitBehavior.MergedWithPrevious:
                bool previousIsMatch = false;
                foreach (var (span, isMatch) in parts)
                {
                    bool joins = behavior == SplitBehavior.Contiguous ? isMatch == previousIsMatch : isMatch && !previousIsMatch;
                    if (joins && result.Count > first)
                        result[^1] = new TextSpan(result[^1].Start, span.End - result[^1].Start);
                    else
                        result.Add(span);
                    previousIsMatch = isMatch;
                }
                break;
            case SplitBehavior.MergedWithNext:
                bool nextIsMatch = false;
                for (int i = parts.Count - 1; i >= 0; i--)
                {
                    var (span, isMatch) = parts[i];
                    if (isMatch && !nextIsMatch && result.Count > first)
                        result[^1] = new TextSpan(span.Start, result[^1].End - span.Start);
                    else
                        result.Add(span);
                    nextIsMatch = isMatch;
                }
                result.Reverse(first, result.Count - first);
                break;
        }
    }
}

/// <summary>Writes each word's UTF-8 bytes in the byte-level alphabet.</summary>
internal sealed class ByteLevelStep : SplitStep
{
    public override void Apply(Words words)
    {
        var text = new StringBuilder(words.Text.Length + words.Text.Length / 4);
        var spans = new List<TextSpan>(words.Spans.Count);
        Span<byte> utf8 = stackalloc byte[4];
        foreach (var word in words.Spans)
        {
            int start = text.Length;
            foreach (var rune in words[word].EnumerateRunes())
            {
                if (rune.IsAscii)
                {
                    text.Append(ByteLevelAlphabet.CharOf((byte)rune.Value));
                    continue;
                }
                foreach (byte b in utf8[..rune.EncodeToUtf8(utf8)])
                    text.Append(ByteLevelAlphabet.CharOf(b));
            }
            spans.Add(new TextSpan(start, text.Length - start));
        }
        words.Replace(text.ToString(), spans);
    }
}

/// <summary>Puts a space before each word that does not begin with one.</summary>
internal sealed class PrefixSpaceStep : SplitStep
{
    public override void Apply(Words words) => MetaspaceStep.Prepend(words, ' ', firstOnly: false);
}

/// <summary>Writes spaces as another character, puts one before the text and, if asked, lets each begin a word.</summary>
internal sealed class MetaspaceStep(char replacement, MetaspacePrepend prepend, bool split) : SplitStep
{
    private readonly PatternSplitStep _split =
        new(TextPattern.FromLiteral(replacement.ToString()), SplitBehavior.MergedWithNext, invert: false);

    public override void Apply(Words words)
    {
        words.Replace(words.Text.Replace(' ', replacement), words.Spans);
        if (prepend == MetaspacePrepend.Always || (prepend == MetaspacePrepend.First && words.IsTextStart))
            Prepend(words, replacement, firstOnly: prepend == MetaspacePrepend.First);
        if (split)
            _split.Apply(words);
    }

    /// <summary>Puts a character before the first word, or before each, that does not begin with it.</summary>
    public static void Prepend(Words words, char prefix, bool firstOnly)
    {
        var text = new StringBuilder(words.Text.Length + words.Spans.Count);
        var spans = new List<TextSpan>(words.Spans.Count);
        foreach (var word in words.Spans)
        {
            int start = text.Length;
            if (words.Text[word.Start] != prefix && (!firstOnly || spans.Count == 0))
                text.Append(prefix);
            text.Append(words[word]);
            spans.Add(new TextSpan(start, text.Length - start));
        }
        words.Replace(text.ToString(), spans);
    }
}

/// <summary>Where <see cref="MetaspaceStep"/> puts a space that the text has not.</summary>
internal enum MetaspacePrepend
{
    /// <summary>Nowhere.</summary>
    Never,

    /// <summary>Before the prompt's first word.</summary>
    First,

    /// <summary>Before every piece of text.</summary>
    Always,
}
