using System.Collections.Frozen;

namespace LocalLlm.Tokenization;

/// <summary>
/// A model's tokenizer: text to ids and back, with the ids that Hugging Face's tokenizers give for the same files. Immutable once loaded,
/// so every member may be called from any number of threads at once.
/// </summary>
/// <remarks>
/// A lone surrogate in the input is encoded as U+FFFD. A character for which the vocabulary has neither a token, byte tokens nor an
/// unknown token is left out, as Hugging Face does (SmolLM2, for instance, has no token for the control character U+0004).
/// </remarks>
internal sealed class TextTokenizer
{
    private readonly TokenizerDefinition _definition;
    private readonly AddedTokenMatcher _rawMatcher;
    private readonly AddedTokenMatcher _normalizedMatcher;
    private readonly ISubwordModel _model;
    private readonly FrozenDictionary<int, AddedToken> _addedById;
    private readonly byte[]?[] _tokenBytes;

    internal TextTokenizer(TokenizerDefinition definition, Func<FrozenSet<int>, ISubwordModel> createModel)
    {
        _definition = definition;
        _addedById = definition.AddedTokens.ToFrozenDictionary(t => t.Id);
        _rawMatcher = new AddedTokenMatcher(definition.AddedTokens.Where(t => !t.Normalized), t => t.Text);
        _normalizedMatcher = new AddedTokenMatcher(
            definition.AddedTokens.Where(t => t.Normalized),
            t => definition.Normalizer.Apply(new MaskedText(t.Text, null)).Text);
        _model = createModel(definition.AddedTokens.Where(t => t.IsControl).Select(t => t.Id).ToFrozenSet());
        _tokenBytes = new byte[definition.Tokens.Length][];
    }

    /// <summary>
    /// Loads <c>tokenizer.json</c> with <c>tokenizer_config.json</c> and <c>special_tokens_map.json</c> where they exist, or else
    /// <c>tokenizer.model</c>.
    /// </summary>
    /// <param name="folder">A model folder.</param>
    /// <exception cref="ModelLoadException">Files are missing, broken or of an unsupported kind; it lists all that is wrong.</exception>
    public static TextTokenizer Load(string folder) => TokenizerLoader.Load(folder);

    /// <summary>The highest token id plus one. A model may have more rows than this; they stand for no text.</summary>
    public int VocabularySize => _definition.Tokens.Length;

    /// <summary>The beginning-of-sequence token, if the files name one.</summary>
    public int? BosId => _definition.BosId;

    /// <summary>The end-of-sequence token, if the files name one. Generation may have further end tokens of its own.</summary>
    public int? EosId => _definition.EosId;

    /// <summary>True when the files ask for a beginning-of-sequence token before a plain text.</summary>
    public bool AddsBos => BosId is { } bos && _definition.PrefixIds.Contains(bos);

    /// <summary>The texts of the named special tokens (<c>bos_token</c>, <c>eos_token</c>, …), for chat templates.</summary>
    public IReadOnlyDictionary<string, string> SpecialTokenTexts => _definition.SpecialTokenTexts;

    /// <summary>True for an id that stands for a token.</summary>
    public bool IsToken(int id) => (uint)id < (uint)_definition.Tokens.Length && _definition.Tokens[id] is not null;

    /// <summary>True for a token that is left out of decoded text unless it is asked for.</summary>
    public bool IsSpecial(int id) => _addedById.TryGetValue(id, out var token) && token.Special;

    /// <summary>True for a token that was added to the vocabulary: control tokens, special or not.</summary>
    public bool IsAdded(int id) => _addedById.ContainsKey(id);

    /// <summary>Finds a token by its text as the files spell it.</summary>
    public bool TryGetId(string tokenText, out int id) => _definition.TryGetId(tokenText, out id);

    /// <summary>A token's text as the files spell it (a space is <c>Ġ</c> or <c>▁</c>).</summary>
    /// <exception cref="ArgumentOutOfRangeException">The id stands for no token.</exception>
    public string TokenText(int id) =>
        IsToken(id)
            ? _definition.Tokens[id]!
            : throw new ArgumentOutOfRangeException(nameof(id), id, $"No token has this id; all are below {VocabularySize}.");

    /// <summary>
    /// The bytes that a token adds to decoded text, special or not; empty for an id that stands for no token. They need not be valid UTF-8
    /// by themselves, and a leading space is kept although decoding may strip it at a text's beginning.
    /// </summary>
    public ReadOnlyMemory<byte> TokenBytes(int id)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(id);
        if (id >= _definition.Tokens.Length || _definition.Tokens[id] is not { } text)
            return ReadOnlyMemory<byte>.Empty;
        // Two threads may both compute it; they store equal bytes.
        return _tokenBytes[id] ??= _definition.Decoder.Bytes(text, IsAdded(id));
    }

    internal TokenDecoder Decoder => _definition.Decoder;

    /// <summary>Encodes a text in which no control token is recognised, without a beginning-of-sequence token.</summary>
    public int[] Encode(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return Encode([new PromptSegment(text, IsTemplate: false)], addBos: false);
    }

    /// <summary>
    /// Encodes a prompt. Control tokens are recognised only where they lie wholly in template text (one segment or neighbouring ones);
    /// what lies between them is joined and encoded as one text, so that the ids are those of the joined text.
    /// </summary>
    /// <param name="segments">The prompt's pieces, in order.</param>
    /// <param name="addBos">Whether to begin with what the files ask for before a text (usually one beginning-of-sequence token, or
    /// nothing). False for a chat template, which writes its own.</param>
    public int[] Encode(IReadOnlyList<PromptSegment> segments, bool addBos)
    {
        ArgumentNullException.ThrowIfNull(segments);
        var ids = new List<int>();
        if (addBos)
            ids.AddRange(_definition.PrefixIds);
        EncodeInto(MaskedText.Join(segments), ids);
        return [.. ids];
    }

    /// <summary>Encodes a whole text, with what the files ask for before and after it; no control token is recognised in it.</summary>
    public int[] EncodeWhole(string text) => [.. Encode([new PromptSegment(text, IsTemplate: false)], addBos: true), .. _definition.SuffixIds];

    /// <summary>A prompt's control tokens and the text between them, in order; encoded piece by piece, they give the ids of the whole.</summary>
    public IReadOnlyList<AddedTokenMatcher.Piece> Split(IReadOnlyList<PromptSegment> segments) => [.. _rawMatcher.Split(MaskedText.Join(segments))];

    /// <summary>Encodes a piece of a prompt and appends its ids.</summary>
    public void EncodeInto(in AddedTokenMatcher.Piece piece, List<int> ids)
    {
        // As Hugging Face does: first the tokens that match the text as it is; what lies between is normalized piece by piece; then the
        // tokens that match normalized text.
        if (piece.TokenId is { } id)
        {
            ids.Add(id);
            return;
        }

        // Who wrote what need not be traced through the normalizer where nothing is looked for afterwards.
        var normalized = _definition.Normalizer.Apply(_normalizedMatcher.IsEmpty ? piece.Text with { IsTemplate = null } : piece.Text);
        foreach (var subpiece in _normalizedMatcher.Split(normalized))
        {
            if (subpiece.TokenId is { } normalizedId)
                ids.Add(normalizedId);
            else if (subpiece.Text.Text.Length > 0)
                _model.Encode(subpiece.Text.Text, isTextStart: piece.Start == 0 && subpiece.Start == 0, ids);
        }
    }

    /// <summary>Encodes a text as Hugging Face does: control tokens are recognised everywhere. For trusted text only.</summary>
    /// <param name="text">The text.</param>
    /// <param name="addSpecialTokens">Whether to add what the files ask for before and after a text.</param>
    public int[] EncodeWithControlTokens(string text, bool addSpecialTokens = false)
    {
        ArgumentNullException.ThrowIfNull(text);
        var ids = new List<int>();
        if (addSpecialTokens)
            ids.AddRange(_definition.PrefixIds);
        EncodeInto(MaskedText.Join([new PromptSegment(text, IsTemplate: true)]), ids);
        if (addSpecialTokens)
            ids.AddRange(_definition.SuffixIds);
        return [.. ids];
    }

    /// <summary>Decodes the ids of a whole text. Invalid UTF-8 becomes U+FFFD; ids that stand for no token add nothing.</summary>
    /// <param name="ids">The tokens.</param>
    /// <param name="skipSpecial">Whether special tokens are left out.</param>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecial = true)
    {
        var decoder = new StreamingDecoder(this, atBeginning: true, includeSpecial: !skipSpecial);
        var text = new System.Text.StringBuilder();
        foreach (int id in ids)
            text.Append(decoder.Add(id));
        return text.Append(decoder.Flush()).ToString();
    }

    private void EncodeInto(MaskedText text, List<int> ids)
    {
        foreach (var piece in _rawMatcher.Split(text))
            EncodeInto(piece, ids);
    }
}

/// <summary>Splits normalized text without control tokens into ids.</summary>
internal interface ISubwordModel
{
    /// <summary>Appends the ids of a text.</summary>
    /// <param name="text">Normalized text, not empty.</param>
    /// <param name="isTextStart">True when nothing comes before it in the prompt.</param>
    /// <param name="ids">Where the ids go.</param>
    void Encode(string text, bool isTextStart, List<int> ids);
}
