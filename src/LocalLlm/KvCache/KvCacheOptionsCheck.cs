namespace LocalLlm.KvCache;

/// <summary>Checks the cache's options among themselves, all at once; the factory checks them against the model.</summary>
internal static class KvCacheOptionsCheck
{
    private const int LargestWindow = 4096;
    private const int MostSinkTokens = 1024;

    /// <summary>All that is wrong, each entry naming the property, what it must be and what it is; empty if nothing.</summary>
    public static IEnumerable<string> Errors(KvCacheOptions options)
    {
        if (!Enum.IsDefined(options.Kind))
            yield return Wrong(nameof(options.Kind), $"one of {string.Join(", ", Enum.GetNames<KvCacheKind>())}", options.Kind);
        foreach (var error in PageErrors(options))
            yield return error;
        if (options.SinkTokens is < 0 or > MostSinkTokens)
            yield return Wrong(nameof(options.SinkTokens), $"0 to {MostSinkTokens}", options.SinkTokens);
        if (options.KeyBits is { } keyBits && !IsCodeWidth(keyBits))
            yield return Wrong(nameof(options.KeyBits), "2, 3 or 4", keyBits);
        if (options.ValueBits is { } valueBits && !IsCodeWidth(valueBits))
            yield return Wrong(nameof(options.ValueBits), "2, 3 or 4", valueBits);
        if (!Enum.IsDefined(options.Scales))
            yield return Wrong(nameof(options.Scales), $"one of {string.Join(", ", Enum.GetNames<KvScaleFormat>())}", options.Scales);
        if (options.BoundaryLayers < 0)
            yield return Wrong(nameof(options.BoundaryLayers), "0 or more", options.BoundaryLayers);
        if (options.SlowKeyBits is { } slowBits && !IsCodeWidth(slowBits))
            yield return Wrong(nameof(options.SlowKeyBits), "2, 3 or 4", slowBits);
        else if (options.KeyBits is > 2 and <= 4 && options.SlowKeyBits > options.KeyBits)
            yield return Wrong(nameof(options.SlowKeyBits), $"no more than {nameof(options.KeyBits)} ({options.KeyBits}) where that is above 2", options.SlowKeyBits);
        if (!IsCodeWidth(options.BoundaryKeyBits))
            yield return Wrong(nameof(options.BoundaryKeyBits), "2, 3 or 4", options.BoundaryKeyBits);
        if (!IsCodeWidth(options.BoundaryValueBits))
            yield return Wrong(nameof(options.BoundaryValueBits), "2, 3 or 4", options.BoundaryValueBits);
        if (options.MemoryBytes is { Share: null } memory && memory.Bytes is not > 0)
            yield return Wrong(nameof(options.MemoryBytes), "positive, or null for a share of the free memory", memory);
        if (options.SpillDirectory is { } directory && (string.IsNullOrWhiteSpace(directory) || directory.Contains('\0', StringComparison.Ordinal)))
            yield return Wrong(nameof(options.SpillDirectory), "the path of a directory, or null for none", "an empty text or one with a null character");
        if (options.SpillBytes is { Bytes: not > 0 } spill)
            yield return Wrong(nameof(options.SpillBytes), "a positive number of bytes, or null for no limit; a share of memory means nothing on a disk", spill);
        if (options.SpillBytes is not null && options.SpillDirectory is null)
            yield return $"{nameof(options.SpillBytes)} limits {nameof(options.SpillDirectory)}, which is null; set both or neither";
        if (options.RetainedConversations < 0)
            yield return Wrong(nameof(options.RetainedConversations), "0 or more", options.RetainedConversations);
    }

    private static IEnumerable<string> PageErrors(KvCacheOptions options)
    {
        var (window, page) = (options.Window, options.PageTokens);
        var isStreaming = options.Kind is KvCacheKind.StreamingQuant or KvCacheKind.StreamingLlm
            or KvCacheKind.Kivi or KvCacheKind.HuggingFaceKivi;
        var isWindow = isStreaming ? window is >= 32 and <= LargestWindow && window % 32 == 0 : IsPageLength(window);
        if (!isWindow)
        {
            yield return Wrong(
                nameof(options.Window), isStreaming ? $"a multiple of 32 up to {LargestWindow} for {options.Kind}" : "32, 64 or 128", window);
        }

        if (page is { } tokens && !IsPageLength(tokens))
        {
            yield return Wrong(nameof(options.PageTokens), "32, 64 or 128, or null to take Window", tokens);
        }
        else if (isWindow && options.Kind is KvCacheKind.LogQuant or KvCacheKind.PartialLogQuant && page is not null && page != window)
        {
            yield return Wrong(nameof(options.PageTokens), $"Window ({window}) for {options.Kind}, or null", page);
        }
        else if (isWindow && options.Kind is KvCacheKind.StreamingQuant or KvCacheKind.Kivi or KvCacheKind.HuggingFaceKivi)
        {
            int[] fitting = [.. new[] { 32, 64, 128 }.Where(p => window % p == 0)];
            if (!fitting.Contains(page ?? window))
            {
                var allowed = $"{string.Join(" or ", fitting)} for Window = {window} because {window} rows leave at a time";
                yield return Wrong(nameof(options.PageTokens), allowed, page ?? window) + (page is null ? " (null takes Window)" : "");
            }
        }
    }

    private static bool IsPageLength(int tokens) => tokens is 32 or 64 or 128;

    private static bool IsCodeWidth(int bits) => bits is 2 or 3 or 4;

    private static string Wrong(string property, string allowed, object? got) => $"{property} must be {allowed}, got {got}";
}
