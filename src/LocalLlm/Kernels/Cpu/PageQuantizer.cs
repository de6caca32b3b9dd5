using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using LocalLlm.Quantization;

namespace LocalLlm.Kernels.Cpu;

/// <summary>
/// Quantises and packs one KV head's part of a page straight from rows of numbers, 16 groups at a time, one a vector lane. Gives the bytes of
/// <see cref="PageCodec"/>, bit for bit. Where there are no 512-bit vectors the runtime makes each of two or more smaller ones.
/// </summary>
internal static unsafe class PageQuantizer
{
    private const int Alignment = 64;

    /// <summary>Quantises one KV head of one page.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="keys">P rows of D numbers; nothing beyond a row's D is read.</param>
    /// <param name="values">P rows of D numbers of the same or another type.</param>
    /// <param name="codes">Receives <see cref="PageLayout.CodeBytes"/> bytes.</param>
    /// <param name="scales">Receives <see cref="PageLayout.ScaleBytes"/> bytes.</param>
    /// <param name="clipSearch">Seek each group's best scale and minimum (<see cref="ClipSearch"/>) instead of those of its range.</param>
    /// <param name="fault">The first group with a number that no page can hold; else undefined.</param>
    /// <returns>False if there is such a group; codes and scales hold no page then.</returns>
    public static bool TryQuantize(
        PageLayout layout, in NumberRows keys, in NumberRows values, nint codes, nint scales, bool clipSearch, out PageFault fault)
    {
        var valueCodes = codes + layout.ValueOffset;
        var valueScales = scales + layout.ValueScaleIndex * layout.ScaleElementBytes;
        return TryQuantizeKeys(layout, keys, codes, scales, clipSearch, out fault)
            && TryQuantizeValues(layout, values, valueCodes, valueScales, clipSearch, out fault);
    }

    /// <summary>Quantises the keys alone: the first section of either record, as <see cref="TryQuantize"/> does.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="keys">P rows of D numbers.</param>
    /// <param name="codes">Receives <see cref="PageLayout.ValueOffset"/> bytes.</param>
    /// <param name="scales">Receives <see cref="PageLayout.ValueScaleIndex"/> elements.</param>
    /// <param name="clipSearch">Seek each group's best scale and minimum.</param>
    /// <param name="fault">The first group with a number that no page can hold; else undefined.</param>
    public static bool TryQuantizeKeys(PageLayout layout, in NumberRows keys, nint codes, nint scales, bool clipSearch, out PageFault fault) =>
        keys.Type switch
        {
            NumberType.Float32 => TryQuantizeKeys<Float32Loader>(layout, keys, (byte*)codes, (byte*)scales, clipSearch, out fault),
            NumberType.BFloat16 => TryQuantizeKeys<BFloat16Loader>(layout, keys, (byte*)codes, (byte*)scales, clipSearch, out fault),
            _ => TryQuantizeKeys<Float16Loader>(layout, keys, (byte*)codes, (byte*)scales, clipSearch, out fault),
        };

    /// <summary>Quantises the values alone: the second section of either record, wherever it lies, as <see cref="TryQuantize"/> does.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="values">P rows of D numbers.</param>
    /// <param name="codes">The begin of the values' section; receives what is from <see cref="PageLayout.ValueOffset"/> on in a page.</param>
    /// <param name="scales">The begin of the values' section; receives what is from <see cref="PageLayout.ValueScaleIndex"/> on.</param>
    /// <param name="clipSearch">Seek each group's best scale and minimum.</param>
    /// <param name="fault">The first group with a number that no page can hold; else undefined.</param>
    public static bool TryQuantizeValues(PageLayout layout, in NumberRows values, nint codes, nint scales, bool clipSearch, out PageFault fault) =>
        values.Type switch
        {
            NumberType.Float32 => TryQuantizeValues<Float32Loader>(layout, values, (byte*)codes, (byte*)scales, clipSearch, out fault),
            NumberType.BFloat16 => TryQuantizeValues<BFloat16Loader>(layout, values, (byte*)codes, (byte*)scales, clipSearch, out fault),
            _ => TryQuantizeValues<Float16Loader>(layout, values, (byte*)codes, (byte*)scales, clipSearch, out fault),
        };

    // 16 channels at a time: a lane is a channel, a row a token.
    [SkipLocalsInit]
    private static bool TryQuantizeKeys<TLoader>(
        PageLayout layout, in NumberRows keys, byte* codes, byte* scales, bool clipSearch, out PageFault fault)
        where TLoader : struct, INumberLoader
    {
        var tokens = layout.Tokens;
        var memory = stackalloc byte[tokens * LaneTile.Lanes * sizeof(float) + Alignment];
        var rows = Aligned(memory);
        var tile = new LaneTile(rows, tokens);
        if (layout.SlowKeyBits == 3) // half of its last lanes may hold no channel
            new Span<byte>(codes + layout.KeyHighOffset, layout.ValueOffset - layout.KeyHighOffset).Clear();

        for (var channel = 0; channel < layout.Channels; channel += LaneTile.Lanes)
        {
            var isWhole = layout.HeadDim - channel >= LaneTile.Lanes;
            for (var token = 0; token < tokens; token++)
            {
                var source = keys.Row(token) + channel * TLoader.ElementBytes;
                (isWhole ? TLoader.Load16(source) : TLoader.Load8(source)).StoreAligned(rows + token * LaneTile.Lanes);
            }

            var index = channel / LaneTile.Lanes;
            if (!TryFit(tile, layout.Scales, layout.KeyMaxCode(index), clipSearch, out var fit, out var lane, out var range))
            {
                fault = new PageFault(true, -1, channel + lane, range.Low, range.High);
                return false;
            }

            StoreScales(layout, scales, PageLayout.KeyScaleIndex + channel, layout.KeyMinimumIndex + channel, fit);
            var low = (uint*)(codes + PageLayout.KeyOffset) + index * tokens;
            var high = HighLanes(codes + layout.KeyHighOffset, layout.SlowKeyBits, layout.KeyHighIndex(index), tokens);
            tile.Pack(fit, layout.KeyBitsOf(index), low, high);
        }

        fault = default;
        return true;
    }

    // 16 tokens of one group of channels at a time: a lane is a token, a row a channel.
    [SkipLocalsInit]
    private static bool TryQuantizeValues<TLoader>(
        PageLayout layout, in NumberRows values, byte* codes, byte* scales, bool clipSearch, out PageFault fault)
        where TLoader : struct, INumberLoader
    {
        var memory = stackalloc byte[PageLayout.GroupChannels * LaneTile.Lanes * sizeof(float) + Alignment];
        var rows = Aligned(memory);
        fault = default;
        var isFaulty = false;
        for (var token = 0; token < layout.Tokens && !isFaulty; token += LaneTile.Lanes)
        {
            for (var group = 0; group < layout.Groups; group++)
            {
                var (channel, count) = (PageLayout.GroupStart(group), layout.GroupSize(group));
                LoadTransposed<TLoader>(values, token, channel, count, rows);
                var tile = new LaneTile(rows, count);
                if (!TryFit(tile, layout.Scales, layout.ValueMaxCode, clipSearch, out var fit, out var lane, out var range))
                {
                    // The first token counts, then the first group.
                    if (!isFaulty || token + lane < fault.Token)
                        fault = new PageFault(false, token + lane, channel, range.Low, range.High);
                    isFaulty = true;
                    continue;
                }

                var index = group * layout.Tokens + token;
                StoreScales(layout, scales, index, layout.ValueMinimumIndex - layout.ValueScaleIndex + index, fit);
                var low = (uint*)codes + token / LaneTile.Lanes * layout.Channels + channel;
                var high = HighLanes(codes + (layout.ValueHighOffset - layout.ValueOffset), layout.ValueBits, token / LaneTile.Lanes, layout.Channels) + channel;
                tile.Pack(fit, layout.ValueBits, low, high);
            }
        }

        return !isFaulty;
    }

    // Row `index` of the high plane's lanes; of one bit, two rows of 16 codes share a row of lanes.
    private static uint* HighLanes(byte* plane, int bits, int index, int lanes) => bits == 3
        ? (uint*)((ushort*)((uint*)plane + index / 2 * lanes) + index % 2)
        : (uint*)plane + index * lanes;

    private static bool TryFit(
        LaneTile tile, KvScaleFormat format, int maxCode, bool clipSearch,
        out LaneScales scales, out int lane, out (float Low, float High) range)
    {
        tile.Range(out var low, out var high, out var isFinite);
        scales = LaneScales.OfRange(format, low, high, maxCode);
        var fits = Vector512.ExtractMostSignificantBits(scales.Fits & isFinite);
        if (fits != (1 << LaneTile.Lanes) - 1)
        {
            lane = System.Numerics.BitOperations.TrailingZeroCount(~fits);
            range = isFinite[lane] == 0 ? (float.NaN, float.NaN) : (low[lane], high[lane]);
            return false;
        }

        (lane, range) = (0, default);
        if (clipSearch)
            tile.Search(format, low, high, maxCode, ref scales);
        return true;
    }

    // Numbers of 16 tokens: memory [16][count] → rows [count][16].
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void LoadTransposed<TLoader>(in NumberRows values, int token, int channel, int count, float* rows)
        where TLoader : struct, INumberLoader
    {
        var numbers = stackalloc float[LaneTile.Lanes];
        for (var lane = 0; lane < LaneTile.Lanes; lane++)
        {
            var source = values.Row(token + lane) + channel * TLoader.ElementBytes;
            for (var c = 0; c < count; c += LaneTile.Lanes)
            {
                var isWhole = count - c >= LaneTile.Lanes;
                (isWhole ? TLoader.Load16(source + c * TLoader.ElementBytes) : TLoader.Load8(source + c * TLoader.ElementBytes)).Store(numbers);
                for (var i = 0; i < LaneTile.Lanes; i++)
                    rows[(c + i) * LaneTile.Lanes + lane] = numbers[i];
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreScales(PageLayout layout, byte* scales, int scaleIndex, int minimumIndex, in LaneScales fit)
    {
        var (scale, minimum) = (Narrow(fit.ScaleBits), Narrow(fit.MinimumBits));
        if (layout.Scales == KvScaleFormat.Byte)
        {
            Vector128.Narrow(scale.GetLower(), scale.GetUpper()).Store(scales + scaleIndex);
            Vector128.Narrow(minimum.GetLower(), minimum.GetUpper()).Store(scales + minimumIndex);
        }
        else
        {
            scale.Store((ushort*)scales + scaleIndex);
            minimum.Store((ushort*)scales + minimumIndex);
        }

        static Vector256<ushort> Narrow(Vector512<int> bits) => Vector256.Narrow(bits.GetLower().AsUInt32(), bits.GetUpper().AsUInt32());
    }

    private static float* Aligned(byte* memory) => (float*)(((nuint)memory + (Alignment - 1)) & ~(nuint)(Alignment - 1));
}
