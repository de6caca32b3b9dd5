using LocalLlm.Interop;
using LocalLlm.KvCache;

namespace LocalLlm;

/// <summary>Checks engine options, all at once.</summary>
internal static class EngineOptionsValidator
{
    private const int MostThreads = 1024;

    /// <exception cref="ArgumentException">Lists every option that is wrong.</exception>
    public static void ThrowIfInvalid(LlmEngineOptions options)
    {
        var errors = Errors(options).ToList();
        if (errors.Count > 0)
            throw new ArgumentException($"{nameof(LlmEngineOptions)}:{string.Concat(errors.Select(e => "\n  - " + e))}", nameof(options));
    }

    /// <summary>Everything that is wrong, an entry for each option; empty if nothing.</summary>
    public static IEnumerable<string> Errors(LlmEngineOptions options)
    {
        if (string.IsNullOrWhiteSpace(options.ModelPath))
            yield return "ModelPath is empty; set it to a Hugging Face model folder (config.json, *.safetensors, tokenizer.json)";
        else if (options.ModelPath.Contains('\0', StringComparison.Ordinal))
            yield return "ModelPath holds a null character, which no path can; set it to a Hugging Face model folder";
        if (!TorchDevice.IsForm(options.Device))
            yield return $"Device is '{options.Device}'; use {TorchDevice.Forms}";
        if (!Enum.IsDefined(options.WeightType))
            yield return $"WeightType is {options.WeightType}; use {string.Join(", ", Enum.GetNames<WeightType>())}";
        if (!Enum.IsDefined(options.AttentionBackend))
            yield return $"AttentionBackend is {options.AttentionBackend}; use {string.Join(", ", Enum.GetNames<AttentionBackend>())}";
        else if (options.AttentionBackend == AttentionBackend.Cpu && options.Device != "cpu")
            yield return $"AttentionBackend is Cpu, but Device is '{options.Device}'; use Device = cpu, or AttentionBackend = Auto";
        else if (options.AttentionBackend == AttentionBackend.Cuda && options.Device == "cpu" && options.OpenKernels is null)
            yield return "AttentionBackend is Cuda, but Device is 'cpu'; use Device = cuda, or AttentionBackend = Auto";
        if (options.ContextTokens is < 2)
            yield return $"ContextTokens is {options.ContextTokens}; use 2 or more, or null for the model's own";
        if (options.MaxSequences < 1)
            yield return $"MaxSequences is {options.MaxSequences}; use 1 or more";
        if (options.MaxQueuedRequests < 0)
            yield return $"MaxQueuedRequests is {options.MaxQueuedRequests}; use 0 or more";
        if (options.MaxQueueTime is { } time && time <= TimeSpan.Zero)
            yield return $"MaxQueueTime is {time}; use more than 0, or null for no limit";
        if (options.PrefillChunkTokens < 1)
            yield return $"PrefillChunkTokens is {options.PrefillChunkTokens}; use 1 or more";
        if (options.Threads is < 1 or > MostThreads)
            yield return $"Threads is {options.Threads}; use 1 to {MostThreads}, or null for one each core";
        if (options.KvCache is null)
        {
            yield return "KvCache is null; leave it at its default";
            yield break;
        }

        foreach (var error in KvCacheOptionsCheck.Errors(options.KvCache))
            yield return "KvCache: " + error;
    }
}
