using System.Globalization;
using System.Text;
using System.Text.Json;

namespace LocalLlm.Tokenization;

/// <summary>Reads the steps around the model from <c>tokenizer.json</c>: normalizer, pre-tokenizer, post-processor, decoder.</summary>
internal sealed class TokenizerPipelineReader(LoadErrors errors)
{
    // How GPT-2 splits text; a ByteLevel pre-tokenizer does it unless told otherwise.
    private const string Gpt2Pattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    private bool _splitterIsByteLevel;

    public TextNormalizer Normalizer(JsonElement root)
    {
        var steps = new List<NormalizationStep>();
        if (Component(root, "normalizer") is { } json)
            AddNormalizer(json, "normalizer", steps);
        return steps.Count == 0 ? TextNormalizer.None : new TextNormalizer(steps);
    }

    private void AddNormalizer(JsonElement json, string where, List<NormalizationStep> steps)
    {
        switch (TypeOf(json, where))
        {
            case null:
                break;
            case "Sequence":
                foreach (var (part, partWhere) in Parts(json, where, "normalizers"))
                    AddNormalizer(part, partWhere, steps);
                break;
            case "Prepend":
                steps.Add(new PrependStep(Text(json, where, "prepend")));
                break;
            case "Replace":
                if (Pattern(json, where) is { } pattern)
                    steps.Add(new ReplaceStep(pattern, Text(json, where, "content")));
                break;
            case "NFC":
                steps.Add(new UnicodeFormStep(compose: true));
                break;
            case "NFD":
                steps.Add(new UnicodeFormStep(compose: false));
                break;
            case "Lowercase":
                steps.Add(new LowercaseStep());
                break;
            case "Strip":
                steps.Add(new StripStep(Flag(json, where, "strip_left", true), Flag(json, where, "strip_right", true)));
                break;
            case var other:
                Unsupported(where, other, "Sequence, Prepend, Replace, NFC, NFD, Lowercase, Strip");
                break;
        }
    }

    public WordSplitter WordSplitter(JsonElement root)
    {
        var steps = new List<SplitStep>();
        if (Component(root, "pre_tokenizer") is { } json)
            AddSplitter(json, "pre_tokenizer", steps);
        return new WordSplitter(steps);
    }

    private void AddSplitter(JsonElement json, string where, List<SplitStep> steps)
    {
        switch (TypeOf(json, where))
        {
            case null:
                break;
            case "Sequence":
                foreach (var (part, partWhere) in Parts(json, where, "pretokenizers"))
                    AddSplitter(part, partWhere, steps);
                break;
            case "ByteLevel":
                _splitterIsByteLevel = true;
                if (Flag(json, where, "add_prefix_space", true))
                    steps.Add(new PrefixSpaceStep());
                if (Flag(json, where, "use_regex", true))
                    steps.Add(new PatternSplitStep(TextPattern.FromRegex(Gpt2Pattern), SplitBehavior.Isolated, invert: false));
                steps.Add(new ByteLevelStep());
                break;
            case "Split":
                if (Pattern(json, where) is { } pattern)
                    steps.Add(new PatternSplitStep(pattern, Behavior(json, where), Flag(json, where, "invert", false)));
                break;
            case "Digits":
                steps.Add(new PatternSplitStep(
                    TextPattern.FromClass(IsNumeric),
                    Flag(json, where, "individual_digits", false) ? SplitBehavior.Isolated : SplitBehavior.Contiguous,
                    invert: false));
                break;
            case "Punctuation":
                steps.Add(new PatternSplitStep(TextPattern.FromClass(IsPunctuation), Behavior(json, where), invert: false));
                break;
            case "Whitespace":
                steps.Add(new PatternSplitStep(TextPattern.FromRegex(@"\w+|[^\w\s]+"), SplitBehavior.Removed, invert: true));
                break;
            case "WhitespaceSplit":
                steps.Add(new PatternSplitStep(TextPattern.FromClass(Rune.IsWhiteSpace), SplitBehavior.Removed, invert: false));
                break;
            case "Metaspace":
                steps.Add(new MetaspaceStep(
                    Character(json, where, "replacement", '▁'), MetaspacePrepends(json, where), Flag(json, where, "split", true)));
                break;
            case var other:
                Unsupported(where, other, "Sequence, ByteLevel, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, Metaspace");
                break;
        }
    }

    public TokenDecoder Decoder(JsonElement root)
    {
        // Without a decoder the words' spelling says how they are read.
        if (Component(root, "decoder") is not { } json)
            return new TokenDecoder { ByteLevel = _splitterIsByteLevel };
        var replacements = new List<ReplaceStep>();
        var decoder = new TokenDecoder();
        bool fused = false;
        var pending = new Stack<(JsonElement Json, string Where)>([(json, "decoder")]);
        while (pending.TryPop(out var next))
        {
            string where = next.Where;
            switch (TypeOf(next.Json, where))
            {
                case null:
                    break;
                case "Sequence":
                    foreach (var part in Parts(next.Json, where, "decoders").AsEnumerable().Reverse())
                        pending.Push(part);
                    break;
                case "ByteLevel":
                    decoder = decoder with { ByteLevel = true };
                    fused = true;
                    break;
                case "ByteFallback":
                    decoder = decoder with { ByteFallback = true };
                    break;
                case "Fuse":
                    fused = true;
                    break;
                case "Replace" when !fused:
                    if (Pattern(next.Json, where) is { } pattern)
                        replacements.Add(new ReplaceStep(pattern, Text(next.Json, where, "content")));
                    break;
                case "Strip" when fused && Count(next.Json, where, "stop") == 0 && decoder.StripStart.Count == 0:
                    decoder = decoder with { StripStart = (Character(next.Json, where, "content", ' '), Count(next.Json, where, "start")) };
                    break;
                case "Metaspace":
                    char space = Character(next.Json, where, "replacement", '▁');
                    replacements.Add(new ReplaceStep(TextPattern.FromLiteral(space.ToString()), " "));
                    if (MetaspacePrepends(next.Json, where) != MetaspacePrepend.Never)
                        decoder = decoder with { DroppedInFirstToken = space };
                    break;
                case var other:
                    Unsupported(
                        where, other,
                        "Sequence, ByteLevel, ByteFallback, Metaspace, Fuse, Replace (before Fuse), Strip (once, after Fuse, of the start)");
                    break;
            }
        }
        return decoder with { Replacements = replacements };
    }

    /// <summary>Reads what a text begins and ends with.</summary>
    public (List<int> Prefix, List<int> Suffix) PostProcessor(JsonElement root, Func<string, int, bool> isToken)
    {
        var (prefix, suffix) = (new List<int>(), new List<int>());
        var pending = new Stack<(JsonElement Json, string Where)>();
        if (Component(root, "post_processor") is { } json)
            pending.Push((json, "post_processor"));
        while (pending.TryPop(out var next))
        {
            switch (TypeOf(next.Json, next.Where))
            {
                case null or "ByteLevel": // ByteLevel moves offsets only
                    break;
                case "Sequence":
                    foreach (var part in Parts(next.Json, next.Where, "processors").AsEnumerable().Reverse())
                        pending.Push(part);
                    break;
                case "TemplateProcessing":
                    AddTemplate(next.Json, next.Where, prefix, suffix, isToken);
                    break;
                case var other:
                    Unsupported(next.Where, other, "Sequence, ByteLevel, TemplateProcessing");
                    break;
            }
        }
        return (prefix, suffix);
    }

    private void AddTemplate(JsonElement json, string where, List<int> prefix, List<int> suffix, Func<string, int, bool> isToken)
    {
        var (before, after) = (new List<int>(), new List<int>());
        bool seenText = false;
        foreach (var (piece, pieceWhere) in Parts(json, where, "single"))
        {
            if (piece.ValueKind == JsonValueKind.Object && piece.TryGetProperty("Sequence", out _))
            {
                seenText = true;
            }
            else if (piece.ValueKind == JsonValueKind.Object && piece.TryGetProperty("SpecialToken", out var token)
                && JsonReading.TryText(token, "id", out string text))
            {
                foreach (int id in TemplateIds(json, where, text, isToken))
                    (seenText ? after : before).Add(id);
            }
            else
            {
                errors.Add($"tokenizer.json: {pieceWhere} is neither a Sequence nor a SpecialToken with an id");
            }
        }
        prefix.InsertRange(0, before);
        suffix.AddRange(after);
    }

    private IEnumerable<int> TemplateIds(JsonElement json, string where, string name, Func<string, int, bool> isToken)
    {
        if (!json.TryGetProperty("special_tokens", out var map) || map.ValueKind != JsonValueKind.Object
            || !map.TryGetProperty(name, out var entry) || entry.ValueKind != JsonValueKind.Object
            || !entry.TryGetProperty("ids", out var ids) || ids.ValueKind != JsonValueKind.Array
            || !entry.TryGetProperty("tokens", out var tokens) || tokens.ValueKind != JsonValueKind.Array
            || tokens.GetArrayLength() != ids.GetArrayLength())
        {
            errors.Add($"tokenizer.json: {where} uses '{JsonReading.Shown(name)}', "
                + "for which special_tokens has no lists \"ids\" and \"tokens\" of one length");
            yield break;
        }
        for (int i = 0; i < ids.GetArrayLength(); i++)
        {
            if (JsonReading.TryInt(ids[i], out int id) && JsonReading.TryString(tokens[i], out string text) && isToken(text, id))
                yield return id;
            else
                errors.Add($"tokenizer.json: {where} gives '{JsonReading.Shown(name)}' the id {JsonReading.Shown(ids[i])} "
                    + $"and the token {JsonReading.Shown(tokens[i])}, which is not in the vocabulary so");
        }
    }

    // Rust's char::is_numeric: every kind of number.
    private static bool IsNumeric(Rune rune) =>
        Rune.GetUnicodeCategory(rune) is UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber;

    private static bool IsPunctuation(Rune rune) =>
        Rune.IsPunctuation(rune) || (rune.IsAscii && !Rune.IsLetterOrDigit(rune) && rune.Value is > 0x20 and < 0x7F);

    private static JsonElement? Component(JsonElement root, string name) =>
        root.TryGetProperty(name, out var json) && json.ValueKind != JsonValueKind.Null ? json : null;

    private string? TypeOf(JsonElement json, string where)
    {
        if (JsonReading.TryText(json, "type", out string name))
            return name;
        errors.Add($"tokenizer.json: {where} is not an object with a text \"type\"");
        return null;
    }

    private List<(JsonElement Json, string Where)> Parts(JsonElement json, string where, string name)
    {
        if (json.TryGetProperty(name, out var list) && list.ValueKind == JsonValueKind.Array)
            return [.. list.EnumerateArray().Select((part, i) => (part, $"{where}.{name}[{i}]"))];
        errors.Add($"tokenizer.json: {where} has no list \"{name}\"");
        return [];
    }

    private string Text(JsonElement json, string where, string name)
    {
        if (JsonReading.TryText(json, name, out string text))
            return text;
        errors.Add($"tokenizer.json: {where} has no text \"{name}\"");
        return "";
    }

    private char Character(JsonElement json, string where, string name, char absent)
    {
        if (!json.TryGetProperty(name, out _))
            return absent;
        string text = Text(json, where, name);
        if (text.Length == 1)
            return text[0];
        errors.Add($"tokenizer.json: {where}.{name} is '{text}'; it must be one character up to U+FFFF");
        return absent;
    }

    private int Count(JsonElement json, string where, string name)
    {
        if (json.TryGetProperty(name, out var value) && JsonReading.TryInt(value, out int count) && count >= 0)
            return count;
        errors.Add($"tokenizer.json: {where} has no count \"{name}\"");
        return 0;
    }

    private bool Flag(JsonElement json, string where, string name, bool absent)
    {
        if (!json.TryGetProperty(name, out var value) || value.ValueKind == JsonValueKind.Null)
            return absent;
        if (value.ValueKind is JsonValueKind.True or JsonValueKind.False)
            return value.GetBoolean();
        errors.Add($"tokenizer.json: {where}.{name} is {JsonReading.Shown(value)}, not true or false");
        return absent;
    }

    private SplitBehavior Behavior(JsonElement json, string where)
    {
        if (!json.TryGetProperty("behavior", out var value))
            return SplitBehavior.Isolated;
        if (JsonReading.TryString(value, out string name) && Enum.TryParse(name, out SplitBehavior behavior) && Enum.IsDefined(behavior))
            return behavior;
        errors.Add($"tokenizer.json: {where}.behavior is {JsonReading.Shown(value)}; "
            + $"it must be one of {string.Join(", ", Enum.GetNames<SplitBehavior>())}");
        return SplitBehavior.Isolated;
    }

    private MetaspacePrepend MetaspacePrepends(JsonElement json, string where)
    {
        // Older files say add_prefix_space instead.
        if (!json.TryGetProperty("prepend_scheme", out var value))
            return Flag(json, where, "add_prefix_space", true) ? MetaspacePrepend.Always : MetaspacePrepend.Never;
        switch (JsonReading.TryString(value, out string name) ? name : null)
        {
            case "always":
                return MetaspacePrepend.Always;
            case "first":
                return MetaspacePrepend.First;
            case "never":
                return MetaspacePrepend.Never;
            default:
                errors.Add($"tokenizer.json: {where}.prepend_scheme is {JsonReading.Shown(value)}; it must be always, first or never");
                return MetaspacePrepend.Never;
        }
    }

    private TextPattern? Pattern(JsonElement json, string where)
    {
        if (json.TryGetProperty("pattern", out var pattern))
        {
            if (JsonReading.TryText(pattern, "String", out string text))
            {
                if (text.Length > 0)
                    return TextPattern.FromLiteral(text);
                errors.Add($"tokenizer.json: {where}.pattern is an empty text, which matches nothing.");
                return null;
            }

            if (JsonReading.TryText(pattern, "Regex", out string expression))
            {
                try
                {
                    return TextPattern.FromRegex(expression);
                }
                catch (ArgumentException e)
                {
                    errors.Add($"tokenizer.json: {where}.pattern '{expression}' cannot be used: {e.Message}");
                    return null;
                }
            }
        }
        errors.Add($"tokenizer.json: {where}.pattern is neither {{\"String\": …}} nor {{\"Regex\": …}}");
        return null;
    }

    private void Unsupported(string where, string? type, string supported) =>
        errors.Add($"tokenizer.json: {where} is of type '{type}', or used in a way, that is not supported; supported: {supported}");
}
