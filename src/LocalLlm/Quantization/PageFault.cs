namespace LocalLlm.Quantization;

/// <summary>Why numbers make no page: the first group, keys before values, with a number that no page can hold.</summary>
/// <param name="IsKey">A key's group, else a value's.</param>
/// <param name="Token">The group's token in the page; −1 for keys, whose groups span all tokens.</param>
/// <param name="Channel">The group's channel, for values its first.</param>
/// <param name="Low">The group's least number; NaN if one of its numbers is NaN or infinite.</param>
/// <param name="High">The group's greatest number; NaN likewise.</param>
internal readonly record struct PageFault(bool IsKey, int Token, int Channel, float Low, float High)
{
    /// <summary>False where only the place is known, and that the group's numbers are finite.</summary>
    public bool IsRangeKnown { get; init; } = true;

    /// <summary>The error to throw.</summary>
    /// <param name="layout">The layout of the page that was to be made.</param>
    /// <param name="layer">The layer, for the message.</param>
    public LocalLlmException ToException(PageLayout layout, int layer)
    {
        var name = IsKey ? "key" : "value";
        var place = IsKey ? $"channel {Channel}" : $"channels from {Channel} of token {Token} of the page";
        if (float.IsNaN(Low))
            return new LocalLlmException($"Layer {layer}: a {name} is not finite ({place}); no page can hold it.");

        var dense = $"{nameof(KvCacheOptions)}.{nameof(KvCacheOptions.Kind)} = {nameof(KvCacheKind.Dense)}";
        var range = IsRangeKnown ? $"range from {Low} to {High}" : "range too far";
        return new LocalLlmException($"Layer {layer}: {name}s {range} ({place}); " + (layout.Scales == KvScaleFormat.Half
            ? $"a page's fp16 scales end at ±65504. Use {dense} for this model."
            : $"a page's 8-bit scales end at a step of {ScaleCodec.LargestByteScale} between codes. "
              + $"Use fp16 scales ({nameof(KvScaleFormat)}.{nameof(KvScaleFormat.Half)}), which reach ±65504, or {dense} for this model."));
    }
}
