using System.Globalization;
using System.Text.Json;

namespace LocalLlm.Tokenization;

/// <summary>What <c>tokenizer_config.json</c> and <c>special_tokens_map.json</c> say about the tokenizer.</summary>
internal sealed record TokenizerConfig
{
    private static readonly string[] NamedTokens =
        ["bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"];

    /// <summary>Texts of the named special tokens.</summary>
    public required IReadOnlyDictionary<string, string> SpecialTokenTexts { get; init; }

    /// <summary>Whether a text begins with the beginning-of-sequence token; null when the file does not say.</summary>
    public bool? AddBos { get; init; }

    /// <summary>Whether a text ends with the end-of-sequence token; null when the file does not say.</summary>
    public bool? AddEos { get; init; }

    /// <summary>
    /// For <c>tokenizer.model</c>: whether only a prompt's first text is prefixed with a space, not every text after a control token
    /// (<c>legacy</c> is false).
    /// </summary>
    public bool PrefixesFirstTextOnly { get; init; }

    /// <summary>Added tokens, which count before those of <c>tokenizer.json</c>.</summary>
    public required IReadOnlyList<AddedToken> AddedTokens { get; init; }

    public static TokenizerConfig Read(JsonElement? config, JsonElement? specialTokensMap, LoadErrors errors)
    {
        var texts = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (file, root) in new[] { ("special_tokens_map.json", specialTokensMap), ("tokenizer_config.json", config) })
        {
            if (root is not { } json)
                continue;
            foreach (string name in NamedTokens)
            {
                if (!json.TryGetProperty(name, out var value) || value.ValueKind == JsonValueKind.Null)
                    continue;
                if (value.ValueKind == JsonValueKind.Object && value.TryGetProperty("content", out var content))
                    value = content;
                if (JsonReading.TryString(value, out string text))
                    texts[name] = text;
                else
                    errors.Add($"{file}: {name} is neither a text nor an object with a text \"content\"");
            }
        }
        return new TokenizerConfig
        {
            SpecialTokenTexts = texts,
            AddBos = Flag(config, "add_bos_token", errors),
            AddEos = Flag(config, "add_eos_token", errors),
            PrefixesFirstTextOnly = Flag(config, "legacy", errors) is false,
            AddedTokens = ReadAddedTokens(config, errors),
        };
    }

    private static bool? Flag(JsonElement? config, string name, LoadErrors errors)
    {
        if (config is not { } json || !json.TryGetProperty(name, out var value) || value.ValueKind == JsonValueKind.Null)
            return null;
        if (value.ValueKind is JsonValueKind.True or JsonValueKind.False)
            return value.GetBoolean();
        errors.Add($"tokenizer_config.json: {name} is not true or false");
        return null;
    }

    private static List<AddedToken> ReadAddedTokens(JsonElement? config, LoadErrors errors)
    {
        var tokens = new List<AddedToken>();
        if (config is not { } json || !json.TryGetProperty("added_tokens_decoder", out var decoder)
            || decoder.ValueKind == JsonValueKind.Null)
            return tokens;
        if (decoder.ValueKind != JsonValueKind.Object)
        {
            errors.Add("tokenizer_config.json: added_tokens_decoder is not an object");
            return tokens;
        }
        var wrong = new List<string>();
        foreach (var entry in decoder.EnumerateObject())
        {
            if (!int.TryParse(entry.Name, NumberStyles.None, CultureInfo.InvariantCulture, out int id) || id > TokenTable.MaxId)
                wrong.Add($"tokenizer_config.json: added_tokens_decoder has the id '{entry.Name}'; ids are 0 to {TokenTable.MaxId}");
            else if (JsonReading.AddedToken(entry.Value, id, $"tokenizer_config.json: added_tokens_decoder[{id}]", wrong) is { } token)
                tokens.Add(token);
        }
        errors.AddAll(wrong);
        return tokens;
    }
}

/// <summary>Reads JSON values that may be anything.</summary>
internal static class JsonReading
{
    /// <summary>A string's text; false for another kind and for a text with a lone surrogate.</summary>
    public static bool TryString(JsonElement value, out string text)
    {
        text = "";
        if (value.ValueKind != JsonValueKind.String)
            return false;
        try
        {
            text = value.GetString()!;
            return true;
        }
        catch (InvalidOperationException)
        {
            return false;
        }
    }

    /// <summary>The text of an object's property; false if it is no object or has no such text.</summary>
    public static bool TryText(JsonElement json, string name, out string text)
    {
        text = "";
        return json.ValueKind == JsonValueKind.Object && json.TryGetProperty(name, out var value) && TryString(value, out text);
    }

    /// <summary>A whole number of 32 bits; false for anything else.</summary>
    public static bool TryInt(JsonElement value, out int number)
    {
        number = 0;
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out number);
    }

    /// <summary>A property's name; null for one with a lone surrogate.</summary>
    public static string? Name(JsonProperty property)
    {
        try
        {
            return property.Name;
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }

    /// <summary>A value as an error message shows it: the beginning of what the file has.</summary>
    public static string Shown(JsonElement value) => Shown(value.GetRawText());

    /// <summary>A text as an error message shows it.</summary>
    public static string Shown(string text) => text.Length <= 80 ? text : text[..80] + "…";

    public static AddedToken? AddedToken(JsonElement json, int id, string where, List<string> errors)
    {
        if (!TryText(json, "content", out string text) || text.Length == 0)
        {
            errors.Add($"{where} is not an object with a text \"content\" that is not empty");
            return null;
        }
        bool special = Flag("special", false);
        return new AddedToken(
            id, text, special, Flag("lstrip", false), Flag("rstrip", false), Flag("single_word", false), Flag("normalized", !special));

        bool Flag(string name, bool absent)
        {
            if (!json.TryGetProperty(name, out var value) || value.ValueKind == JsonValueKind.Null)
                return absent;
            if (value.ValueKind is JsonValueKind.True or JsonValueKind.False)
                return value.GetBoolean();
            errors.Add($"{where}: {name} is not true or false");
            return absent;
        }
    }
}
