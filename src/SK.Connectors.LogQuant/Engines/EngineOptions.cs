using LocalLlm;
using Microsoft.Extensions.Options;

namespace SK.Connectors.LogQuant.Engines;

/// <summary>What registrations do with <see cref="LlmEngineOptions"/>; their meaning is the engine's.</summary>
internal static class EngineOptions
{
    /// <summary>A copy that later changes of the original do not reach.</summary>
    // A null KvCache is wrong, but the validator's to say.
    public static LlmEngineOptions Snapshot(LlmEngineOptions options) =>
        options.KvCache is null ? options with { } : options with { KvCache = options.KvCache with { } };

    /// <summary>Sets every property, so that the options pipeline can start from given options.</summary>
    public static void CopyTo(this LlmEngineOptions source, LlmEngineOptions target)
    {
        var snapshot = Snapshot(source);
        target.ModelPath = snapshot.ModelPath;
        target.ModelId = snapshot.ModelId;
        target.Device = snapshot.Device;
        target.LibTorchPath = snapshot.LibTorchPath;
        target.WeightType = snapshot.WeightType;
        target.ContextTokens = snapshot.ContextTokens;
        target.MaxSequences = snapshot.MaxSequences;
        target.MaxQueuedRequests = snapshot.MaxQueuedRequests;
        target.MaxQueueTime = snapshot.MaxQueueTime;
        target.PrefillChunkTokens = snapshot.PrefillChunkTokens;
        target.ToolCallFormat = snapshot.ToolCallFormat;
        target.KvCache = snapshot.KvCache;
        target.AttentionBackend = snapshot.AttentionBackend;
        target.Threads = snapshot.Threads;
    }

    /// <summary>The name by which the engine will report its model, known before it is loaded.</summary>
    public static string ModelId(LlmEngineOptions options) =>
        options.ModelId ?? Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(options.ModelPath)));
}

/// <summary>Finds what can be seen to be wrong before a model is loaded; reports all of it at once.</summary>
internal sealed class LlmEngineOptionsValidator : IValidateOptions<LlmEngineOptions>
{
    public ValidateOptionsResult Validate(string? name, LlmEngineOptions options)
    {
        var errors = new List<string>();
        var prefix = string.IsNullOrEmpty(name) ? nameof(LlmEngineOptions) : $"{nameof(LlmEngineOptions)} '{name}'";
        if (string.IsNullOrWhiteSpace(options.ModelPath))
            errors.Add($"{prefix}.{nameof(options.ModelPath)} is empty; set it to a Hugging Face model folder.");
        else if (!Directory.Exists(options.ModelPath))
            errors.Add($"{prefix}.{nameof(options.ModelPath)} is '{options.ModelPath}', which is no folder; "
                + $"a relative path starts at {Directory.GetCurrentDirectory()}.");
        errors.AddRange(options.Validate().Where(e => !e.StartsWith(nameof(options.ModelPath), StringComparison.Ordinal)).Select(e => $"{prefix}.{e}."));
        return errors.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(errors);
    }
}
