using System.Text.Json;

namespace LocalLlm.Tokenization;

/// <summary>Finds a model folder's tokenizer files and reads them.</summary>
internal static class TokenizerLoader
{
    // The largest known tokenizer files have about 35 MB.
    private const long MaxFileBytes = 512L << 20;

    public static TextTokenizer Load(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        var errors = new LoadErrors();
        TextTokenizer? tokenizer = null;
        if (!Directory.Exists(folder))
        {
            errors.Add("there is no such folder");
        }
        else
        {
            using var config = ReadJson(folder, "tokenizer_config.json", errors);
            using var specialTokensMap = ReadJson(folder, "special_tokens_map.json", errors);
            var settings = TokenizerConfig.Read(config?.RootElement, specialTokensMap?.RootElement, errors);
            if (File.Exists(Path.Combine(folder, "tokenizer.json")))
            {
                using var json = ReadJson(folder, "tokenizer.json", errors);
                if (json is not null)
                    tokenizer = TokenizerJsonReader.Read(json.RootElement, settings, errors);
            }
            else if (File.Exists(Path.Combine(folder, "tokenizer.model")))
            {
                if (ReadBytes(folder, "tokenizer.model", errors) is { } bytes)
                    tokenizer = SentencePieceReader.Read(bytes, settings, errors);
            }
            else
            {
                errors.Add("there is neither a tokenizer.json nor a tokenizer.model");
            }
        }
        return tokenizer is not null && errors.Count == 0 ? tokenizer : throw new ModelLoadException(folder, errors.ToList());
    }

    private static JsonDocument? ReadJson(string folder, string name, LoadErrors errors)
    {
        if (!File.Exists(Path.Combine(folder, name)) || ReadBytes(folder, name, errors) is not { } bytes)
            return null;
        try
        {
            var document = JsonDocument.Parse(bytes);
            if (document.RootElement.ValueKind == JsonValueKind.Object)
                return document;
            errors.Add($"{name} is not a JSON object but a value of kind {document.RootElement.ValueKind}");
            document.Dispose();
        }
        catch (JsonException e)
        {
            errors.Add($"{name} is not valid JSON: {e.Message}");
        }
        return null;
    }

    private static byte[]? ReadBytes(string folder, string name, LoadErrors errors)
    {
        try
        {
            var file = new FileInfo(Path.Combine(folder, name));
            if (file.Length <= MaxFileBytes)
                return File.ReadAllBytes(file.FullName);
            errors.Add($"{name} has {file.Length:N0} bytes; at most {MaxFileBytes:N0} are read");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            errors.Add($"{name} cannot be read: {e.Message}");
        }
        return null;
    }
}

/// <summary>What is wrong with the files; long lists of one kind are cut, and say so.</summary>
internal sealed class LoadErrors
{
    private const int MaxPerKind = 10;

    private readonly List<string> _errors = [];

    public int Count => _errors.Count;

    public void Add(string error) => _errors.Add(error);

    /// <summary>Adds errors of one kind, the first ten of them by their text.</summary>
    public void AddAll(IReadOnlyCollection<string> errors)
    {
        _errors.AddRange(errors.Take(MaxPerKind));
        if (errors.Count > MaxPerKind)
            _errors.Add($"… and {errors.Count - MaxPerKind:N0} more errors of the same kind");
    }

    public IReadOnlyList<string> ToList() => [.. _errors];
}
