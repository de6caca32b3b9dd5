using System.Text.Json;

namespace LocalLlm.Tokenization;

/// <summary>Reads <c>tokenizer.json</c>, the file of Hugging Face's tokenizers, where its model is byte pair encoding.</summary>
internal sealed class TokenizerJsonReader
{
    /// <summary>The highest token id that is accepted; the largest known vocabulary has fewer than 300,000 tokens.</summary>
    public const int MaxId = (1 << 22) - 1;

    private readonly LoadErrors _errors;
    private readonly Dictionary<string, int> _ids = new(StringComparer.Ordinal);
    private readonly Dictionary<int, string> _texts = [];

    private TokenizerJsonReader(LoadErrors errors) => _errors = errors;

    /// <summary>Reads the file; null, with the reasons in <paramref name="errors"/>, if anything is wrong.</summary>
    public static TextTokenizer? Read(JsonElement root, TokenizerConfig config, LoadErrors errors) =>
        new TokenizerJsonReader(errors).Read(root, config);

    private TextTokenizer? Read(JsonElement root, TokenizerConfig config)
    {
        var model = ReadModel(root);
        var addedTokens = ReadAddedTokens(root, config);
        var pipeline = new TokenizerPipelineReader(_errors);
        var normalizer = pipeline.Normalizer(root);
        var splitter = pipeline.WordSplitter(root);
        var decoder = pipeline.Decoder(root);
        var (prefix, suffix) = pipeline.PostProcessor(root, (text, id) => _texts.GetValueOrDefault(id) == text);
        int? bos = NamedId(config, "bos_token");
        int? eos = NamedId(config, "eos_token");
        if (config.AddBos is { } addBos)
            prefix = WithToken(prefix, bos, addBos, atStart: true, "add_bos_token", "bos_token");
        if (config.AddEos is { } addEos)
            suffix = WithToken(suffix, eos, addEos, atStart: false, "add_eos_token", "eos_token");
        if (_errors.Count > 0 || model is null)
            return null;

        string?[] tokens = new string?[_texts.Keys.Max() + 1];
        foreach (var (id, text) in _texts)
            tokens[id] = text;
        var definition = new TokenizerDefinition(tokens, _ids)
        {
            AddedTokens = addedTokens,
            Normalizer = normalizer,
            Decoder = decoder,
            PrefixIds = prefix,
            SuffixIds = suffix,
            BosId = bos,
            EosId = eos,
            SpecialTokenTexts = config.SpecialTokenTexts,
        };
        return new TextTokenizer(definition, controlIds => new BpeModel(splitter, model, controlIds));
    }

    private BpeDefinition? ReadModel(JsonElement root)
    {
        if (!root.TryGetProperty("model", out var model) || model.ValueKind != JsonValueKind.Object)
        {
            _errors.Add("tokenizer.json has no object \"model\"");
            return null;
        }
        // Files from before 2020 do not name the type; what has merges is byte pair encoding.
        if (model.TryGetProperty("type", out var type) && !(JsonReading.TryString(type, out string name) && name == "BPE"))
        {
            _errors.Add($"tokenizer.json: the model is of type {type.GetRawText()}; only \"BPE\" (byte pair encoding) is supported");
            return null;
        }
        foreach (string affix in new[] { "continuing_subword_prefix", "end_of_word_suffix" })
        {
            if (model.TryGetProperty(affix, out var value) && value.ValueKind != JsonValueKind.Null
                && !(JsonReading.TryString(value, out string text) && text.Length == 0))
                _errors.Add($"tokenizer.json: model.{affix} is {value.GetRawText()}; only none is supported");
        }
        if (model.TryGetProperty("dropout", out var dropout) && dropout.ValueKind != JsonValueKind.Null
            && !(dropout.ValueKind == JsonValueKind.Number && dropout.TryGetDouble(out double probability) && probability == 0))
            _errors.Add($"tokenizer.json: model.dropout is {dropout.GetRawText()}; random encodings are not supported, remove it");

        bool byteFallback = Flag(model, "byte_fallback");
        bool fuseUnknown = Flag(model, "fuse_unk");
        bool ignoreMerges = Flag(model, "ignore_merges");
        if (!ReadVocabulary(model))
            return null;
        var vocabulary = new Dictionary<string, int>(_ids, StringComparer.Ordinal);
        return new BpeDefinition
        {
            Vocabulary = vocabulary,
            Merges = ReadMerges(model),
            UnknownId = ReadUnknown(model),
            FuseUnknown = fuseUnknown,
            ByteFallback = byteFallback,
            IgnoreMerges = ignoreMerges,
        };
    }

    private bool Flag(JsonElement model, string name)
    {
        if (!model.TryGetProperty(name, out var value) || value.ValueKind is JsonValueKind.Null or JsonValueKind.False)
            return false;
        if (value.ValueKind != JsonValueKind.True)
            _errors.Add($"tokenizer.json: model.{name} is {value.GetRawText()}, not true or false");
        return true;
    }

    private bool ReadVocabulary(JsonElement model)
    {
        if (!model.TryGetProperty("vocab", out var vocabulary) || vocabulary.ValueKind != JsonValueKind.Object)
        {
            _errors.Add("tokenizer.json has no object \"model.vocab\"");
            return false;
        }
        var wrong = new List<string>();
        foreach (var entry in vocabulary.EnumerateObject())
        {
            if (JsonReading.Name(entry) is not { } text)
                wrong.Add("tokenizer.json: model.vocab has a token that is not valid Unicode");
            else if (entry.Value.ValueKind != JsonValueKind.Number || !entry.Value.TryGetInt32(out int id) || id is < 0 or > MaxId)
                wrong.Add($"tokenizer.json: the token '{text}' has the id {entry.Value.GetRawText()}; ids are whole numbers from 0 to {MaxId}");
            else
                AddToken(text, id, "model.vocab", wrong);
        }
        _errors.AddAll(wrong);
        if (_ids.Count > 0)
            return true;
        if (wrong.Count == 0)
            _errors.Add("tokenizer.json: model.vocab is empty");
        return false;
    }

    private void AddToken(string text, int id, string where, List<string> wrong)
    {
        if (_ids.TryGetValue(text, out int otherId))
        {
            if (otherId != id || where == "model.vocab")
                wrong.Add($"tokenizer.json: {where} gives the token '{text}' the id {id}, but it has {otherId} already");
        }
        else if (!_texts.TryAdd(id, text))
        {
            wrong.Add($"tokenizer.json: {where} gives the token '{text}' the id {id}, which is that of '{_texts[id]}'");
        }
        else
        {
            _ids.Add(text, id);
        }
    }

    private List<(string Left, string Right)> ReadMerges(JsonElement model)
    {
        var merges = new List<(string Left, string Right)>();
        if (!model.TryGetProperty("merges", out var list) || list.ValueKind != JsonValueKind.Array)
        {
            _errors.Add("tokenizer.json has no list \"model.merges\"");
            return merges;
        }
        merges.Capacity = list.GetArrayLength();
        var wrong = new List<string>();
        int index = 0;
        foreach (var entry in list.EnumerateArray())
        {
            string[]? pair = MergePair(entry);
            // Older files begin with a line of the file format that they were made from.
            if (pair is null && index == 0 && JsonReading.TryString(entry, out string text) && text.StartsWith("#version", StringComparison.Ordinal))
                continue;
            if (pair is null)
            {
                wrong.Add($"tokenizer.json: model.merges[{index}] is {Shortened(entry.GetRawText())}; it must be \"a b\" or [\"a\", \"b\"]");
            }
            else
            {
                foreach (string token in new[] { pair[0], pair[1], pair[0] + pair[1] })
                {
                    if (!_ids.ContainsKey(token))
                        wrong.Add($"tokenizer.json: model.merges[{index}] ('{Shortened(pair[0])}' and '{Shortened(pair[1])}') needs the token '{Shortened(token)}', which model.vocab has not");
                }
                merges.Add((pair[0], pair[1]));
            }
            index++;
        }
        _errors.AddAll(wrong);
        return merges;
    }

    private static string[]? MergePair(JsonElement entry)
    {
        string[] pair;
        if (JsonReading.TryString(entry, out string text))
            pair = text.Split(' ');
        else if (entry.ValueKind == JsonValueKind.Array && entry.GetArrayLength() == 2
            && JsonReading.TryString(entry[0], out string left) && JsonReading.TryString(entry[1], out string right))
            pair = [left, right];
        else
            return null;
        return pair.Length == 2 && pair[0].Length > 0 && pair[1].Length > 0 ? pair : null;
    }

    private int? ReadUnknown(JsonElement model)
    {
        if (!model.TryGetProperty("unk_token", out var value) || value.ValueKind == JsonValueKind.Null)
            return null;
        if (JsonReading.TryString(value, out string text) && _ids.TryGetValue(text, out int id))
            return id;
        _errors.Add($"tokenizer.json: model.unk_token is {value.GetRawText()}, which is no token of model.vocab");
        return null;
    }

    private List<AddedToken> ReadAddedTokens(JsonElement root, TokenizerConfig config)
    {
        var byId = new SortedDictionary<int, AddedToken>();
        var wrong = new List<string>();
        if (root.TryGetProperty("added_tokens", out var list) && list.ValueKind != JsonValueKind.Null)
        {
            if (list.ValueKind != JsonValueKind.Array)
            {
                _errors.Add("tokenizer.json: added_tokens is not a list");
                return [];
            }
            int index = 0;
            foreach (var entry in list.EnumerateArray())
            {
                string where = $"tokenizer.json: added_tokens[{index++}]";
                if (entry.ValueKind != JsonValueKind.Object || !entry.TryGetProperty("id", out var idJson)
                    || idJson.ValueKind != JsonValueKind.Number || !idJson.TryGetInt32(out int id) || id is < 0 or > MaxId)
                    wrong.Add($"{where} has no \"id\" that is a whole number from 0 to {MaxId}");
                else if (JsonReading.AddedToken(entry, id, where, wrong) is { } token)
                    Add(token, "added_tokens");
            }
        }
        foreach (var token in config.AddedTokens)
            Add(token, "tokenizer_config.json's added_tokens_decoder");
        // A token that the configuration names as a special one is special although no list has it.
        foreach (string text in config.SpecialTokenTexts.Values)
        {
            if (_ids.TryGetValue(text, out int id) && !byId.ContainsKey(id))
                byId[id] = new AddedToken(id, text, Special: true, StripLeft: false, StripRight: false, SingleWord: false, Normalized: false);
        }
        _errors.AddAll(wrong);
        return [.. byId.Values];

        void Add(AddedToken token, string where)
        {
            AddToken(token.Text, token.Id, where, wrong);
            if (_texts.GetValueOrDefault(token.Id) == token.Text)
                byId[token.Id] = token;
        }
    }

    private int? NamedId(TokenizerConfig config, string name)
    {
        if (!config.SpecialTokenTexts.TryGetValue(name, out string? text))
            return null;
        if (_ids.TryGetValue(text, out int id))
            return id;
        _errors.Add($"tokenizer_config.json: {name} is '{text}', which is no token of tokenizer.json");
        return null;
    }

    private List<int> WithToken(List<int> ids, int? token, bool wanted, bool atStart, string flag, string name)
    {
        if (token is not { } id)
        {
            if (wanted && ids.Count == 0)
                _errors.Add($"tokenizer_config.json: {flag} is true, but there is no {name}");
            return ids;
        }
        if (!wanted)
            return [.. ids.Where(i => i != id)];
        if (ids.Contains(id))
            return ids;
        return atStart ? [id, .. ids] : [.. ids, id];
    }

    private static string Shortened(string text) => text.Length <= 60 ? text : text[..60] + "…";
}
