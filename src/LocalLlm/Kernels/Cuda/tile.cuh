// What the parts of tile_attention share: the block's shape, what it keeps, and where a unit of tokens lies. Included once for every
// specialisation (ROWS, CHANNELS), so it has no guard.
#include "attention.cuh"
#include "mma.cuh"

#define THREADS 128
#define WARPS 4
#define UNIT 64
#define IS_STACKED (ROWS == 8)
#define ROW_WARPS (ROWS <= 16 ? 1 : ROWS / 16)
#define TOKEN_WARPS (WARPS / ROW_WARPS)
#define HALVES (IS_STACKED ? 1 : 2)
#define GROUPS (CHANNELS / 64)
#define AREAS (TOKEN_WARPS * ROWS * CHANNELS <= 8192 ? TOKEN_WARPS : TOKEN_WARPS / 2) // warps of the same rows that write their sums at once
#define LEAST_BLOCKS (CHANNELS == 64 || (ROWS == 8 && CHANNELS == 128) ? 3 : 1) // of a multiprocessor, for which registers are kept
#define LEAST_ROWS (ROWS == 8 ? 1 : ROWS == 16 ? 9 : 17)
#define MOST_ROWS (ROWS <= 16 ? ROWS : 0x7FFFFFFF)

// Scales and minima of a group of 64 channels of keys, or of a unit's values, in the order in which the operands take them: [t][pair].
struct Scales
{
    alignas(16) u32 factor[4][8]; // 2^-place · scale in bf16; where scales have 16 bits, which bf16 cannot hold, themselves
    u32 minimum[2][4][8];         // the sum of two, in bf16
};

struct Shared
{
    union
    {
        alignas(16) u32 query[ROW_WARPS][HALVES][GROUPS][4][32][4]; // [high, low][group][product][thread]: an operand's registers
        float output[AREAS][GROUPS * 16][ROWS * 4 + 2]; // at the end: channel 64·(i / 16) + 16·(j % 4) + i % 16 of row j / 4
    };
    Scales keys[WARPS][GROUPS], values[WARPS][GROUPS];
    float highest[WARPS][16], total[WARPS][16];
    int key_tile[CHANNELS / 16], key_place[CHANNELS / 16]; // the tile at a place; -1: none. Tiles without high bits come first
};

// What a warp knows of its rows.
struct Rows
{
    float output[GROUPS * 8][4];   // of minima apart; rescaled where the highest score grows
    float value_bias[GROUPS][4];   // of minima; the columns are their two parts
    float total[HALVES];           // the thread's share
    float highest[HALVES];         // in units of log2
    int position[HALVES], first_position, last_position;
};

struct Unit
{
    const Run* run;
    const u8 *keys, *values, *key_scales, *value_scales; // of the first token, or of its page
    int first, tokens;                                   // of the run
    int page_token;                                      // where `first` lies in its page
};

struct alignas(16) Quad { u32 x[4]; };

// Registers that lie together in shared memory, aligned.
template <int COUNT>
__device__ __forceinline__ void copy_words(u32* target, const u32* source)
{
#pragma unroll
    for (int i = 0; i < COUNT; i += 4)
    {
        Quad words = *(const Quad*)(source + i);
#pragma unroll
        for (int r = 0; r < 4; r++)
            target[i + r] = words.x[r];
    }
}

__device__ __forceinline__ Unit find_unit(const PageLayout& layout, const Run* run, int head, int first, int tokens)
{
    Unit unit;
    int page = first >> set_bits(layout.tokens - 1); // of a run with packed keys or values
    unit.run = run;
    unit.first = first;
    unit.tokens = tokens;
    unit.page_token = first & (layout.tokens - 1);
    unit.keys = run->keys.data + head * run->keys.head_bytes + (run->keys.is_packed ? page : first) * run->keys.step_bytes;
    unit.values = run->values.data + head * run->values.head_bytes + (run->values.is_packed ? page : first) * run->values.step_bytes;
    unit.key_scales = run->keys.scales + head * run->keys.scale_head_bytes + page * run->keys.scale_step_bytes;
    unit.value_scales = run->values.scales + head * run->values.scale_head_bytes + page * run->values.scale_step_bytes;
    return unit;
}

__device__ __forceinline__ void prefetch(const u8* bytes, int count)
{
#pragma unroll 1
    for (int i = THREAD % 32 * 64; i < count; i += 32 * 64)
        prefetch_line(bytes + i); // of which a GPU may bring half
}

// The next page on its way while this one is multiplied.
__device__ __forceinline__ void prefetch_unit(const PageLayout& layout, const Unit& unit)
{
    if (unit.run->keys.is_packed)
    {
        int lanes = set_bits(layout.key_high_tiles);
        lanes = layout.slow_key_bits == 3 ? (lanes + 1) / 2 : lanes;
        prefetch(unit.keys, layout.key_high_offset + 4 * lanes * layout.tokens);
        prefetch(unit.key_scales, 2 * layout.channels * layout.scale_bytes);
    }
    if (unit.run->values.is_packed)
    {
        prefetch(unit.values, layout.value_bits * layout.tokens * layout.channels / 8);
        prefetch(unit.value_scales, 2 * layout.groups * layout.tokens * layout.scale_bytes);
    }
}

__device__ __forceinline__ void order_key_tiles(const PageLayout& layout, Shared& s)
{
    int tiles = layout.channels / 16, low = tiles - set_bits(layout.key_high_tiles), tile = THREAD;
    if (tile >= CHANNELS / 16)
        return;
    int high_before = set_bits(layout.key_high_tiles & ((1u << tile) - 1));
    int place = tile >= tiles ? tile : layout.key_high_tiles >> tile & 1 ? low + high_before : tile - high_before;
    s.key_place[tile] = place;
    s.key_tile[place] = tile < tiles ? tile : -1;
}

// A from the elements of its rows' halves.
template <bool HALF>
__device__ __forceinline__ void split_operand(const float (*x)[4], Operand& a)
{
    if (IS_STACKED)
    {
        split_pair<HALF>(x[0][0], x[0][1], a.high[0], a.high[1]);
        split_pair<HALF>(x[0][2], x[0][3], a.high[2], a.high[3]);
        return;
    }
#pragma unroll
    for (int h = 0; h < HALVES; h++)
    {
        split_pair<HALF>(x[h][0], x[h][1], a.high[h], a.low[h]);
        split_pair<HALF>(x[h][2], x[h][3], a.high[2 + h], a.low[2 + h]);
    }
}

// The elements of A.
__device__ __forceinline__ void join_operand(const Operand& a, float (*x)[4])
{
#pragma unroll
    for (int h = 0; h < HALVES; h++)
    {
#pragma unroll
        for (int i = 0; i < 2; i++)
        {
            u32 high = a.high[2 * i + h], low = IS_STACKED ? a.high[2 * i + 1] : a.low[2 * i + h];
            x[h][2 * i] = first_of(high) + first_of(low);
            x[h][2 * i + 1] = second_of(high) + second_of(low);
        }
    }
}

__device__ __forceinline__ void load_queries(const AttentionArguments& args, const Sequence& sequence, int head, int first_row, Shared& s)
{
    int rows = sequence.count * args.group, lane = THREAD % 32;
#pragma unroll 1
    for (int i = THREAD / 32; i < ROW_WARPS * GROUPS * 4; i += WARPS)
    {
        int m = i % 4, group = i / 4 % GROUPS, warp = i / (4 * GROUPS), tile = s.key_tile[4 * group + lane % 4];
        u32 words[HALVES][2] = {}; // channels 2m, 2m + 1 and 2m + 8, 2m + 9 of the tile
#pragma unroll
        for (int h = 0; h < HALVES; h++)
        {
            int row = first_row + 16 * warp + 8 * h + lane / 4;
            const u8* query = sequence.queries + row / args.group * sequence.query_token_bytes
                + (head * args.group + row % args.group) * sequence.query_head_bytes + 32 * tile + 4 * m;
            if (row >= rows || tile < 0)
                continue;
            words[h][0] = load_4_bytes(query);
            if (16 * tile + 8 < args.layout.head_dim)
                words[h][1] = load_4_bytes(query + 16);
        }
        float x[HALVES][4];
        Operand a;
#pragma unroll
        for (int h = 0; h < HALVES; h++)
        {
#pragma unroll
            for (int e = 0; e < 4; e++)
            {
                u32 bits = words[h][e % 2] >> e / 2 * 16;
                x[h][e] = args.type == BFLOAT16 ? bits_float(bits << 16) : half_float((u16)bits);
            }
        }
        split_operand<false>(x, a);
#pragma unroll
        for (int r = 0; r < 4; r++)
        {
            s.query[warp][0][group][m][lane][r] = a.high[r];
            if (!IS_STACKED)
                s.query[warp][HALVES - 1][group][m][lane][r] = a.low[r];
        }
    }
}

__device__ __forceinline__ void load_query(const Shared& s, int group, int m, Operand& a)
{
    int warp = THREAD / 32 / TOKEN_WARPS, lane = THREAD % 32;
    copy_words<4>(a.high, s.query[warp][0][group][m][lane]);
    if (!IS_STACKED)
        copy_words<4>(a.low, s.query[warp][HALVES - 1][group][m][lane]);
}
