// Packed keys and values as operands of tensor cores. Part of tile_attention; see tile.cuh.
//
// Scales of 8 bits have four significant bits, so that code · scale is exact in bf16 and queries and probabilities stay as they are. Scales of 16 bits
// are multiplied with queries and probabilities instead, and codes stay as they are. Minima are a product of their own, as the sum of two bf16
// numbers: Σ q·m for all tokens of a page, Σ p·m for all channels of a group.

// Scales and minima of a page's channels (tiles in the order of key_place) or of a unit's tokens, in the order in which the operands take them. A
// lane has four neighbours of a tile of 16; the other halves of its pairs are two lanes away.
template <bool IS_KEY>
__device__ __forceinline__ void load_scales(const PageLayout& layout, const Unit& unit, Shared& s)
{
    int warp = THREAD / 32, lane = THREAD % 32, quarter = lane % 4;
    int low_tiles = layout.channels / 16 - set_bits(layout.key_high_tiles);
    bool is_wide = layout.scale_bytes == 2;
    warp_barrier(); // the scales before have been read
#pragma unroll
    for (int turn = 0; turn < (CHANNELS + 127) / 128; turn++)
    {
        int first = 128 * turn + 4 * lane, tile = lesser(first / 16, CHANNELS / 16 - 1), place = IS_KEY ? s.key_place[tile] : tile;
        int group = place / 4, t = place % 4, at, count, bits;
        bool is_there;
        if (IS_KEY)
        {
            at = first;
            count = layout.channels;
            is_there = first < layout.channels;
            bits = 4 * group + 4 > low_tiles ? layout.slow_key_bits : 2;
        }
        else
        {
            at = first / 64 * layout.tokens + unit.page_token + first % 64;
            count = layout.groups * layout.tokens;
            is_there = first / 64 < layout.groups && first % 64 < unit.tokens;
            bits = layout.value_bits;
        }
        const u8* scales = IS_KEY ? unit.key_scales : unit.value_scales;
        int pair = quarter % 2 * 4 + quarter / 2 * 2; // and the next one are this lane's
        float x[2][2];                                // minima: [pair][half]
        u32 factor[2];                                // of the two pairs
        u32 low_halves = 0, high_halves = 0;
        if (is_wide)
        {
            u32 steps[2] = {}, minima[2] = {}, others[2];
            if (is_there)
            {
                load_8_bytes(scales + 2 * at, steps);
                load_8_bytes(scales + 2 * (at + count), minima);
            }
#pragma unroll
            for (int i = 0; i < 2; i++)
                others[i] = exchange(minima[i], 2);
            u32 mine = quarter < 2 ? minima[0] : minima[1], other = quarter < 2 ? others[0] : others[1];
            low_halves = quarter < 2 ? mine : other;
            high_halves = quarter < 2 ? other : mine;
#pragma unroll
            for (int i = 0; i < 2; i++)
            {
                x[i][0] = half_float((u16)(low_halves >> 16 * i));
                x[i][1] = half_float((u16)(high_halves >> 16 * i));
                factor[i] = 0x3F803F80;
                if (first < CHANNELS)
                {
                    s.wide_scale[warp][group][t][4 * quarter + 2 * i] = half_float((u16)steps[i]);
                    s.wide_scale[warp][group][t][4 * quarter + 2 * i + 1] = half_float((u16)(steps[i] >> 16));
                }
            }
        }
        else
        {
            u32 steps = 0, minima = 0;
            if (is_there)
            {
                steps = load_4_bytes(scales + at);
                minima = load_4_bytes(scales + at + count);
            }
            u32 other_steps = exchange(steps, 2), other_minima = exchange(minima, 2);
            u32 low_steps = (quarter < 2 ? steps : other_steps) >> quarter / 2 * 16, high_steps = (quarter < 2 ? other_steps : steps) >> quarter / 2 * 16;
            low_halves = (quarter < 2 ? minima : other_minima) >> quarter / 2 * 16;
            high_halves = (quarter < 2 ? other_minima : minima) >> quarter / 2 * 16;
#pragma unroll
            for (int i = 0; i < 2; i++)
            {
                u32 indexes = (low_steps >> 8 * i & 0xFF) | (high_steps >> 8 * i & 0xFF) << 16;
                factor[i] = (indexes + 0x03700370) << 4; // byte_step
                x[i][0] = byte_minimum((signed char)(low_halves >> 8 * i), first_of(factor[i]));
                x[i][1] = byte_minimum((signed char)(high_halves >> 8 * i), second_of(factor[i]));
            }
        }
        if (first >= CHANNELS)
            continue;
#pragma unroll
        for (int i = 0; i < 2; i++)
        {
            s.factor[warp][group][t][pair + i] = factor[i] - 0x00800080u * pair_place(bits, pair + i);
            split_pair<false>(x[i][0], x[i][1], s.minimum[warp][group][0][t][pair + i], s.minimum[warp][group][1][t][pair + i]);
        }
    }
    warp_barrier();
}

// Factors and minima of a product's two pairs. A column of minima is their high or their low parts.
struct alignas(8) Two { u32 x[2]; };

__device__ __forceinline__ Two load_factors(const Shared& s, int group, int m)
{
    return *(const Two*)(s.factor[THREAD / 32][group][THREAD % 4] + 2 * m);
}

__device__ __forceinline__ Two load_minima(const Shared& s, int group, int m)
{
    return *(const Two*)(s.minimum[THREAD / 32][group][THREAD % 32 / 4 % 2][THREAD % 4] + 2 * m);
}

// A times the scales of 16 bits.
__device__ __forceinline__ void multiply_scales(const Shared& s, int group, int m, Operand& a)
{
    float x[HALVES][4];
    join_operand(a, x);
#pragma unroll
    for (int h = 0; h < HALVES; h++)
    {
#pragma unroll
        for (int e = 0; e < 4; e++)
            x[h][e] *= s.wide_scale[THREAD / 32][group][THREAD % 4][2 * m + e % 2 * 8 + e / 2];
    }
    split_operand<false>(x, a);
}

// Eight tiles of sums with one operand A and the codes of eight lanes.
template <int BITS>
__device__ __forceinline__ void multiply_codes(const Operand& a, bool has_low, const Words& words, int m, const Two& factors, float (*sums)[4])
{
    u32 offsets[2] = { code_offset(factors.x[0]), code_offset(factors.x[1]) }, b[8][2];
#pragma unroll
    for (int i = 0; i < 8; i++)
    {
#pragma unroll
        for (int half = 0; half < 2; half++)
            b[i][half] = multiply_add_bf16(code_bits<BITS>(words.low[i], words.high[i], 2 * m + half), factors.x[half], offsets[half]);
        mma_bf16(sums[i], a.high, b[i][0], b[i][1]);
    }
    if (IS_STACKED || !has_low)
        return;
#pragma unroll
    for (int i = 0; i < 8; i++)
        mma_bf16(sums[i], a.low, b[i][0], b[i][1]);
}

// What minima add, from a product of theirs: of half h of the rows.
__device__ __forceinline__ float sum_bias(const float* bias, int h)
{
    return IS_STACKED ? bias[0] + bias[1] + (bias[2] + bias[3]) : bias[2 * h] + bias[2 * h + 1];
}

template <int BITS>
__device__ __forceinline__ void score_codes(
    const PageLayout& layout, const Unit& unit, int group, bool is_wide, bool has_low, const Shared& s, float (*scores)[4], float* bias)
{
    int lane = THREAD % 32, tile = s.key_tile[4 * group + lane % 4], token = lane / 4 * 8;
    Words words; // where there are none those of others: their queries are 0, or their scores are not used
    load_key_words<BITS>(layout, unit.keys, tile < 0 ? 0 : tile, unit.page_token + (token < unit.tokens ? token : 0), words);
#pragma unroll
    for (int m = 0; m < 4; m++)
    {
        Operand query;
        load_query(s, group, m, query);
        Two factors = load_factors(s, group, m), minima = load_minima(s, group, m);
        mma_bf16(bias, query.high, minima.x[0], minima.x[1]);
        if (!IS_STACKED && has_low)
            mma_bf16(bias, query.low, minima.x[0], minima.x[1]);
        if (is_wide)
            multiply_scales(s, group, m, query);
        multiply_codes<BITS>(query, has_low, words, m, factors, scores);
    }
}

// q·k of a unit's tokens but for `shift`, which the row's minima add to each of them.
__device__ __forceinline__ void score_page(const AttentionArguments& args, const Unit& unit, Shared& s, float (*scores)[4], float* shift)
{
    const PageLayout& layout = args.layout;
    int low_tiles = layout.channels / 16 - set_bits(layout.key_high_tiles);
    bool is_wide = layout.scale_bytes == 2, has_low = is_wide || args.type == FLOAT16; // bf16 queries are exact
    float bias[4] = {};
    load_scales<true>(layout, unit, s);
#pragma unroll 1
    for (int group = 0; 64 * group < layout.channels; group++)
    {
        int bits = layout.key_high_tiles != 0 && 4 * group + 4 > low_tiles ? layout.slow_key_bits : 2;
        if (bits == 2)
            score_codes<2>(layout, unit, group, is_wide, has_low, s, scores, bias);
        else if (bits == 3)
            score_codes<3>(layout, unit, group, is_wide, has_low, s, scores, bias);
        else
            score_codes<4>(layout, unit, group, is_wide, has_low, s, scores, bias);
    }
#pragma unroll
    for (int h = 0; h < HALVES; h++)
        shift[h] = sum_bias(bias, h);
    if (!IS_STACKED || !has_low)
        return;
#pragma unroll
    for (int i = 0; i < 8; i++)
    {
        scores[i][0] += scores[i][2];
        scores[i][1] += scores[i][3];
    }
}

// Element e of product m of the probabilities.
__device__ __forceinline__ float probability(const float (*scores)[4], int h, int m, int e) { return scores[2 * m + e / 2][2 * h + e % 2]; }

template <bool HALF>
__device__ __forceinline__ void split_probabilities(const float (*scores)[4], int m, Operand& a)
{
    float x[HALVES][4];
#pragma unroll
    for (int h = 0; h < HALVES; h++)
    {
#pragma unroll
        for (int e = 0; e < 4; e++)
            x[h][e] = probability(scores, h, m, e);
    }
    split_operand<HALF>(x, a);
}

// Where there are none those of others: their probabilities are 0, or their channels are not used.
template <int BITS>
__device__ __forceinline__ void load_page_values(const PageLayout& layout, const Unit& unit, int group, Words& words)
{
    int t = THREAD % 4, channel = 64 * group + THREAD % 32 / 4 * 8;
    load_value_words<BITS>(
        layout, unit.values, unit.page_token / 16 + (16 * t < unit.tokens ? t : 0), channel < layout.channels ? channel : 0, words);
}

template <int BITS>
__device__ __forceinline__ void add_codes(const PageLayout& layout, const Unit& unit, const float (*scores)[4], Shared& s, Rows& rows)
{
    bool is_wide = layout.scale_bytes == 2;
    Words words;
    load_page_values<BITS>(layout, unit, 0, words);
    load_scales<false>(layout, unit, s);
    Operand probabilities[4];
#pragma unroll
    for (int m = 0; m < 4; m++)
        split_probabilities<false>(scores, m, probabilities[m]);
#pragma unroll
    for (int group = 0; group < GROUPS; group++)
    {
        if (64 * group >= layout.channels)
            continue;
        if (group > 0)
            load_page_values<BITS>(layout, unit, group, words);
#pragma unroll
        for (int m = 0; m < 4; m++)
        {
            Operand a = probabilities[m];
            Two factors = load_factors(s, group, m), minima = load_minima(s, group, m);
            mma_bf16(rows.value_bias[group], a.high, minima.x[0], minima.x[1]);
            if (!IS_STACKED)
                mma_bf16(rows.value_bias[group], a.low, minima.x[0], minima.x[1]);
            if (is_wide)
                multiply_scales(s, group, m, a);
            multiply_codes<BITS>(a, true, words, m, factors, rows.output + 8 * group);
        }
    }
}

__device__ __forceinline__ void add_page(const PageLayout& layout, const Unit& unit, const float (*scores)[4], Shared& s, Rows& rows)
{
    if (layout.value_bits == 2)
        add_codes<2>(layout, unit, scores, s, rows);
    else if (layout.value_bits == 3)
        add_codes<3>(layout, unit, scores, s, rows);
    else
        add_codes<4>(layout, unit, scores, s, rows);
}
