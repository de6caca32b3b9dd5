using System.Globalization;
using LocalLlm;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Options;

namespace SK.Connectors.LogQuant.Hosting;

/// <summary>
/// Reads engine options from a configuration section. Written out instead of bound by reflection, so that it works in trimmed applications,
/// finds everything that is wrong at once, and takes no unknown key for nothing.
/// </summary>
internal static class EngineConfiguration
{
    private static readonly Dictionary<string, Action<LlmEngineOptions, string>> EngineKeys = new(StringComparer.OrdinalIgnoreCase)
    {
        [nameof(LlmEngineOptions.ModelPath)] = (o, v) => o.ModelPath = v,
        [nameof(LlmEngineOptions.ModelId)] = (o, v) => o.ModelId = v.Length == 0 ? null : v,
        [nameof(LlmEngineOptions.Device)] = (o, v) => o.Device = v,
        [nameof(LlmEngineOptions.LibTorchPath)] = (o, v) => o.LibTorchPath = v.Length == 0 ? null : v,
        [nameof(LlmEngineOptions.WeightType)] = (o, v) => o.WeightType = Name<WeightType>(v),
        [nameof(LlmEngineOptions.ContextTokens)] = (o, v) => o.ContextTokens = v.Length == 0 ? null : Whole(v),
        [nameof(LlmEngineOptions.MaxSequences)] = (o, v) => o.MaxSequences = Whole(v),
        [nameof(LlmEngineOptions.MaxQueuedRequests)] = (o, v) => o.MaxQueuedRequests = Whole(v),
        [nameof(LlmEngineOptions.MaxQueueTime)] = (o, v) => o.MaxQueueTime = v.Length == 0 ? null : Time(v),
        [nameof(LlmEngineOptions.PrefillChunkTokens)] = (o, v) => o.PrefillChunkTokens = Whole(v),
        [nameof(LlmEngineOptions.ToolCallFormat)] = (o, v) => o.ToolCallFormat = v.Length == 0 ? null : Name<ToolCallFormat>(v),
        [nameof(LlmEngineOptions.AttentionBackend)] = (o, v) => o.AttentionBackend = Name<AttentionBackend>(v),
        [nameof(LlmEngineOptions.Threads)] = (o, v) => o.Threads = v.Length == 0 ? null : Whole(v),
    };

    private static readonly Dictionary<string, Action<KvCacheOptions, string>> CacheKeys = new(StringComparer.OrdinalIgnoreCase)
    {
        [nameof(KvCacheOptions.Kind)] = (o, v) => o.Kind = Name<KvCacheKind>(v),
        [nameof(KvCacheOptions.Window)] = (o, v) => o.Window = Whole(v),
        [nameof(KvCacheOptions.SinkTokens)] = (o, v) => o.SinkTokens = Whole(v),
        [nameof(KvCacheOptions.PageTokens)] = (o, v) => o.PageTokens = v.Length == 0 ? null : Whole(v),
        [nameof(KvCacheOptions.KeyBits)] = (o, v) => o.KeyBits = Whole(v),
        [nameof(KvCacheOptions.SlowKeyBits)] = (o, v) => o.SlowKeyBits = Whole(v),
        [nameof(KvCacheOptions.ValueBits)] = (o, v) => o.ValueBits = Whole(v),
        [nameof(KvCacheOptions.Scales)] = (o, v) => o.Scales = Name<KvScaleFormat>(v),
        [nameof(KvCacheOptions.ClipSearch)] = (o, v) => o.ClipSearch = Switch(v),
        [nameof(KvCacheOptions.BoundaryLayers)] = (o, v) => o.BoundaryLayers = Whole(v),
        [nameof(KvCacheOptions.BoundaryKeyBits)] = (o, v) => o.BoundaryKeyBits = Whole(v),
        [nameof(KvCacheOptions.BoundaryValueBits)] = (o, v) => o.BoundaryValueBits = Whole(v),
        [nameof(KvCacheOptions.MemoryBytes)] = (o, v) => o.MemoryBytes = v.Length == 0 ? (MemoryBudget?)null : Memory(v),
        [nameof(KvCacheOptions.SpillDirectory)] = (o, v) => o.SpillDirectory = v.Length == 0 ? null : v,
        [nameof(KvCacheOptions.SpillBytes)] = (o, v) => o.SpillBytes = v.Length == 0 ? (MemoryBudget?)null : Memory(v),
        [nameof(KvCacheOptions.RetainedConversations)] = (o, v) => o.RetainedConversations = Whole(v),
    };

    /// <summary>The keys of a section, those of the cache's own section with its name before them.</summary>
    public static IEnumerable<string> Keys => EngineKeys.Keys.Concat(CacheKeys.Keys.Select(k => $"{nameof(LlmEngineOptions.KvCache)}:{k}"));

    /// <summary>Sets what the section names; what is wrong stays as it is.</summary>
    /// <returns>Everything that is wrong, an entry each.</returns>
    public static IReadOnlyList<string> Apply(IConfiguration configuration, LlmEngineOptions options)
    {
        var errors = new List<string>();
        var children = configuration.GetChildren().ToList();
        if (children.Count == 0)
            errors.Add($"{Path(configuration)}: the configuration section is missing or empty; set at least {nameof(LlmEngineOptions.ModelPath)}.");
        foreach (var child in children)
        {
            if (!Is(child.Key, nameof(LlmEngineOptions.KvCache)))
                Set(child, EngineKeys, options, [.. EngineKeys.Keys, nameof(LlmEngineOptions.KvCache)], errors);
            else if (!string.IsNullOrEmpty(child.Value))
                errors.Add($"{child.Path} is '{child.Value}'; it must be a section with keys of its own ({string.Join(", ", CacheKeys.Keys)}).");
            else
            {
                options.KvCache ??= new KvCacheOptions();
                foreach (var setting in child.GetChildren())
                    Set(setting, CacheKeys, options.KvCache, CacheKeys.Keys, errors);
            }
        }
        return errors;
    }

    private static void Set<T>(
        IConfigurationSection setting, Dictionary<string, Action<T, string>> keys, T options, ICollection<string> known, List<string> errors)
    {
        if (!keys.TryGetValue(setting.Key, out var set))
        {
            var near = known.Where(k => Distance(k, setting.Key) <= 1 + (k.Length / 4)).MinBy(k => Distance(k, setting.Key));
            errors.Add($"{setting.Path} is unknown; {(near is null ? $"known are {string.Join(", ", known)}" : $"did you mean {near}?")}");
            return;
        }

        if (setting.GetChildren().Any())
        {
            errors.Add($"{setting.Path} is a section; it must be a single value.");
            return;
        }

        try
        {
            // An empty value takes back one that an earlier source of the configuration has set.
            set(options, setting.Value ?? "");
        }
        catch (FormatException e)
        {
            errors.Add($"{setting.Path} is '{setting.Value}'; {e.Message}");
        }
    }

    private static bool Is(string key, string name) => string.Equals(key, name, StringComparison.OrdinalIgnoreCase);

    private static string Path(IConfiguration configuration) =>
        configuration is IConfigurationSection { Path: { Length: > 0 } path } ? path : "the configuration's root";

    private static int Whole(string text) =>
        int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value)
            ? value
            : throw new FormatException("it must be a whole number.");

    private static TimeSpan Time(string text) =>
        TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out var value)
            ? value
            : throw new FormatException("it must be a time such as 00:00:30.");

    private static MemoryBudget Memory(string text) =>
        MemoryBudget.TryParse(text, out var value)
            ? value
            : throw new FormatException("it must be a number of bytes, a size such as 2GiB or 512MB, or a share of the free memory such as 40%.");

    private static bool Switch(string text) =>
        bool.TryParse(text, out var value) ? value : throw new FormatException("it must be true or false.");

    private static T Name<T>(string text) where T : struct, Enum =>
        // A number would name a value as well, but no one could read it.
        Enum.GetNames<T>().FirstOrDefault(n => Is(n, text)) is { } name
            ? Enum.Parse<T>(name)
            : throw new FormatException($"it must be one of {string.Join(", ", Enum.GetNames<T>())}.");

    /// <summary>Letters to change, insert or leave out (Levenshtein).</summary>
    private static int Distance(string a, string b)
    {
        var row = Enumerable.Range(0, b.Length + 1).ToArray();
        for (var i = 1; i <= a.Length; i++)
        {
            var (diagonal, left) = (row[0], row[0] = i);
            for (var j = 1; j <= b.Length; j++)
            {
                var cost = char.ToUpperInvariant(a[i - 1]) == char.ToUpperInvariant(b[j - 1]) ? 0 : 1;
                left = Math.Min(Math.Min(left, row[j]) + 1, diagonal + cost);
                (diagonal, row[j]) = (row[j], left);
            }
        }
        return row[^1];
    }
}

/// <summary>Reports what is wrong in the configuration of one engine with what else is wrong in its options.</summary>
/// <param name="name">The name of the options.</param>
/// <param name="configuration">The section.</param>
internal sealed class EngineConfigurationValidator(string name, IConfiguration configuration) : IValidateOptions<LlmEngineOptions>
{
    public ValidateOptionsResult Validate(string? optionsName, LlmEngineOptions options)
    {
        if (optionsName != name)
            return ValidateOptionsResult.Skip;
        var errors = EngineConfiguration.Apply(configuration, new LlmEngineOptions());
        return errors.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(errors);
    }
}
