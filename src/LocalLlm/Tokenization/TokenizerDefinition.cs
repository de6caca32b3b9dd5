namespace LocalLlm.Tokenization;

/// <summary>A token that is recognised in text before the model splits it.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Text">The text that stands for it.</param>
/// <param name="Special">True if decoding leaves it out unless asked.</param>
/// <param name="StripLeft">Whether it swallows the white space before it.</param>
/// <param name="StripRight">Whether it swallows the white space after it.</param>
/// <param name="SingleWord">Whether it is recognised only where no word character touches it.</param>
/// <param name="Normalized">Whether it is looked for in normalized text.</param>
internal sealed record AddedToken(int Id, string Text, bool Special, bool StripLeft, bool StripRight, bool SingleWord, bool Normalized)
{
    /// <summary>A token that is recognised wherever its text stands.</summary>
    public static AddedToken Plain(int id, string text, bool special) =>
        new(id, text, special, StripLeft: false, StripRight: false, SingleWord: false, Normalized: false);

    /// <summary>
    /// True for a token that only a template may write. Runs of white space that some vocabularies add as ordinary tokens control nothing,
    /// so they are recognised in any text.
    /// </summary>
    public bool IsControl => Special || !string.IsNullOrWhiteSpace(Text);
}

/// <summary>What the tokenizer's files say, checked.</summary>
internal sealed class TokenizerDefinition
{
    private readonly Dictionary<string, int> _ids;

    public TokenizerDefinition(string?[] tokens, Dictionary<string, int> ids) => (Tokens, _ids) = (tokens, ids);

    /// <summary>Texts by id; null where no token has the id.</summary>
    public string?[] Tokens { get; }

    public required IReadOnlyList<AddedToken> AddedTokens { get; init; }

    public required TextNormalizer Normalizer { get; init; }

    public required TokenDecoder Decoder { get; init; }

    /// <summary>Ids that go before a text.</summary>
    public required IReadOnlyList<int> PrefixIds { get; init; }

    /// <summary>Ids that go after a text.</summary>
    public required IReadOnlyList<int> SuffixIds { get; init; }

    public required int? BosId { get; init; }

    public required int? EosId { get; init; }

    public required IReadOnlyDictionary<string, string> SpecialTokenTexts { get; init; }

    public bool TryGetId(string text, out int id) => _ids.TryGetValue(text, out id);
}
