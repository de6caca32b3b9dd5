using System.Text.Json;

namespace LocalLlm.Loading;

/// <summary>What a folder's sentence-transformers files say of embeddings: modules.json, the pooling module's config.json and config_sentence_transformers.json.</summary>
internal sealed record SentenceTransformersConfig
{
    private const string ModulesFile = "modules.json";
    private const string PromptsFile = "config_sentence_transformers.json";

    /// <summary>How to pool; the last token's state where the files do not say.</summary>
    public EmbeddingPooling Pooling { get; init; } = EmbeddingPooling.LastToken;

    /// <summary>Why the files' own way cannot be followed; null if it can.</summary>
    public string? Problem { get; init; }

    /// <summary>Texts that go before a text, by name.</summary>
    public IReadOnlyDictionary<string, string> Prompts { get; init; } = new Dictionary<string, string>();

    /// <summary>The prompt that is used where none is named; null for none.</summary>
    public string? DefaultPromptName { get; init; }

    /// <summary>Reads the files that are there; what is wrong with them is told.</summary>
    public static SentenceTransformersConfig Read(string folder, LoadErrors errors)
    {
        var config = new SentenceTransformersConfig();
        if (PoolingFile(folder, errors, out var problem) is { } pooling && JsonFields.Read(pooling, errors) is { } fields)
            config = ReadPooling(fields, config);
        if (problem is not null)
            config = config with { Problem = problem };
        if (File.Exists(Path.Combine(folder, PromptsFile)) && JsonFields.Read(Path.Combine(folder, PromptsFile), errors) is { } prompts)
        {
            config = config with
            {
                Prompts = prompts.TextMap("prompts") ?? new Dictionary<string, string>(),
                DefaultPromptName = prompts.Text("default_prompt_name"),
            };
        }

        return config;
    }

    private static string? PoolingFile(string folder, LoadErrors errors, out string? problem)
    {
        problem = null;
        var usual = Path.Combine(folder, "1_Pooling", "config.json");
        if (ReadModules(Path.Combine(folder, ModulesFile), errors) is { } modules)
        {
            // "sentence_transformers.models.Pooling", in newer files with a longer path.
            var types = modules.Select(m => (Type: m.Text("type")?.Split('.')[^1] ?? "", Path: m.Text("path"))).ToList();
            if (types.FirstOrDefault(m => m.Type is not ("Transformer" or "Pooling" or "Normalize")) is { Type.Length: > 0 } other)
                problem = $"{ModulesFile} has a module {LoadErrors.Quote(other.Type)}, which is not supported";
            if (types.FirstOrDefault(m => m.Type == "Pooling").Path is { Length: > 0 } path)
                usual = Path.Combine(folder, path, "config.json");
        }

        return File.Exists(usual) ? usual : null;
    }

    private static List<JsonFields>? ReadModules(string path, LoadErrors errors)
    {
        if (!File.Exists(path))
            return null;
        try
        {
            using var stream = File.OpenRead(path);
            using var document = JsonDocument.Parse(stream);
            if (document.RootElement.ValueKind == JsonValueKind.Array && document.RootElement.EnumerateArray().All(m => m.ValueKind == JsonValueKind.Object))
                return [.. document.RootElement.EnumerateArray().Select((m, i) => new JsonFields(m.Clone(), $"{ModulesFile}[{i}]", errors))];
            errors.Add($"{ModulesFile} must be a list of objects.");
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException)
        {
            errors.Add($"{ModulesFile} cannot be read: {e.Message}");
        }

        return null;
    }

    private static SentenceTransformersConfig ReadPooling(JsonFields fields, SentenceTransformersConfig config)
    {
        string[] modes =
        [
            "pooling_mode_cls_token", "pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens",
        ];
        // Older files have a flag for each mode, newer ones may name one.
        var named = fields.Text("pooling_mode");
        var mean = named == "mean" || (fields.Bool("pooling_mode_mean_tokens") ?? false);
        var last = named == "lasttoken" || (fields.Bool("pooling_mode_lasttoken") ?? false);
        var other = modes.FirstOrDefault(m => fields.Bool(m) ?? false) ?? (mean || last ? null : named);
        var problem = other is not null ? $"{fields.Label} asks for {other}"
            : mean && last ? $"{fields.Label} asks for the mean and the last token together"
            : !(fields.Bool("include_prompt") ?? true) ? $"{fields.Label} leaves the prompt out of the pooling"
            : null;
        return config with { Pooling = mean ? EmbeddingPooling.Mean : EmbeddingPooling.LastToken, Problem = problem };
    }
}
