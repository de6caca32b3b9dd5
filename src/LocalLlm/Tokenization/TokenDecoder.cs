using System.Globalization;
using System.Text;

namespace LocalLlm.Tokenization;

/// <summary>How tokens become text: what the decoder of a tokenizer file says.</summary>
internal sealed record TokenDecoder
{
    /// <summary>Whether tokens spell bytes in <see cref="ByteLevelAlphabet"/>.</summary>
    public bool ByteLevel { get; init; }

    /// <summary>Whether <c>&lt;0x0A&gt;</c> and the like stand for a byte.</summary>
    public bool ByteFallback { get; init; }

    /// <summary>Replacements in each token's text, in order.</summary>
    public IReadOnlyList<ReplaceStep> Replacements { get; init; } = [];

    /// <summary>What is taken off the beginning of the text: at most so many of this character.</summary>
    public (char Character, int Count) StripStart { get; init; }

    /// <summary>The character that the text's first token loses wherever it has it (a Metaspace decoder), or null.</summary>
    public char? DroppedInFirstToken { get; init; }

    /// <summary>The bytes that a token adds to the text.</summary>
    /// <param name="token">The token's text in the files.</param>
    /// <param name="isAdded">Whether it is an added token; those spell no bytes.</param>
    public byte[] Bytes(string token, bool isAdded)
    {
        if (!isAdded && ByteLevel && TryGetSpelledBytes(token, out byte[] spelled))
            return spelled;
        if (!isAdded && ByteFallback && token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>'
            && byte.TryParse(token.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte value))
            return [value];
        var text = new MaskedText(token, null);
        foreach (var replacement in Replacements)
            text = replacement.Apply(text);
        return Encoding.UTF8.GetBytes(text.Text);
    }

    private static bool TryGetSpelledBytes(string token, out byte[] bytes)
    {
        bytes = new byte[token.Length];
        for (int i = 0; i < token.Length; i++)
        {
            if (!ByteLevelAlphabet.TryGetByte(token[i], out bytes[i]))
                return false;
        }
        return true;
    }
}
