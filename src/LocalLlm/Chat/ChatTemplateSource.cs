using System.Text.Json;

namespace LocalLlm.Chat;

/// <summary>The chat templates and special tokens of a model folder, as they are written there.</summary>
internal sealed class ChatTemplateSource
{
    private const string DefaultName = "default";
    private const string ToolUseName = "tool_use";
    private const long MaxFileBytes = 64L << 20;

    private readonly Dictionary<string, string> _templates;
    private readonly string _origin;

    private ChatTemplateSource(string origin, Dictionary<string, string> templates, IReadOnlyDictionary<string, string> specialTokens) =>
        (_origin, _templates, SpecialTokens) = (origin, templates, specialTokens);

    /// <summary>True if the folder has a template for chats.</summary>
    public bool HasTemplate => _templates.Count > 0;

    /// <summary>The names of the templates, "default" first if it exists.</summary>
    public IReadOnlyList<string> Names => [.. _templates.Keys.OrderBy(n => n != DefaultName).ThenBy(n => n, StringComparer.Ordinal)];

    /// <summary>The texts of special tokens by the names under which templates know them, such as <c>bos_token</c>.</summary>
    public IReadOnlyDictionary<string, string> SpecialTokens { get; }

    /// <summary>A source from memory, for instance a template given by an option.</summary>
    public static ChatTemplateSource FromText(string template, IReadOnlyDictionary<string, string>? specialTokens = null) =>
        new("(given template)", new() { [DefaultName] = template }, specialTokens ?? new Dictionary<string, string>());

    /// <summary>
    /// Reads a folder. A file of its own (<c>chat_template.jinja</c>, then <c>chat_template.json</c>) wins over
    /// <c>tokenizer_config.json</c>; <c>additional_chat_templates/NAME.jinja</c> add named ones.
    /// </summary>
    /// <exception cref="ModelLoadException">A file is unreadable, or not what its name says; lists all that is wrong.</exception>
    public static ChatTemplateSource Read(string folder)
    {
        var errors = new List<string>();
        var templates = new Dictionary<string, string>(StringComparer.Ordinal);
        var specialTokens = new Dictionary<string, string>(StringComparer.Ordinal);

        // Later files win over earlier ones.
        WithJson(Path.Combine(folder, "special_tokens_map.json"), errors, map => AddSpecialTokens(map, specialTokens));
        WithJson(Path.Combine(folder, "tokenizer_config.json"), errors, config =>
        {
            AddSpecialTokens(config, specialTokens);
            if (config.TryGetProperty("extra_special_tokens", out var extra) && extra.ValueKind == JsonValueKind.Object)
                AddSpecialTokens(extra, specialTokens, anyName: true);
            AddTemplates(config, "tokenizer_config.json", templates, errors);
        });
        WithJson(Path.Combine(folder, "chat_template.json"), errors, config => AddTemplates(config, "chat_template.json", templates, errors));
        if (ReadText(Path.Combine(folder, "chat_template.jinja"), errors) is { } own)
            templates[DefaultName] = own;
        var additional = Path.Combine(folder, "additional_chat_templates");
        if (Directory.Exists(additional))
            foreach (var file in Directory.EnumerateFiles(additional, "*.jinja").Order(StringComparer.Ordinal))
                if (ReadText(file, errors) is { } text)
                    templates[Path.GetFileNameWithoutExtension(file)] = text;

        return errors.Count == 0 ? new(folder, templates, specialTokens) : throw new ModelLoadException(folder, errors);
    }

    /// <summary>The template for a request: "tool_use" if tools are given and the model has it, else "default".</summary>
    /// <exception cref="ChatTemplateException">The model has no template for chats.</exception>
    public string Select(bool hasTools)
    {
        if (hasTools && _templates.TryGetValue(ToolUseName, out var toolUse))
            return toolUse;
        if (_templates.TryGetValue(DefaultName, out var template))
            return template;
        if (_templates.Count == 1)
            return _templates.Values.Single();
        throw new ChatTemplateException(_templates.Count == 0
            ? $"The model folder '{_origin}' has no chat template, so a conversation cannot be rendered. Add a file chat_template.jinja to it "
                + "(or 'chat_template' to its tokenizer_config.json), or give a raw Prompt instead of Turns."
            : $"The model folder '{_origin}' has the chat templates {string.Join(", ", Names.Select(n => $"'{n}'"))} but none named 'default'. "
                + "Add a file chat_template.jinja with the one to use.");
    }

    private static void AddTemplates(JsonElement config, string file, Dictionary<string, string> templates, List<string> errors)
    {
        if (!config.TryGetProperty("chat_template", out var value) || value.ValueKind == JsonValueKind.Null)
            return;
        switch (value.ValueKind)
        {
            case JsonValueKind.String:
                templates[DefaultName] = value.GetString()!;
                break;
            case JsonValueKind.Array:
                foreach (var entry in value.EnumerateArray())
                {
                    if (entry.ValueKind == JsonValueKind.Object && StringOf(entry, "name") is { } name && StringOf(entry, "template") is { } template)
                        templates[name] = template;
                    else
                        errors.Add($"{file}: an entry of 'chat_template' needs the strings 'name' and 'template'");
                }
                break;
            case JsonValueKind.Object:
                foreach (var entry in value.EnumerateObject())
                {
                    if (entry.Value.ValueKind == JsonValueKind.String)
                        templates[entry.Name] = entry.Value.GetString()!;
                    else
                        errors.Add($"{file}: 'chat_template.{entry.Name}' must be a string, not {entry.Value.ValueKind}");
                }
                break;
            default:
                errors.Add($"{file}: 'chat_template' must be a string or a list of named templates, not {value.ValueKind}");
                break;
        }
    }

    private static void AddSpecialTokens(JsonElement map, Dictionary<string, string> tokens, bool anyName = false)
    {
        foreach (var property in map.EnumerateObject())
        {
            if (!anyName && !property.Name.EndsWith("_token", StringComparison.Ordinal))
                continue;
            var text = property.Value.ValueKind switch
            {
                JsonValueKind.String => property.Value.GetString(),
                JsonValueKind.Object => StringOf(property.Value, "content"),
                _ => null,
            };
            if (text is not null)
                tokens[property.Name] = text;
        }
    }

    private static string? StringOf(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static void WithJson(string path, List<string> errors, Action<JsonElement> use)
    {
        if (ReadText(path, errors) is not { } text)
            return;
        var file = Path.GetFileName(path);
        try
        {
            using var document = JsonDocument.Parse(text, new() { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
            if (document.RootElement.ValueKind == JsonValueKind.Object)
                use(document.RootElement);
            else
                errors.Add($"{file}: expected a JSON object, got {document.RootElement.ValueKind}");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            errors.Add($"{file}: not valid JSON: {e.Message}");
        }
    }

    private static string? ReadText(string path, List<string> errors)
    {
        var file = Path.GetFileName(path);
        try
        {
            var info = new FileInfo(path);
            if (!info.Exists)
                return null;
            if (info.Length <= MaxFileBytes)
                return File.ReadAllText(path);
            errors.Add($"{file}: {info.Length} bytes; at most {MaxFileBytes} are read");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            errors.Add($"{file}: cannot be read: {e.Message}");
        }
        return null;
    }
}
