namespace LocalLlm.Loading;

/// <summary>
/// A Hugging Face model folder, opened: its files found, its configurations and the headers of its weights checked. Opening finds everything
/// that is wrong and throws nothing, so that whoever builds the network can add what is wrong with the tensors and tell all of it at once.
/// </summary>
internal sealed class ModelFolder : IDisposable
{
    private readonly LoadErrors errors = new();

    private ModelFolder(string folder) => FolderPath = folder;

    /// <summary>The folder's full path.</summary>
    public string FolderPath { get; }

    /// <summary>The configuration; null if it is missing or wrong.</summary>
    public ModelConfig? Config { get; private set; }

    /// <summary>The generation defaults; null if the folder has none.</summary>
    public GenerationConfig? Generation { get; private set; }

    /// <summary>The bits of each layer's pages that were measured for the model; null if the folder has none.</summary>
    public CacheBitsConfig? CacheBits { get; private set; }

    /// <summary>The weights; null if they are missing or wrong.</summary>
    public Checkpoint? Weights { get; private set; }

    /// <summary>The path of tokenizer.json; null if there is none.</summary>
    public string? TokenizerJsonPath { get; private set; }

    /// <summary>The path of tokenizer.model; null if there is none.</summary>
    public string? TokenizerModelPath { get; private set; }

    /// <summary>The path of tokenizer_config.json; null if there is none.</summary>
    public string? TokenizerConfigPath { get; private set; }

    /// <summary>The path of chat_template.jinja, which goes before the template in tokenizer_config.json; null if there is none.</summary>
    public string? ChatTemplatePath { get; private set; }

    /// <summary>The tokens that end a generation: those of generation_config.json, else those of config.json.</summary>
    public IReadOnlyList<int> EosTokenIds => Generation?.EosTokenIds ?? Config?.EosTokenIds ?? [];

    /// <summary>Everything found wrong so far, one entry each.</summary>
    public IReadOnlyList<string> Errors => errors.ToList();

    /// <summary>Opens a folder.</summary>
    public static ModelFolder Open(string path)
    {
        var folder = new ModelFolder(Path.GetFullPath(path));
        try
        {
            folder.Read();
            return folder;
        }
        catch
        {
            folder.Dispose();
            throw;
        }
    }

    /// <summary>Throws if anything is wrong.</summary>
    /// <param name="more">What was found wrong by the caller.</param>
    /// <exception cref="ModelLoadException">Lists all of it.</exception>
    public void ThrowIfInvalid(IEnumerable<string>? more = null)
    {
        foreach (var error in more ?? [])
            errors.Add(error);
        errors.ThrowIfAny(FolderPath);
    }

    /// <summary>Reads another part of the folder; what is wrong with it is told with the rest.</summary>
    /// <returns>What was read; null if it is missing or wrong.</returns>
    public T? Check<T>(Func<T?> read)
        where T : class
    {
        try
        {
            return read();
        }
        catch (ModelLoadException e)
        {
            foreach (var error in e.Errors)
                errors.Add(error);
        }
        catch (ChatTemplateException e)
        {
            errors.Add("the chat template is wrong: " + e.Message);
        }

        return null;
    }

    /// <summary>What the folder says of embeddings, if anything; what is wrong with that is told with the rest.</summary>
    public SentenceTransformersConfig ReadSentenceTransformers() =>
        Directory.Exists(FolderPath) ? SentenceTransformersConfig.Read(FolderPath, errors) : new SentenceTransformersConfig();

    /// <inheritdoc/>
    public void Dispose() => Weights?.Dispose();

    private void Read()
    {
        if (!Directory.Exists(FolderPath))
        {
            errors.Add(File.Exists(FolderPath) ? "it is a file; the folder that holds config.json is needed." : "it does not exist.");
            return;
        }

        try
        {
            if (Find("config.json") is { } config)
                Config = ModelConfig.Read(config, errors);
            else
                errors.Add("config.json is missing.");
            if (Find("generation_config.json") is { } generation)
                Generation = GenerationConfig.Read(generation, errors);
            if (Find(CacheBitsConfig.FileName) is { } bits)
                CacheBits = CacheBitsConfig.Read(bits, Config?.Layers, errors);
            TokenizerJsonPath = Find("tokenizer.json");
            TokenizerModelPath = Find("tokenizer.model");
            TokenizerConfigPath = Find("tokenizer_config.json");
            ChatTemplatePath = Find("chat_template.jinja");
            if (TokenizerJsonPath is null && TokenizerModelPath is null)
                errors.Add("tokenizer.json or tokenizer.model is missing.");
            Weights = Checkpoint.Open(FolderPath, errors);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            errors.Add($"it cannot be read: {e.Message}");
        }
    }

    private string? Find(string name) => Path.Combine(FolderPath, name) is var path && File.Exists(path) ? path : null;
}
