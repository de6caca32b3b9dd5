using LocalLlm.Quantization;

namespace LocalLlm.KvCache;

/// <summary>The layout of each layer's pages: layers may have bits of their own.</summary>
internal sealed class PageFormat
{
    private readonly PageLayout[] layouts;

    /// <summary>The format that options ask for, of a model whose folder may name bits for each layer.</summary>
    /// <param name="options">Valid options.</param>
    /// <param name="shape">The model's.</param>
    /// <param name="tokens">P.</param>
    public PageFormat(KvCacheOptions options, KvShape shape, int tokens)
    {
        layouts =
        [
            .. Enumerable.Range(0, shape.Layers).Select(layer => IsBoundary(layer)
                ? new PageLayout(tokens, shape.HeadDim, options.BoundaryKeyBits, options.BoundaryValueBits, options.Scales)
                : Layout(PageBits.Of(options, shape, layer))),
        ];

        bool IsBoundary(int layer) => layer < options.BoundaryLayers || layer >= shape.Layers - options.BoundaryLayers;

        PageLayout Layout(PageBits bits) => new(tokens, shape.HeadDim, bits.Key, bits.Value, options.Scales, bits.SlowKey);
    }

    /// <summary>One layout for all layers.</summary>
    public PageFormat(int layers, PageLayout layout) => layouts = [.. Enumerable.Repeat(layout, layers)];

    /// <summary>Each layer's layout.</summary>
    public IReadOnlyList<PageLayout> Layouts => layouts;

    /// <summary>P: tokens of a page, the same in all layers.</summary>
    public int Tokens => layouts[0].Tokens;

    /// <summary>The layout of a layer's pages.</summary>
    public PageLayout this[int layer] => layouts[layer];

    /// <summary>Bytes of a page: all layers of <paramref name="kvHeads"/> KV heads, and the positions.</summary>
    public long PageBytes(int kvHeads) => (long)kvHeads * layouts.Sum(l => l.HeadBytes) + layouts[0].PositionBytes;

    /// <summary>Bytes of the values of P tokens held as codes: all layers of <paramref name="kvHeads"/> KV heads.</summary>
    public long PackedValueBytes(int kvHeads) => (long)kvHeads * layouts.Sum(l => l.ValueCodeBytes + l.ValueScaleCount * l.ScaleElementBytes);
}
