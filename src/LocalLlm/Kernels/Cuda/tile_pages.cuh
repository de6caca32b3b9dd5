// Packed keys and values as operands of tensor cores. Part of tile_attention; see tile.cuh.
//
// Scales of 8 bits have four significant bits, so that code · scale is exact in bf16 and queries and probabilities stay as they are. Scales of 16 bits
// are multiplied with queries and probabilities instead, and codes stay as they are. Minima are a product of their own, as the sum of two bf16
// numbers: Σ q·m for all tokens of a page, Σ p·m for all channels of a group.

// Scales and minima as they lie in a page, of four neighbouring channels of a key tile or tokens of a value tile.
struct RawScales { u32 steps[2], minima[2]; };

// What a lane takes in one of the turns in which a warp's lanes go over channels or tokens.
template <bool IS_KEY>
__device__ __forceinline__ RawScales load_scales(const PageLayout& layout, const Unit& unit, int turn)
{
    int first = 128 * turn + THREAD % 32 * 4, at, count;
    bool is_there;
    if (IS_KEY)
    {
        at = first;
        count = layout.channels;
        is_there = first < layout.channels;
    }
    else
    {
        at = first / 64 * layout.tokens + unit.page_token + first % 64;
        count = layout.groups * layout.tokens;
        is_there = first / 64 < layout.groups && first % 64 < unit.tokens;
    }
    const u8* scales = IS_KEY ? unit.key_scales : unit.value_scales;
    RawScales raw = {};
    if (is_there && layout.scale_bytes == 1)
    {
        raw.steps[0] = load_4_bytes(scales + at);
        raw.minima[0] = load_4_bytes(scales + at + count);
    }
    else if (is_there)
    {
        load_8_bytes(scales + 2 * at, raw.steps);
        load_8_bytes(scales + 2 * (at + count), raw.minima);
    }
    return raw;
}

// Brings them into the order in which the operands take them, tiles of keys by key_place. A lane has the halves of four pairs; the other halves are
// two lanes away.
template <bool IS_KEY>
__device__ __forceinline__ void store_scales(const PageLayout& layout, const RawScales& raw, int turn, Shared& s)
{
    int warp = THREAD / 32, lane = THREAD % 32, quarter = lane % 4, first = 128 * turn + 4 * lane;
    int tile = lesser(first / 16, CHANNELS / 16 - 1), place = IS_KEY ? s.key_place[tile] : tile, group = place / 4, t = place % 4;
    int low_tiles = layout.channels / 16 - set_bits(layout.key_high_tiles);
    int bits = !IS_KEY ? layout.value_bits : 4 * group + 4 > low_tiles ? layout.slow_key_bits : 2;
    int pair = quarter % 2 * 4 + quarter / 2 * 2; // and the next one are this lane's
    bool is_low = quarter < 2;
    Scales& scales = IS_KEY ? s.keys[warp][group] : s.values[warp][group];
    u32 factor[2];
    float minima[2][2]; // [pair][half]
    if (layout.scale_bytes == 2)
    {
        u32 mine[2] = { is_low ? raw.steps[0] : raw.steps[1], is_low ? raw.minima[0] : raw.minima[1] };
        u32 others[2] = { exchange(is_low ? raw.steps[1] : raw.steps[0], 2), exchange(is_low ? raw.minima[1] : raw.minima[0], 2) };
        u32 low[2], high[2]; // halves of steps, of minima
#pragma unroll
        for (int i = 0; i < 2; i++)
        {
            low[i] = is_low ? mine[i] : others[i];
            high[i] = is_low ? others[i] : mine[i];
        }
        factor[0] = lower_halves(low[0], high[0]);
        factor[1] = upper_halves(low[0], high[0]);
#pragma unroll
        for (int i = 0; i < 2; i++)
        {
            minima[i][0] = half_float((u16)(low[1] >> 16 * i));
            minima[i][1] = half_float((u16)(high[1] >> 16 * i));
        }
    }
    else
    {
        u32 other_steps = exchange(raw.steps[0], 2), other_minima = exchange(raw.minima[0], 2);
        int shift = quarter / 2 * 16;
        u32 low_steps = (is_low ? raw.steps[0] : other_steps) >> shift, high_steps = (is_low ? other_steps : raw.steps[0]) >> shift;
        u32 low_minima = (is_low ? raw.minima[0] : other_minima) >> shift, high_minima = (is_low ? other_minima : raw.minima[0]) >> shift;
#pragma unroll
        for (int i = 0; i < 2; i++)
        {
            u32 indexes = (low_steps >> 8 * i & 0xFF) | (high_steps >> 8 * i & 0xFF) << 16, steps = (indexes + 0x03700370) << 4; // byte_step
            factor[i] = steps - 0x00800080u * pair_place(bits, pair + i);
            minima[i][0] = byte_minimum((signed char)(low_minima >> 8 * i), first_of(steps));
            minima[i][1] = byte_minimum((signed char)(high_minima >> 8 * i), second_of(steps));
        }
    }
    if (first >= CHANNELS)
        return;
#pragma unroll
    for (int i = 0; i < 2; i++)
    {
        scales.factor[t][pair + i] = factor[i];
        split_pair<false>(minima[i][0], minima[i][1], scales.minimum[0][t][pair + i], scales.minimum[1][t][pair + i]);
    }
}

// The scales of a unit, of keys and values together, so that their loads are on their way at once.
__device__ __forceinline__ void load_scales(const PageLayout& layout, const Unit& unit, Shared& s)
{
    const int turns = (CHANNELS + 127) / 128;
    bool has_keys = unit.run->keys.is_packed, has_values = unit.run->values.is_packed;
    RawScales keys[turns], values[turns];
#pragma unroll
    for (int turn = 0; turn < turns; turn++)
    {
        if (has_keys)
            keys[turn] = load_scales<true>(layout, unit, turn);
        if (has_values)
            values[turn] = load_scales<false>(layout, unit, turn);
    }
    warp_barrier(); // the scales before have been read
#pragma unroll
    for (int turn = 0; turn < turns; turn++)
    {
        if (has_keys)
            store_scales<true>(layout, keys[turn], turn, s);
        if (has_values)
            store_scales<false>(layout, values[turn], turn, s);
    }
    warp_barrier();
}

// Factors and minima of a product's two pairs. A column of minima is their high or their low parts.
struct alignas(8) Two { u32 x[2]; };

__device__ __forceinline__ Two load_factors(const Scales& scales, int m) { return *(const Two*)(scales.factor[THREAD % 4] + 2 * m); }

__device__ __forceinline__ Two load_minima(const Scales& scales, int m)
{
    return *(const Two*)(scales.minimum[THREAD % 32 / 4 % 2][THREAD % 4] + 2 * m);
}

// A times the scales of 16 bits, and the factors that are left for the codes then.
template <int BITS>
__device__ __forceinline__ void multiply_scales(int m, Operand& a, Two& factors)
{
    float x[HALVES][4];
    join_operand(a, x);
#pragma unroll
    for (int e = 0; e < 4; e++)
    {
        float scale = half_float((u16)(factors.x[e / 2] >> e % 2 * 16));
#pragma unroll
        for (int h = 0; h < HALVES; h++)
            x[h][e] *= scale;
    }
    split_operand<false>(x, a);
#pragma unroll
    for (int i = 0; i < 2; i++)
        factors.x[i] = 0x3F803F80u - 0x00800080u * pair_place<BITS>(2 * m + i);
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
    const Scales& scales = s.keys[THREAD / 32][group];
    load_key_words<BITS>(layout, unit.keys, tile < 0 ? 0 : tile, unit.page_token + (token < unit.tokens ? token : 0), words);
#pragma unroll
    for (int m = 0; m < 4; m++)
    {
        Operand query;
        load_query(s, group, m, query);
        Two factors = load_factors(scales, m), minima = load_minima(scales, m);
        mma_bf16(bias, query.high, minima.x[0], minima.x[1]);
        if (!IS_STACKED && has_low)
            mma_bf16(bias, query.low, minima.x[0], minima.x[1]);
        if (is_wide)
            multiply_scales<BITS>(m, query, factors);
        multiply_codes<BITS>(query, has_low, words, m, factors, scores);
    }
}

// q·k of a unit's tokens but for `shift`, which the row's minima add to each of them.
__device__ __forceinline__ void score_page(const AttentionArguments& args, const Unit& unit, const Shared& s, float (*scores)[4], float* shift)
{
    const PageLayout& layout = args.layout;
    int low_tiles = layout.channels / 16 - set_bits(layout.key_high_tiles);
    bool is_wide = layout.scale_bytes == 2, has_low = is_wide || args.type == FLOAT16; // bf16 queries are exact
    float bias[4] = {};
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
__device__ __forceinline__ void add_codes(const PageLayout& layout, const Unit& unit, const float (*scores)[4], const Shared& s, Rows& rows)
{
    bool is_wide = layout.scale_bytes == 2;
    Words words;
    load_page_values<BITS>(layout, unit, 0, words);
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
        const Scales& scales = s.values[THREAD / 32][group];
#pragma unroll
        for (int m = 0; m < 4; m++)
        {
            Operand a = probabilities[m];
            Two factors = load_factors(scales, m), minima = load_minima(scales, m);
            mma_bf16(rows.value_bias[group], a.high, minima.x[0], minima.x[1]);
            if (!IS_STACKED)
                mma_bf16(rows.value_bias[group], a.low, minima.x[0], minima.x[1]);
            if (is_wide)
                multiply_scales<BITS>(m, a, factors);
            multiply_codes<BITS>(a, true, words, m, factors, rows.output + 8 * group);
        }
    }
}

__device__ __forceinline__ void add_page(const PageLayout& layout, const Unit& unit, const float (*scores)[4], const Shared& s, Rows& rows)
{
    if (layout.value_bits == 2)
        add_codes<2>(layout, unit, scores, s, rows);
    else if (layout.value_bits == 3)
        add_codes<3>(layout, unit, scores, s, rows);
    else
        add_codes<4>(layout, unit, scores, s, rows);
}
