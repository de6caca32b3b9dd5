using System.Text;
using LocalLlm.Tokenization;

namespace LocalLlm.Sampling.Constraints;

/// <summary>
/// A model's tokens as constraints see them: what each adds to the decoded text, arranged for fast masks. Every added token of a tokenizer, and every
/// token that ends the output, counts as a control token: no text spells it, only a <see cref="TokenNode"/> or a <see cref="FreeTextNode"/> reaches it. Ids that stand for nothing, and
/// logits beyond the vocabulary, are never reached. One for each tokenizer, immutable and safe for concurrent use.
/// </summary>
internal sealed class ConstraintVocabulary
{
    private readonly ReadOnlyMemory<byte>[] bytes;
    private readonly bool[] isControl;
    private readonly ReadOnlyMemory<byte>[]? firstBytes;
    private readonly byte[] stripped;
    private readonly int stripCount;
    private readonly Lock beginningsLock = new();
    private readonly Dictionary<TextBeginning, TokenTries> beginnings = [];

    private ConstraintVocabulary(
        ReadOnlyMemory<byte>[] bytes, ReadOnlyMemory<byte>[]? firstBytes, IReadOnlyList<int> controlIds, IReadOnlyCollection<int> endIds, int logitCount,
        byte[] stripped, int stripCount)
    {
        (this.bytes, this.firstBytes, this.stripped, this.stripCount) = (bytes, firstBytes, stripped, stripCount);
        LogitCount = logitCount;
        EndIds = endIds.Where(id => id >= 0 && id < logitCount).ToHashSet();
        // A token that ends the output cannot be part of its text, whatever the tokenizer calls it.
        ControlIds = [.. controlIds.Union(EndIds).Where(id => id < Math.Min(logitCount, bytes.Length))];
        isControl = new bool[bytes.Length];
        foreach (var id in controlIds.Concat(ControlIds))
            isControl[id] = true;
        Tries = new TokenTries(TextTokens(id => bytes[id]), logitCount);
    }

    /// <summary>Logits that the model gives, which may be more than there are tokens.</summary>
    public int LogitCount { get; }

    /// <summary>Tokens that end the output. They are left exactly where it may end, or where a grammar names them.</summary>
    public IReadOnlySet<int> EndIds { get; }

    /// <summary>The control tokens.</summary>
    public IReadOnlyList<int> ControlIds { get; }

    /// <summary>The text tokens.</summary>
    public TokenTries Tries { get; }

    /// <summary>Where an output stands that begins a text, from whose beginning decoding may take something off.</summary>
    public TextBeginning Beginning => new(firstBytes is not null, stripCount);

    /// <summary>The vocabulary of a tokenizer.</summary>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="endIds">Tokens that end the output.</param>
    /// <param name="logitCount">Logits that the model gives.</param>
    public static ConstraintVocabulary Create(TextTokenizer tokenizer, IReadOnlyCollection<int> endIds, int logitCount)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        var ids = Enumerable.Range(0, tokenizer.VocabularySize).ToArray();
        var bytes = Array.ConvertAll(ids, tokenizer.TokenBytes);
        ReadOnlyMemory<byte>[]? first = null;
        if (tokenizer.Decoder.DroppedInFirstToken is { } dropped)
        {
            first = [.. bytes];
            foreach (var id in ids.Where(id => tokenizer.IsToken(id) && tokenizer.TokenText(id).Contains(dropped, StringComparison.Ordinal)))
                first[id] = tokenizer.Decoder.Bytes(tokenizer.TokenText(id).Replace(dropped.ToString(), "", StringComparison.Ordinal), tokenizer.IsAdded(id));
        }

        var (character, count) = tokenizer.Decoder.StripStart;
        return new ConstraintVocabulary(
            bytes, first, Array.FindAll(ids, tokenizer.IsAdded), endIds, logitCount, count > 0 ? Encoding.UTF8.GetBytes([character]) : [], count);
    }

    /// <summary>A vocabulary of given tokens, from whose beginnings nothing is taken off.</summary>
    /// <param name="tokens">The bytes of each id; empty for an id that stands for nothing.</param>
    /// <param name="controlIds">Those that are control tokens.</param>
    /// <param name="endIds">Tokens that end the output.</param>
    /// <param name="logitCount">Logits that the model gives.</param>
    public static ConstraintVocabulary Create(
        IReadOnlyList<ReadOnlyMemory<byte>> tokens, IReadOnlyList<int> controlIds, IReadOnlyCollection<int> endIds, int logitCount) =>
        new([.. tokens], null, controlIds, endIds, logitCount, [], 0);

    /// <summary>True for a token that text spells.</summary>
    public bool IsText(int id) => (uint)id < (uint)bytes.Length && !isControl[id] && !bytes[id].IsEmpty;

    /// <summary>True for a control token.</summary>
    public bool IsControl(int id) => (uint)id < (uint)bytes.Length && isControl[id];

    /// <summary>What a token adds to a text that has begun.</summary>
    public ReadOnlySpan<byte> Bytes(int id) => bytes[id].Span;

    /// <summary>What a token adds to a text that stands at its beginning.</summary>
    /// <param name="id">The token.</param>
    /// <param name="beginning">Where the text stands; afterwards, where it stands with the token.</param>
    public ReadOnlyMemory<byte> Bytes(int id, ref TextBeginning beginning)
    {
        var token = beginning.IsFirstToken && firstBytes is not null ? firstBytes[id] : bytes[id];
        var strips = beginning.Strips;
        while (strips > 0 && token.Length > 0 && token.Span.StartsWith(stripped))
            (token, strips) = (token[stripped.Length..], strips - 1);
        beginning = new TextBeginning(false, token.IsEmpty ? strips : 0);
        return token;
    }

    /// <summary>The text tokens as they are at a text's beginning.</summary>
    public TokenTries TriesAt(TextBeginning beginning)
    {
        if (beginning == default)
            return Tries;
        lock (beginningsLock)
        {
            if (!beginnings.TryGetValue(beginning, out var tries))
            {
                tries = new TokenTries(
                    TextTokens(id =>
                    {
                        var at = beginning;
                        return Bytes(id, ref at);
                    }),
                    LogitCount);
                beginnings.Add(beginning, tries);
            }

            return tries;
        }
    }

    private IEnumerable<(int Id, ReadOnlyMemory<byte> Bytes)> TextTokens(Func<int, ReadOnlyMemory<byte>> select) =>
        Enumerable.Range(0, Math.Min(bytes.Length, LogitCount)).Where(IsText).Select(id => (id, select(id)));
}

/// <summary>What decoding may still take off a text's beginning.</summary>
/// <param name="IsFirstToken">The next token is the first, which loses a character wherever it has it (a Metaspace decoder).</param>
/// <param name="Strips">How many characters may still be taken off.</param>
internal readonly record struct TextBeginning(bool IsFirstToken, int Strips);
