using System.Numerics;

namespace LocalLlm.Quantization;

/// <summary>
/// The byte layout of a page, fixed in docs/kv-layout.md: P tokens of one layer, one record of codes and one of scales for each KV head.
/// Codes lie in planes of little-endian 32-bit lanes: a lane of a plane of two bits holds 16 codes, one of a plane of one bit 32. All offsets are
/// constant for a model, so page arithmetic is exact.
/// </summary>
internal sealed record PageLayout
{
    private readonly ulong keyHighTiles; // bit i: tile i of 16 channels

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
    /// <param name="slowKeyBits">
    /// Bits of a key's code in the tiles of 16 channels of which at least half belong to the slower half of the rotation pairs
    /// (<see cref="IsSlow"/>): <paramref name="keyBits"/>, or 3 or 4 beside 2; null for <paramref name="keyBits"/>.
    /// </param>
    /// <exception cref="ArgumentOutOfRangeException">A parameter is none of these.</exception>
    public PageLayout(
        int tokens, int headDim, int keyBits = 2, int valueBits = 2, KvScaleFormat scales = KvScaleFormat.Byte, int? slowKeyBits = null)
    {
        if (tokens <= 0 || tokens % BitLaneCodes != 0)
            throw new ArgumentOutOfRangeException(nameof(tokens), tokens, "A page's token count must be a positive multiple of 32.");
        if (headDim <= 0 || headDim % 8 != 0)
            throw new ArgumentOutOfRangeException(nameof(headDim), headDim, "head_dim must be a positive multiple of 8.");
        RequireBits(keyBits, nameof(keyBits));
        RequireBits(valueBits, nameof(valueBits));
        var slowBits = slowKeyBits ?? keyBits;
        RequireBits(slowBits, nameof(slowKeyBits));
        if (slowBits != keyBits && keyBits != 2)
            throw new ArgumentOutOfRangeException(nameof(slowKeyBits), slowBits, $"Slow channels have as many bits as the others ({keyBits}), or more than 2.");
        if (!Enum.IsDefined(scales))
        {
            throw new ArgumentOutOfRangeException(
                nameof(scales), scales, $"Scales are stored as one of {string.Join(", ", Enum.GetNames<KvScaleFormat>())}.");
        }

        (Tokens, HeadDim, KeyBits, ValueBits, Scales, SlowKeyBits) = (tokens, headDim, keyBits, valueBits, scales, slowBits);
        Channels = (headDim + LaneCodes - 1) / LaneCodes * LaneCodes;
        Groups = (headDim + GroupChannels - 1) / GroupChannels;

        for (var tile = 0; tile < Channels / LaneCodes; tile++)
        {
            if (slowBits > 2 && (slowBits == keyBits || IsSlow(tile, headDim)))
                keyHighTiles |= 1UL << tile;
        }

        KeyHighOffset = Channels / LaneCodes * tokens * sizeof(uint);
        ValueOffset = KeyHighOffset + HighLanes(slowBits, KeyHighChannels) * tokens * sizeof(uint);
        ValueHighOffset = ValueOffset + tokens / LaneCodes * Channels * sizeof(uint);
        CodeBytes = ValueHighOffset + HighLanes(valueBits, tokens) * Channels * sizeof(uint);
    }

    /// <summary>P: tokens of a page.</summary>
    public int Tokens { get; }

    /// <summary>D: channels of a head.</summary>
    public int HeadDim { get; }

    /// <summary>Bits of a key's code: 2, 3 or 4; in slow channels <see cref="SlowKeyBits"/>.</summary>
    public int KeyBits { get; }

    /// <summary>Bits of a key's code in slow channels: those of <see cref="KeyBits"/>, or more.</summary>
    public int SlowKeyBits { get; }

    /// <summary>Bits of a value's code: 2, 3 or 4.</summary>
    public int ValueBits { get; }

    /// <summary>How scales and minima are stored.</summary>
    public KvScaleFormat Scales { get; }

    /// <summary>D': channels of a head padded to whole lanes, 16·⌈D/16⌉.</summary>
    public int Channels { get; }

    /// <summary>G: groups of value channels, ⌈D/64⌉.</summary>
    public int Groups { get; }

    /// <summary>Channels whose codes have bits in the keys' high plane, whole tiles of 16, in the order of the channels.</summary>
    public int KeyHighChannels => BitOperations.PopCount(keyHighTiles) * LaneCodes;

    /// <summary>The highest code of a value: 3, 7 or 15.</summary>
    public int ValueMaxCode => (1 << ValueBits) - 1;

    /// <summary>Byte offset of the keys' low plane, uint32 [D'/16][P].</summary>
    public static int KeyOffset => 0;

    /// <summary>
    /// Byte offset of the keys' high plane over the H <see cref="KeyHighChannels"/>: nothing for 2 bits, uint32 [⌈H/32⌉][P] for 3, [H/16][P] for 4.
    /// </summary>
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

    /// <summary>True if a tile of 16 channels has bits in the keys' high plane.</summary>
    public bool IsKeyHigh(int tile) => (keyHighTiles >> tile & 1) != 0;

    /// <summary>Bits of the codes of a tile of 16 key channels.</summary>
    public int KeyBitsOf(int tile) => IsKeyHigh(tile) ? SlowKeyBits : 2;

    /// <summary>The highest code of a tile's keys: 3, 7 or 15.</summary>
    public int KeyMaxCode(int tile) => (1 << KeyBitsOf(tile)) - 1;

    /// <summary>The place of a tile among those of the keys' high plane.</summary>
    public int KeyHighIndex(int tile) => BitOperations.PopCount(keyHighTiles & ((1UL << tile) - 1));

    /// <summary>
    /// True if at least half of a tile's channels belong to the slower half of the rotation pairs (i, i + D/2): i ≥ D/4. Slow pairs turn little
    /// over a context, so what a token is rather than where it stands is told by them (Barbero et al., arXiv 2410.06205).
    /// </summary>
    public static bool IsSlow(int tile, int headDim)
    {
        var (slow, all) = (0, 0);
        for (var channel = tile * LaneCodes; channel < Math.Min((tile + 1) * LaneCodes, headDim); channel++, all++)
            slow += channel % (headDim / 2) >= headDim / 4 ? 1 : 0;
        return 2 * slow >= all;
    }

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
