using LocalLlm.Quantization;

namespace LocalLlm.KvCache;

/// <summary>The layout of each layer's pages: the first and the last layers may be held at more bits than those between.</summary>
internal sealed class PageFormat
{
    private readonly PageLayout[] layouts;

    /// <summary>Creates the format.</summary>
    /// <param name="layers">Number of layers.</param>
    /// <param name="inner">The layout of the layers between.</param>
    /// <param name="boundary">The layout of the others, with the same tokens and channels.</param>
    /// <param name="boundaryLayers">n: the first n and the last n layers.</param>
    /// <exception cref="ArgumentException">
    /// The two layouts hold different tokens or channels, or there are fewer than 2n layers.
    /// </exception>
    public PageFormat(int layers, PageLayout inner, PageLayout boundary, int boundaryLayers)
    {
        if ((inner.Tokens, inner.HeadDim) != (boundary.Tokens, boundary.HeadDim))
        {
            throw new ArgumentException($"Pages of one cache hold the same tokens and channels; got {inner.Tokens} and "
                + $"{boundary.Tokens} tokens, {inner.HeadDim} and {boundary.HeadDim} channels.", nameof(boundary));
        }

        if (boundaryLayers < 0 || 2 * boundaryLayers > layers)
            throw new ArgumentOutOfRangeException(nameof(boundaryLayers), boundaryLayers, $"There are {layers} layers.");
        layouts = [.. Enumerable.Range(0, layers).Select(l => l < boundaryLayers || l >= layers - boundaryLayers ? boundary : inner)];
    }

    /// <summary>One layout for all layers.</summary>
    public PageFormat(int layers, PageLayout layout)
        : this(layers, layout, layout, 0)
    {
    }

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
