namespace LocalLlm.Quantization;

/// <summary>
/// The byte layout of a 2-bit page, fixed in docs/kv-layout.md: W tokens of one layer, one record of codes and one of scales for each KV
/// head. All offsets are constant for a model, so page arithmetic is exact.
/// </summary>
internal sealed record PageLayout
{
    /// <summary>Channels of a value group; one group where head_dim is smaller, and the last group holds what is left.</summary>
    public const int GroupChannels = 64;

    /// <summary>2-bit codes of a 32-bit lane.</summary>
    public const int LaneCodes = 16;

    /// <summary>The highest code: four levels, 0 to 3.</summary>
    public const int MaxCode = 3;

    /// <summary>Creates the layout of a page of <paramref name="window"/> tokens with <paramref name="headDim"/> channels.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="window"/> is no positive multiple of 32, or <paramref name="headDim"/> none of 8.</exception>
    public PageLayout(int window, int headDim)
    {
        if (window <= 0 || window % 32 != 0)
            throw new ArgumentOutOfRangeException(nameof(window), window, "A page's token count must be a positive multiple of 32.");
        if (headDim <= 0 || headDim % 8 != 0)
            throw new ArgumentOutOfRangeException(nameof(headDim), headDim, "head_dim must be a positive multiple of 8.");
        (Window, HeadDim) = (window, headDim);
        KeyLanes = (headDim + LaneCodes - 1) / LaneCodes;
        ValueLanes = window / LaneCodes;
        Groups = (headDim + GroupChannels - 1) / GroupChannels;
        KeyCodeBytes = KeyLanes * window * sizeof(uint);
        ValueCodeBytes = ValueLanes * headDim * sizeof(uint);
    }

    /// <summary>W: tokens of a page.</summary>
    public int Window { get; }

    /// <summary>D: channels of a head.</summary>
    public int HeadDim { get; }

    /// <summary>32-bit lanes of one token's key codes: ⌈D/16⌉.</summary>
    public int KeyLanes { get; }

    /// <summary>32-bit lanes of one channel's value codes: W/16.</summary>
    public int ValueLanes { get; }

    /// <summary>G: groups of value channels, ⌈D/64⌉.</summary>
    public int Groups { get; }

    /// <summary>Bytes of one head's key codes: [⌈D/16⌉][W] lanes.</summary>
    public int KeyCodeBytes { get; }

    /// <summary>Bytes of one head's value codes: [W/16][D] lanes, after the key codes.</summary>
    public int ValueCodeBytes { get; }

    /// <summary>Bytes of one head's codes, a multiple of 64.</summary>
    public int CodeBytes => KeyCodeBytes + ValueCodeBytes;

    /// <summary>Index of the keys' scales, [D], in a head's scale record.</summary>
    public static int KeyScaleIndex => 0;

    /// <summary>Index of the keys' minima, [D].</summary>
    public int KeyMinimumIndex => HeadDim;

    /// <summary>Index of the values' scales, [G][W].</summary>
    public int ValueScaleIndex => 2 * HeadDim;

    /// <summary>Index of the values' minima, [G][W].</summary>
    public int ValueMinimumIndex => ValueScaleIndex + Groups * Window;

    /// <summary>fp16 numbers of one head's scale record: 2·(D + G·W).</summary>
    public int ScaleCount => 2 * (HeadDim + Groups * Window);

    /// <summary>Bytes that one head of one layer adds to a page: codes and scales, positions not counted.</summary>
    public int HeadBytes => CodeBytes + ScaleCount * 2;

    /// <summary>Bytes of the slot positions, once per page for all layers and heads.</summary>
    public int PositionBytes => Window * sizeof(int);

    /// <summary>Bytes of a whole page: <paramref name="layers"/> layers of <paramref name="kvHeads"/> KV heads, and the positions.</summary>
    public long PageBytes(int layers, int kvHeads) => (long)layers * kvHeads * HeadBytes + PositionBytes;

    /// <summary>First channel of value group <paramref name="group"/>.</summary>
    public static int GroupStart(int group) => group * GroupChannels;

    /// <summary>Channels of value group <paramref name="group"/>.</summary>
    public int GroupSize(int group) => Math.Min(GroupChannels, HeadDim - GroupStart(group));
}
