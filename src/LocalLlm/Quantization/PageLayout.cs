namespace LocalLlm.Quantization;

/// <summary>
/// The byte layout of a page, fixed in docs/kv-layout.md: P tokens of one layer, one record of codes and one of scales for each KV head.
/// Codes lie in planes of little-endian 32-bit lanes: a lane of a plane of two bits holds 16 codes, one of a plane of one bit 32. All offsets are
/// constant for a model, so page arithmetic is exact.
/// </summary>
internal sealed record PageLayout
{
    /// <summary>Channels of a value group; one group where head_dim is smaller, and the last group holds what is left.</summary>
    public const int GroupChannels = 64;

    /// <summary>Codes of a 32-bit lane of a plane of two bits.</summary>
    public const int LaneCodes = 16;

    /// <summary>Codes of a 32-bit lane of a plane of one bit: the high plane of 3-bit codes.</summary>
    public const int BitLaneCodes = 32;

    /// <summary>Creates the layout of a page of <paramref name="tokens"/> tokens with <paramref name="headDim"/> channels.</summary>
    /// <param name="tokens">P: a positive multiple of 32.</param>
    /// <param name="headDim">D: a positive multiple of 8.</param>
    /// <param name="keyBits">Bits of a key's code: 2, 3 or 4.</param>
    /// <param name="valueBits">Bits of a value's code: 2, 3 or 4.</param>
    /// <param name="scales">How scales and minima are stored.</param>
    /// <exception cref="ArgumentOutOfRangeException">A parameter is none of these.</exception>
    public PageLayout(int tokens, int headDim, int keyBits = 2, int valueBits = 2, KvScaleFormat scales = KvScaleFormat.Byte)
    {
        if (tokens <= 0 || tokens % BitLaneCodes != 0)
            throw new ArgumentOutOfRangeException(nameof(tokens), tokens, "A page's token count must be a positive multiple of 32.");
        if (headDim <= 0 || headDim % 8 != 0)
            throw new ArgumentOutOfRangeException(nameof(headDim), headDim, "head_dim must be a positive multiple of 8.");
        RequireBits(keyBits, nameof(keyBits));
        RequireBits(valueBits, nameof(valueBits));
        if (!Enum.IsDefined(scales))
        {
            throw new ArgumentOutOfRangeException(
                nameof(scales), scales, $"Scales are stored as one of {string.Join(", ", Enum.GetNames<KvScaleFormat>())}.");
        }

        (Tokens, HeadDim, KeyBits, ValueBits, Scales) = (tokens, headDim, keyBits, valueBits, scales);
        Channels = (headDim + LaneCodes - 1) / LaneCodes * LaneCodes;
        Groups = (headDim + GroupChannels - 1) / GroupChannels;

        KeyHighOffset = Channels / LaneCodes * tokens * sizeof(uint);
        ValueOffset = KeyHighOffset + HighLanes(keyBits, Channels) * tokens * sizeof(uint);
        ValueHighOffset = ValueOffset + tokens / LaneCodes * Channels * sizeof(uint);
        CodeBytes = ValueHighOffset + HighLanes(valueBits, tokens) * Channels * sizeof(uint);
    }

    /// <summary>P: tokens of a page.</summary>
    public int Tokens { get; }

    /// <summary>D: channels of a head.</summary>
    public int HeadDim { get; }

    /// <summary>Bits of a key's code: 2, 3 or 4.</summary>
    public int KeyBits { get; }

    /// <summary>Bits of a value's code: 2, 3 or 4.</summary>
    public int ValueBits { get; }

    /// <summary>How scales and minima are stored.</summary>
    public KvScaleFormat Scales { get; }

    /// <summary>D': channels of a head padded to whole lanes, 16·⌈D/16⌉.</summary>
    public int Channels { get; }

    /// <summary>G: groups of value channels, ⌈D/64⌉.</summary>
    public int Groups { get; }

    /// <summary>The highest code of a key: 3, 7 or 15.</summary>
    public int KeyMaxCode => (1 << KeyBits) - 1;

    /// <summary>The highest code of a value: 3, 7 or 15.</summary>
    public int ValueMaxCode => (1 << ValueBits) - 1;

    /// <summary>Byte offset of the keys' low plane, uint32 [D'/16][P].</summary>
    public static int KeyOffset => 0;

    /// <summary>Byte offset of the keys' high plane: nothing for 2 bits, uint32 [⌈D'/32⌉][P] for 3, [D'/16][P] for 4.</summary>
    public int KeyHighOffset { get; }

    /// <summary>Byte offset of the values' low plane, uint32 [P/16][D'].</summary>
    public int ValueOffset { get; }

    /// <summary>Byte offset of the values' high plane: nothing for 2 bits, uint32 [P/32][D'] for 3, [P/16][D'] for 4.</summary>
    public int ValueHighOffset { get; }

    /// <summary>Bytes of one head's key codes, the first section of the codes.</summary>
    public int KeyCodeBytes => ValueOffset;

    /// <summary>Bytes of one head's value codes, the second section.</summary>
    public int ValueCodeBytes => CodeBytes - ValueOffset;

    /// <summary>Bytes of one head's codes, a multiple of 64 as every plane.</summary>
    public int CodeBytes { get; }

    /// <summary>Bytes of a scale or minimum: 1 or 2.</summary>
    public int ScaleElementBytes => Scales == KvScaleFormat.Byte ? 1 : 2;

    /// <summary>Index of the keys' scales, [D'], in a head's scale record.</summary>
    public static int KeyScaleIndex => 0;

    /// <summary>Index of the keys' minima, [D'].</summary>
    public int KeyMinimumIndex => Channels;

    /// <summary>Index of the values' scales, [G][P].</summary>
    public int ValueScaleIndex => 2 * Channels;

    /// <summary>Index of the values' minima, [G][P].</summary>
    public int ValueMinimumIndex => ValueScaleIndex + Groups * Tokens;

    /// <summary>Elements of the keys' section of a head's scale record: scales, then minima.</summary>
    public int KeyScaleCount => ValueScaleIndex;

    /// <summary>Elements of the values' section: scales, then minima, each [G][P].</summary>
    public int ValueScaleCount => 2 * Groups * Tokens;

    /// <summary>Elements of one head's scale record: 2·(D' + G·P).</summary>
    public int ScaleCount => 2 * (Channels + Groups * Tokens);

    /// <summary>Bytes of one head's scale record.</summary>
    public int ScaleBytes => ScaleCount * ScaleElementBytes;

    /// <summary>Bytes that one head of one layer adds to a page: codes and scales, positions not counted.</summary>
    public int HeadBytes => CodeBytes + ScaleBytes;

    /// <summary>Bytes of the slot positions, once per page for all layers and heads.</summary>
    public int PositionBytes => Tokens * sizeof(int);

    /// <summary>Bytes of a whole page: <paramref name="layers"/> layers of <paramref name="kvHeads"/> KV heads, and the positions.</summary>
    public long PageBytes(int layers, int kvHeads) => (long)layers * kvHeads * HeadBytes + PositionBytes;

    /// <summary>First channel of value group <paramref name="group"/>.</summary>
    public static int GroupStart(int group) => group * GroupChannels;

    /// <summary>Channels of value group <paramref name="group"/>.</summary>
    public int GroupSize(int group) => Math.Min(GroupChannels, HeadDim - GroupStart(group));

    /// <summary>Lanes that hold the high bits of <paramref name="count"/> codes of <paramref name="bits"/> bits; none for 2 bits.</summary>
    public static int HighLanes(int bits, int count) => bits switch
    {
        2 => 0,
        3 => (count + BitLaneCodes - 1) / BitLaneCodes,
        _ => count / LaneCodes,
    };

    private static void RequireBits(int bits, string name)
    {
        if (bits is not (2 or 3 or 4))
            throw new ArgumentOutOfRangeException(name, bits, "A code has 2, 3 or 4 bits.");
    }
}
