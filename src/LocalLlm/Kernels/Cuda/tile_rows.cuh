// Rows of bf16 or fp16 as operands of tensor cores. Part of tile_attention; see tile.cuh.

// Queries in the rows' type, exact.
template <bool HALF>
__device__ __forceinline__ void load_row_query(const Shared& s, int group, int m, u32* a)
{
    Operand query;
    load_query(s, group, m, query);
#pragma unroll
    for (int r = 0; r < 4; r++)
        a[r] = query.high[r];
    if (!HALF)
        return;
    float x[HALVES][4];
    join_operand(query, x);
#pragma unroll
    for (int h = 0; h < 2; h++)
    {
        a[h] = h < HALVES ? pack_f16(x[h % HALVES][0], x[h % HALVES][1]) : 0;
        a[2 + h] = h < HALVES ? pack_f16(x[h % HALVES][2], x[h % HALVES][3]) : 0;
    }
}

// q·k of a unit's tokens. A thread takes 16 channels of a token.
template <bool HALF>
__device__ __forceinline__ void score_rows(const PageLayout& layout, const Unit& unit, const Shared& s, float (*scores)[4])
{
    int lane = THREAD % 32;
#pragma unroll 1
    for (int group = 0; 64 * group < layout.channels; group++)
    {
        int tile = s.key_tile[4 * group + lane % 4];
        u32 a[4][4];
#pragma unroll
        for (int m = 0; m < 4; m++)
            load_row_query<HALF>(s, group, m, a[m]);
#pragma unroll
        for (int i = 0; i < 8; i++)
        {
            u32 words[8] = {}; // channels 2w, 2w + 1
            int token = lane / 4 * 8 + i;
            const u8* row = unit.keys + token * unit.run->keys.step_bytes + tile * 32;
            if (tile >= 0 && token < unit.tokens)
            {
                load_16_bytes(row, words);
                if (16 * tile + 8 < layout.head_dim)
                    load_16_bytes(row + 16, words + 4);
            }
#pragma unroll
            for (int m = 0; m < 4; m++)
                multiply_tile<HALF>(scores[i], a[m], lower_halves(words[m], words[m + 4]), upper_halves(words[m], words[m + 4]));
        }
    }
}

template <bool HALF>
__device__ __forceinline__ void add_rows(const PageLayout& layout, const Unit& unit, const float (*scores)[4], Rows& rows)
{
    int g = THREAD % 32 / 4, t = THREAD % 4;
#pragma unroll
    for (int m = 0; m < 4; m++)
    {
        Operand a;
        split_probabilities<HALF>(scores, m, a);
#pragma unroll
        for (int group = 0; group < GROUPS; group++)
        {
            int channel = 64 * group + 8 * g;
            if (64 * group >= layout.channels)
                continue;
            u32 words[4][4] = {}; // of token e: channels 2w, 2w + 1
#pragma unroll
            for (int e = 0; e < 4; e++)
            {
                int token = 16 * t + 2 * m + e % 2 * 8 + e / 2;
                if (token < unit.tokens && channel < layout.head_dim)
                    load_16_bytes(unit.values + token * unit.run->values.step_bytes + channel * 2, words[e]);
            }
#pragma unroll
            for (int i = 0; i < 8; i++)
            {
                int w = i / 2;
                u32 b0 = i % 2 ? upper_halves(words[0][w], words[1][w]) : lower_halves(words[0][w], words[1][w]);
                u32 b1 = i % 2 ? upper_halves(words[2][w], words[3][w]) : lower_halves(words[2][w], words[3][w]);
                multiply_tile<HALF>(rows.output[8 * group + i], a.high, b0, b1);
                if (!IS_STACKED)
                    multiply_tile<HALF>(rows.output[8 * group + i], a.low, b0, b1);
            }
        }
    }
}
