namespace LocalLlm.Tokenization;

/// <summary>Collects a tokenizer's tokens while its files are read, and finds contradictions.</summary>
internal sealed class TokenTable(LoadErrors errors)
{
    /// <summary>The highest token id that is accepted; the largest known vocabulary has fewer than 300,000 tokens.</summary>
    public const int MaxId = (1 << 22) - 1;

    private readonly Dictionary<string, int> _ids = new(StringComparer.Ordinal);
    private readonly Dictionary<int, string> _texts = [];
    private readonly SortedDictionary<int, AddedToken> _added = [];

    public int Count => _ids.Count;

    public bool TryGetId(string text, out int id) => _ids.TryGetValue(text, out id);

    public bool IsControl(int id) => _added.TryGetValue(id, out var token) && token.IsControl;

    /// <summary>A copy of what was added so far.</summary>
    public Dictionary<string, int> IdsByText() => new(_ids, StringComparer.Ordinal);

    /// <summary>Adds a token that must be new.</summary>
    public void Add(string text, int id, string where, List<string> wrong)
    {
        if (_ids.TryGetValue(text, out int otherId))
            wrong.Add($"{where} gives the token '{JsonReading.Shown(text)}' the id {id}, but it has {otherId} already");
        else if (!_texts.TryAdd(id, text))
            wrong.Add($"{where} gives the token '{JsonReading.Shown(text)}' the id {id}, which is that of '{JsonReading.Shown(_texts[id])}'");
        else
            _ids.Add(text, id);
    }

    /// <summary>Adds tokens that are recognised in text; they may be in the vocabulary. Of two with one text and id the later counts.</summary>
    public void AddAddedTokens(IEnumerable<AddedToken> tokens, string where)
    {
        var wrong = new List<string>();
        foreach (var token in tokens)
        {
            bool isKnown = _ids.TryGetValue(token.Text, out int id) && id == token.Id;
            if (!isKnown)
                Add(token.Text, token.Id, where, wrong);
            if (_texts.GetValueOrDefault(token.Id) == token.Text)
                _added[token.Id] = token;
        }
        errors.AddAll(wrong);
    }

    /// <summary>Adds what <c>tokenizer_config.json</c> adds. A token that it names as special is so although no list has it.</summary>
    public void AddConfigured(TokenizerConfig config)
    {
        AddAddedTokens(config.AddedTokens, "tokenizer_config.json: added_tokens_decoder");
        foreach (string text in config.SpecialTokenTexts.Values)
        {
            if (_ids.TryGetValue(text, out int id) && !_added.ContainsKey(id))
                _added[id] = AddedToken.Plain(id, text, special: true);
        }
    }

    /// <summary>Completes the definition; null if there are no tokens.</summary>
    /// <param name="config">What the configuration says; it counts before the other parameters.</param>
    /// <param name="normalizer">Rewrites text.</param>
    /// <param name="decoder">Turns tokens into text.</param>
    /// <param name="prefix">Ids before a text.</param>
    /// <param name="suffix">Ids after a text.</param>
    public TokenizerDefinition? Build(
        TokenizerConfig config, TextNormalizer normalizer, TokenDecoder decoder, IReadOnlyList<int> prefix, IReadOnlyList<int> suffix)
    {
        int? bos = NamedId(config, "bos_token");
        int? eos = NamedId(config, "eos_token");
        if (config.AddBos is { } addBos)
            prefix = WithToken(prefix, bos, addBos, atStart: true, "add_bos_token", "bos_token");
        if (config.AddEos is { } addEos)
            suffix = WithToken(suffix, eos, addEos, atStart: false, "add_eos_token", "eos_token");
        if (_texts.Count == 0)
            return null;
        string?[] tokens = new string?[_texts.Keys.Max() + 1];
        foreach (var (id, text) in _texts)
            tokens[id] = text;
        return new TokenizerDefinition(tokens, _ids)
        {
            AddedTokens = [.. _added.Values],
            Normalizer = normalizer,
            Decoder = decoder,
            PrefixIds = prefix,
            SuffixIds = suffix,
            BosId = bos,
            EosId = eos,
            SpecialTokenTexts = config.SpecialTokenTexts,
        };
    }

    private int? NamedId(TokenizerConfig config, string name)
    {
        if (!config.SpecialTokenTexts.TryGetValue(name, out string? text))
            return null;
        if (_ids.TryGetValue(text, out int id))
            return id;
        errors.Add($"tokenizer_config.json: {name} is '{JsonReading.Shown(text)}', which is no token of the tokenizer");
        return null;
    }

    private IReadOnlyList<int> WithToken(IReadOnlyList<int> ids, int? token, bool wanted, bool atStart, string flag, string name)
    {
        if (token is not { } id)
        {
            if (wanted && ids.Count == 0)
                errors.Add($"tokenizer_config.json: {flag} is true, but there is no {name}");
            return ids;
        }
        if (!wanted)
            return [.. ids.Where(i => i != id)];
        if (ids.Contains(id))
            return ids;
        return atStart ? [id, .. ids] : [.. ids, id];
    }
}
