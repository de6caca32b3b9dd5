using System.Text;

namespace LocalLlm.Tokenization;

/// <summary>
/// Turns the tokens of one text, one after the other, into pieces of text that are complete: a character whose bytes come with several
/// tokens appears with the last of them. The pieces joined, with <see cref="Flush"/>'s, are what
/// <see cref="TextTokenizer.Decode(ReadOnlySpan{int}, bool)"/> gives. For one generation; not for concurrent use.
/// </summary>
internal sealed class StreamingDecoder
{
    private readonly TextTokenizer _tokenizer;
    private readonly bool _includeSpecial;
    // Holds back the bytes of an unfinished character and turns invalid ones into U+FFFD.
    private readonly Decoder _utf8 = Encoding.UTF8.GetDecoder();
    private bool _isFirstToken;
    private int _stripRemaining;
    private char[] _chars = new char[64];

    /// <param name="tokenizer">Whose tokens they are.</param>
    /// <param name="atBeginning">True when the first token begins a text, so that the space which some tokenizers put there is taken off;
    /// false when it continues one.</param>
    /// <param name="includeSpecial">Whether special tokens appear as their text.</param>
    public StreamingDecoder(TextTokenizer tokenizer, bool atBeginning, bool includeSpecial = false)
    {
        (_tokenizer, _includeSpecial, _isFirstToken) = (tokenizer, includeSpecial, atBeginning);
        _stripRemaining = atBeginning ? tokenizer.Decoder.StripStart.Count : 0;
    }

    /// <summary>Takes the next token and returns the text that is complete with it: one token's, several tokens' or none.</summary>
    public string Add(int id)
    {
        if (!_includeSpecial && _tokenizer.IsSpecial(id))
            return "";
        var bytes = _tokenizer.TokenBytes(id).Span;
        if (_isFirstToken && _tokenizer.IsToken(id))
        {
            _isFirstToken = false;
            if (_tokenizer.Decoder.DroppedInFirstToken is { } dropped)
            {
                string text = _tokenizer.TokenText(id).Replace(dropped.ToString(), "", StringComparison.Ordinal);
                bytes = _tokenizer.Decoder.Bytes(text, _tokenizer.IsAdded(id));
            }
        }
        return Convert(bytes, flush: false);
    }

    /// <summary>Returns what is left at the end: U+FFFD for a character that was never finished.</summary>
    public string Flush() => Convert([], flush: true);

    private string Convert(ReadOnlySpan<byte> bytes, bool flush)
    {
        int needed = _utf8.GetCharCount(bytes, flush);
        if (_chars.Length < needed)
            _chars = new char[needed];
        var chars = _chars.AsSpan(0, _utf8.GetChars(bytes, _chars, flush));
        while (_stripRemaining > 0 && chars.Length > 0)
        {
            if (chars[0] != _tokenizer.Decoder.StripStart.Character)
            {
                _stripRemaining = 0;
                break;
            }
            _stripRemaining--;
            chars = chars[1..];
        }
        return chars.Length == 0 ? "" : new string(chars);
    }
}
