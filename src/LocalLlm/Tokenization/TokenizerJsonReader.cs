using System.Text.Json;

namespace LocalLlm.Tokenization;

/// <summary>Reads <c>tokenizer.json</c>, the file of Hugging Face's tokenizers, where its model is byte pair encoding.</summary>
internal sealed class TokenizerJsonReader
{
    private readonly LoadErrors _errors;
    private readonly TokenTable _table;

    private TokenizerJsonReader(LoadErrors errors) => (_errors, _table) = (errors, new TokenTable(errors));

    /// <summary>Reads the file; null, with the reasons in <paramref name="errors"/>, if anything is wrong.</summary>
    public static TextTokenizer? Read(JsonElement root, TokenizerConfig config, LoadErrors errors) =>
        new TokenizerJsonReader(errors).Read(root, config);

    private TextTokenizer? Read(JsonElement root, TokenizerConfig config)
    {
        var model = ReadModel(root);
        _table.AddAddedTokens(ReadAddedTokens(root), "tokenizer.json: added_tokens");
        _table.AddConfigured(config);
        var pipeline = new TokenizerPipelineReader(_errors);
        var normalizer = pipeline.Normalizer(root);
        var splitter = pipeline.WordSplitter(root);
        var decoder = pipeline.Decoder(root);
        var (prefix, suffix) = pipeline.PostProcessor(root, (text, id) => _table.TryGetId(text, out int found) && found == id);
        var definition = _table.Build(config, normalizer, decoder, prefix, suffix);
        if (model is not null && model.Vocabulary.Values.All(_table.IsControl))
            _errors.Add("tokenizer.json: every token of model.vocab is an added token, so no text can be encoded");
        return _errors.Count > 0 || definition is null || model is null
            ? null
            : new TextTokenizer(definition, controlIds => new BpeModel(splitter, model, controlIds));
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
            _errors.Add($"tokenizer.json: the model is of type {JsonReading.Shown(type)}; only \"BPE\" (byte pair encoding) is supported");
            return null;
        }
        foreach (string affix in new[] { "continuing_subword_prefix", "end_of_word_suffix" })
        {
            if (model.TryGetProperty(affix, out var value) && value.ValueKind != JsonValueKind.Null
                && !(JsonReading.TryString(value, out string text) && text.Length == 0))
                _errors.Add($"tokenizer.json: model.{affix} is {JsonReading.Shown(value)}; only none is supported");
        }
        if (model.TryGetProperty("dropout", out var dropout) && dropout.ValueKind != JsonValueKind.Null
            && !(dropout.ValueKind == JsonValueKind.Number && dropout.TryGetDouble(out double probability) && probability == 0))
            _errors.Add($"tokenizer.json: model.dropout is {JsonReading.Shown(dropout)}; random encodings are not supported, remove it");

        bool byteFallback = Flag(model, "byte_fallback");
        bool fuseUnknown = Flag(model, "fuse_unk");
        bool ignoreMerges = Flag(model, "ignore_merges");
        if (!ReadVocabulary(model))
            return null;
        var vocabulary = _table.IdsByText();
        return new BpeDefinition
        {
            Vocabulary = vocabulary,
            Merges = ReadMerges(model, byteFallback),
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
            _errors.Add($"tokenizer.json: model.{name} is {JsonReading.Shown(value)}, not true or false");
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
            else if (!JsonReading.TryInt(entry.Value, out int id) || id is < 0 or > TokenTable.MaxId)
                wrong.Add($"tokenizer.json: the token '{JsonReading.Shown(text)}' has the id {JsonReading.Shown(entry.Value)}; "
                    + $"ids are whole numbers from 0 to {TokenTable.MaxId}");
            else
                _table.Add(text, id, "tokenizer.json: model.vocab", wrong);
        }
        _errors.AddAll(wrong);
        if (_table.Count > 0)
            return true;
        if (wrong.Count == 0)
            _errors.Add("tokenizer.json: model.vocab is empty");
        return false;
    }

    private List<(string Left, string Right)> ReadMerges(JsonElement model, bool byteFallback)
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
            if (pair is null && index == 0 && JsonReading.TryString(entry, out string text)
                && text.StartsWith("#version", StringComparison.Ordinal))
                continue;
            if (pair is null)
            {
                wrong.Add($"tokenizer.json: model.merges[{index}] is {JsonReading.Shown(entry)}; it must be \"a b\" or [\"a\", \"b\"]");
            }
            else
            {
                foreach (string token in new[] { pair[0], pair[1], pair[0] + pair[1] })
                {
                    if (!_table.TryGetId(token, out _))
                        wrong.Add($"tokenizer.json: model.merges[{index}] ({JsonReading.Shown(entry)}) needs the token "
                            + $"'{JsonReading.Shown(token)}', which model.vocab has not");
                }
                if (byteFallback && pair.Any(IsByteToken))
                    wrong.Add($"tokenizer.json: model.merges[{index}] merges a byte token; that is not supported");
                merges.Add((pair[0], pair[1]));
            }
            index++;
        }
        _errors.AddAll(wrong);
        return merges;
    }

    private static bool IsByteToken(string token) =>
        token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>';

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
        if (JsonReading.TryString(value, out string text) && _table.TryGetId(text, out int id))
            return id;
        _errors.Add($"tokenizer.json: model.unk_token is {JsonReading.Shown(value)}, which is no token of model.vocab");
        return null;
    }

    private List<AddedToken> ReadAddedTokens(JsonElement root)
    {
        var tokens = new List<AddedToken>();
        if (!root.TryGetProperty("added_tokens", out var list) || list.ValueKind == JsonValueKind.Null)
            return tokens;
        if (list.ValueKind != JsonValueKind.Array)
        {
            _errors.Add("tokenizer.json: added_tokens is not a list");
            return tokens;
        }
        var wrong = new List<string>();
        int index = 0;
        foreach (var entry in list.EnumerateArray())
        {
            string where = $"tokenizer.json: added_tokens[{index++}]";
            if (entry.ValueKind != JsonValueKind.Object || !entry.TryGetProperty("id", out var idJson)
                || !JsonReading.TryInt(idJson, out int id) || id is < 0 or > TokenTable.MaxId)
                wrong.Add($"{where} has no \"id\" that is a whole number from 0 to {TokenTable.MaxId}");
            else if (JsonReading.AddedToken(entry, id, where, wrong) is { } token)
                tokens.Add(token);
        }
        _errors.AddAll(wrong);
        return tokens;
    }
}
