// Attention of all query heads of one KV head to one part of a sequence on tensor cores: online softmax, codes unpacked into operands in registers.
//
// Queries and rows are bf16 or fp16. Compiled for ROWS query rows a block (8, 16, or a multiple of 16 that divides 64) and heads of at most
// CHANNELS channels (64, 128 or 256).
// Grid: x = part, y = KV head, z = block of ROWS query rows (row i·group + h is query i of the group's head h).
//
// A block is four warps. With up to 16 rows all warps have the same rows and take the tokens in turns of up to 64; with more each warp has 16 rows
// of its own. A warp keeps everything in registers from codes to outputs; thread 4·g + t (mma.cuh):
//   scores   S = A·B, 8 tiles of 8 tokens. A: the queries times the page's key scales. B: of channel tile t, tokens 8g … 8g + 7, one for each
//            tile of S. So the thread's scores are those of tokens 16t … 16t + 15 of rows g and g + 8: token 16t + 8·(column % 2) + tile.
//   values   O += A·B for every group of 64 channels. A: the probabilities times the group's scales, which are the thread's own scores' places.
//            B: of tokens 16t …, channels 8g … 8g + 7. The thread's outputs are channels 16t … 16t + 15 of the group.
// So no number changes its thread, but for sums over the four threads of a row.
// Codes are exact in bf16. What they are multiplied with is a sum of two bf16 numbers (2^-17 of it is lost): with 8 rows the second one lies in the
// rows 8 … 15 that would be empty and costs nothing, otherwise it is a second product.
// Minima are summed apart: Σ q·m for all of a page's tokens, Σ p·m for all of a group's channels.
//
// A page of 64 tokens, 128 channels, 2 bits, 8-bit scales, 8 rows: 4608 bytes; 128 products; per thread some 580 instructions to unpack, 230 to
// scale queries, 150 to scale probabilities, 160 of softmax, 130 for scales and loads: 1250 of a warp. An H100's SM gets 15 bytes a cycle, a page
// in 310 cycles, and issues 4 · 310 instructions in these: both floors lie close together, and the memory's is reached only if latencies hide.
#include "mma.cuh"
#include "attention.cuh"

#define THREADS 128
#define WARPS 4
#define UNIT 64
#define IS_STACKED (ROWS == 8)
#define ROW_WARPS (ROWS <= 16 ? 1 : ROWS / 16)
#define TOKEN_WARPS (WARPS / ROW_WARPS)
#define HALVES (IS_STACKED ? 1 : 2)
#define GROUPS (CHANNELS / 64)
#define LEAST_ROWS (ROWS == 8 ? 1 : ROWS == 16 ? 9 : 17)
#define MOST_ROWS (ROWS <= 16 ? ROWS : 0x7FFFFFFF)

struct Shared
{
    union
    {
        Four query[ROW_WARPS][HALVES][GROUPS][4][32]; // [product][thread]: elements as in mma.cuh
        float output[ROWS][CHANNELS];                 // at the end
    };
    Four step[WARPS][GROUPS][4][4], minimum[WARPS][GROUPS][4][4]; // of a page's channels, then of its tokens: [group][product][t]
    float highest[WARPS][16], total[WARPS][16];
    int key_tile[CHANNELS / 16]; // tiles without high bits first; -1: none
};

// What a warp knows of its rows.
struct Rows
{
    float output[GROUPS * 8][4];                     // of minima apart; rescaled with every unit
    float value_bias[HALVES][GROUPS], total[HALVES]; // the thread's share
    float highest[HALVES];                           // in units of log2
    int position[HALVES], first_position, last_position;
};

struct Unit
{
    const Run* run;
    const u8 *keys, *values, *key_scales, *value_scales; // of the first token, or of its page
    int first, tokens;                                   // of the run
    int page_token;                                      // where `first` lies in its page
};

__device__ __forceinline__ int unit_tokens(const PageLayout& layout, const Run& run)
{
    return run.keys.is_packed || run.values.is_packed ? lesser(layout.tokens, UNIT) : UNIT;
}

__device__ __forceinline__ const u8* source_data(const Source& source, int tile_tokens, int head, int first)
{
    return source.data + head * source.head_bytes + (i64)(source.is_packed ? first / tile_tokens : first) * source.step_bytes;
}

__device__ __forceinline__ const u8* source_scales(const Source& source, int tile_tokens, int head, int first)
{
    return source.scales + head * source.scale_head_bytes + (i64)(first / tile_tokens) * source.scale_step_bytes;
}

__device__ __forceinline__ Unit find_unit(const Run* run, int head, int first, int tokens)
{
    Unit unit;
    unit.run = run;
    unit.first = first;
    unit.tokens = tokens;
    unit.page_token = first % run->tile_tokens;
    unit.keys = source_data(run->keys, run->tile_tokens, head, first);
    unit.values = source_data(run->values, run->tile_tokens, head, first);
    unit.key_scales = source_scales(run->keys, run->tile_tokens, head, first);
    unit.value_scales = source_scales(run->values, run->tile_tokens, head, first);
    return unit;
}

// The next page on its way while this one is multiplied. A page's section of keys or values is one piece.
__device__ __forceinline__ void prefetch_unit(const PageLayout& layout, const Run* run, int head, int first, int tokens)
{
    int lane = THREAD % 32;
    Unit unit = find_unit(run, head, first, tokens);
    if (run->keys.is_packed)
    {
        for (int i = lane * 128; i < layout.tokens * layout.channels / 4; i += 32 * 128)
            prefetch_line(unit.keys + i);
        if (lane < 2 * layout.channels * layout.scale_bytes / 128)
            prefetch_line(unit.key_scales + lane * 128);
    }
    if (run->values.is_packed)
    {
        for (int i = lane * 128; i < layout.tokens * layout.channels / 4; i += 32 * 128)
            prefetch_line(unit.values + i);
        if (lane < 2 * layout.groups * layout.tokens * layout.scale_bytes / 128)
            prefetch_line(unit.value_scales + lane * 128);
    }
}

__device__ __forceinline__ void order_key_tiles(const PageLayout& layout, Shared& s)
{
    if (THREAD >= CHANNELS / 16)
        return;
    int found = -1, seen = 0;
    for (u32 is_high = 0; is_high < 2; is_high++)
    {
        for (int tile = 0; tile < layout.channels / 16; tile++)
        {
            if ((layout.key_high_tiles >> tile & 1) == is_high && seen++ == THREAD)
                found = tile;
        }
    }
    s.key_tile[THREAD] = found;
}

__device__ __forceinline__ void load_queries(const AttentionArguments& args, const Sequence& sequence, int head, int first_row, Shared& s)
{
    int rows = sequence.count * args.group;
    float* queries = s.query[0][0][0][0][0].x;
    for (int i = THREAD; i < ROWS * CHANNELS; i += THREADS)
    {
        int e = i % 4, lane = i / 4 % 32, product = i / 128 % 4, group = i / 512 % GROUPS, block = i / (512 * GROUPS);
        int tile = s.key_tile[4 * group + lane % 4], row = first_row + 8 * block + lane / 4, channel = 16 * tile + element_code(product, e);
        float x = 0;
        if (row < rows && tile >= 0 && channel < args.layout.head_dim)
        {
            const u8* query = sequence.queries + row / args.group * sequence.query_token_bytes
                + (head * args.group + row % args.group) * sequence.query_head_bytes;
            x = load_number(query, channel, args.type);
        }
        queries[i] = x;
    }
}

// Scales of a page's channels (tiles: key_tile) or of a unit's tokens, into the order in which the products' operands take them.
__device__ __forceinline__ void load_scales(const PageLayout& layout, const Unit& unit, bool is_key, Shared& s)
{
    int warp = THREAD / 32;
    float *steps = s.step[warp][0][0][0].x, *minima = s.minimum[warp][0][0][0].x;
    warp_barrier(); // the scales before have been read
#pragma unroll
    for (int turn = 0; turn < CHANNELS / 32; turn++)
    {
        int i = 32 * turn + THREAD % 32, group = i / 64, t = i / 4 % 4, code = element_code(i / 16 % 4, i % 4);
        Scale scale;
        scale.step = scale.minimum = 0;
        if (is_key)
        {
            int tile = s.key_tile[4 * group + t], channel = 16 * tile + code;
            if (tile >= 0)
                scale = load_scale(unit.key_scales, channel, layout.channels + channel, layout.scale_bytes);
        }
        else if (group < layout.groups && 16 * t + code < unit.tokens)
        {
            int index = group * layout.tokens + unit.page_token + 16 * t + code;
            scale = load_scale(unit.value_scales, index, layout.groups * layout.tokens + index, layout.scale_bytes);
        }
        steps[i] = scale.step;
        minima[i] = scale.minimum;
    }
    warp_barrier();
}

// An operand of two halves' rows, four elements each, as one product or two.
template <bool HALF>
__device__ __forceinline__ void split_operand(const Four* x, u32* high, u32* low)
{
    if (IS_STACKED)
    {
        split_pair<HALF>(x[0].x[0], x[0].x[1], high[0], high[1]);
        split_pair<HALF>(x[0].x[2], x[0].x[3], high[2], high[3]);
        return;
    }
#pragma unroll
    for (int h = 0; h < HALVES; h++)
    {
        split_pair<HALF>(x[h].x[0], x[h].x[1], high[h], low[h]);
        split_pair<HALF>(x[h].x[2], x[h].x[3], high[2 + h], low[2 + h]);
    }
}

// Eight tiles of sums with one operand A and the codes of eight lanes.
template <int BITS>
__device__ __forceinline__ void multiply_codes(const Four* x, const Words& words, int m, float (*sums)[4])
{
    u32 high[4], low[4];
    split_operand<false>(x, high, low);
#pragma unroll
    for (int i = 0; i < 8; i++)
    {
        u32 b0 = code_pair<BITS>(words.low[i], words.high[i], 2 * m), b1 = code_pair<BITS>(words.low[i], words.high[i], 2 * m + 1);
        mma_bf16(sums[i], high, b0, b1);
        if (!IS_STACKED)
            mma_bf16(sums[i], low, b0, b1);
    }
}

template <int BITS>
__device__ __forceinline__ void score_codes(const Words& words, int group, const Shared& s, float (*scores)[4], float* bias)
{
    int warp = THREAD / 32, lane = THREAD % 32;
#pragma unroll
    for (int m = 0; m < 4; m++)
    {
        Four step = s.step[warp][group][m][lane % 4], minimum = s.minimum[warp][group][m][lane % 4], x[HALVES];
#pragma unroll
        for (int h = 0; h < HALVES; h++)
        {
            Four query = s.query[warp / TOKEN_WARPS][h][group][m][lane];
#pragma unroll
            for (int e = 0; e < 4; e++)
            {
                x[h].x[e] = query.x[e] * step.x[e];
                bias[h] = multiply_add(query.x[e], minimum.x[e], bias[h]);
            }
        }
        multiply_codes<BITS>(x, words, m, scores);
    }
}

// q·k of a unit's tokens.
__device__ __forceinline__ void score_page(const PageLayout& layout, const Unit& unit, Shared& s, float (*scores)[4])
{
    int lane = THREAD % 32, low_tiles = layout.channels / 16 - set_bits(layout.key_high_tiles);
    float bias[HALVES] = {};
    load_scales(layout, unit, true, s);
#pragma unroll 1
    for (int group = 0; 64 * group < layout.channels; group++)
    {
        Words words = {};
        int tile = s.key_tile[4 * group + lane % 4];
        if (tile >= 0 && lane / 4 * 8 < unit.tokens)
            load_key_words(layout, unit.keys, tile, unit.page_token + lane / 4 * 8, words);
        int bits = layout.key_high_tiles != 0 && 4 * group + 4 > low_tiles ? layout.slow_key_bits : 2;
        if (bits == 2)
            score_codes<2>(words, group, s, scores, bias);
        else if (bits == 3)
            score_codes<3>(words, group, s, scores, bias);
        else
            score_codes<4>(words, group, s, scores, bias);
    }
#pragma unroll
    for (int h = 0; h < HALVES; h++)
    {
        bias[h] += exchange(bias[h], 1);
        bias[h] += exchange(bias[h], 2);
#pragma unroll
        for (int i = 0; i < 8; i++)
        {
            scores[i][2 * h] += bias[h];
            scores[i][2 * h + 1] += bias[h];
        }
    }
}

// The same with rows: a thread takes 16 channels of a token, queries and keys are exact.
template <bool HALF>
__device__ __forceinline__ void score_rows(const PageLayout& layout, const Unit& unit, const Shared& s, float (*scores)[4])
{
    int warp = THREAD / 32, lane = THREAD % 32;
#pragma unroll 1
    for (int group = 0; 64 * group < layout.channels; group++)
    {
        int tile = s.key_tile[4 * group + lane % 4];
        u32 a[4][4] = {};
#pragma unroll
        for (int m = 0; m < 4; m++)
        {
#pragma unroll
            for (int h = 0; h < HALVES; h++)
            {
                Four query = s.query[warp / TOKEN_WARPS][h][group][m][lane];
                a[m][h] = pack_pair<HALF>(query.x[0], query.x[1]);
                a[m][2 + h] = pack_pair<HALF>(query.x[2], query.x[3]);
            }
        }
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

// Scores become probabilities relative to the highest score so far, and the sums are brought to the same.
__device__ __forceinline__ void soft_max(const AttentionArguments& args, const Unit& unit, float (*scores)[4], Rows& rows)
{
    int t = THREAD % 4;
    const int* positions = unit.run->positions;
    int first = positions ? positions[unit.first] : unit.run->first_position + unit.first;
    int last = positions ? positions[unit.first + unit.tokens - 1] : first + unit.tokens - 1;
    float factor = args.scale * 1.44269504f, rescale[HALVES];
    bool sees_all = unit.tokens == UNIT && last <= rows.first_position && rows.last_position - first < args.window;
#pragma unroll
    for (int h = 0; h < HALVES; h++)
    {
        float highest = rows.highest[h];
#pragma unroll
        for (int i = 0; i < 8; i++)
        {
#pragma unroll
            for (int c = 0; c < 2; c++)
            {
                float x = scores[i][2 * h + c] * factor;
                int token = 16 * t + 8 * c + i;
                if (!sees_all)
                {
                    int seen = first + token;
                    if (positions && token < unit.tokens)
                        seen = positions[unit.first + token];
                    if (token >= unit.tokens || seen > rows.position[h] || rows.position[h] - seen >= args.window)
                        x = -INFINITE;
                }
                scores[i][2 * h + c] = x;
                highest = larger(highest, x);
            }
        }
        highest = larger(highest, exchange(highest, 1));
        highest = larger(highest, exchange(highest, 2));
        bool is_blind = highest == -INFINITE; // the row has seen nothing yet: all probabilities are 0
        rescale[h] = is_blind ? 1 : power_of_two(rows.highest[h] - highest);
        rows.highest[h] = highest;
        float total = 0;
#pragma unroll
        for (int i = 0; i < 8; i++)
        {
#pragma unroll
            for (int c = 0; c < 2; c++)
            {
                float p = is_blind ? 0 : power_of_two(scores[i][2 * h + c] - highest);
                scores[i][2 * h + c] = p;
                total += p;
            }
        }
        rows.total[h] = multiply_add(rows.total[h], rescale[h], total);
#pragma unroll
        for (int group = 0; group < GROUPS; group++)
            rows.value_bias[h][group] *= rescale[h];
    }
#pragma unroll
    for (int i = 0; i < 8 * GROUPS; i++)
    {
#pragma unroll
        for (int c = 0; c < 4; c++)
            rows.output[i][c] *= rescale[c / 2 % HALVES];
    }
}

// Element e of product m of the probabilities.
__device__ __forceinline__ float probability(const float (*scores)[4], int h, int m, int e) { return scores[2 * m + e / 2][2 * h + e % 2]; }

template <int BITS>
__device__ __forceinline__ void add_codes(const Words& words, int group, const float (*scores)[4], const Shared& s, Rows& rows)
{
    int warp = THREAD / 32, t = THREAD % 4;
#pragma unroll
    for (int m = 0; m < 4; m++)
    {
        Four step = s.step[warp][group][m][t], minimum = s.minimum[warp][group][m][t], x[HALVES];
#pragma unroll
        for (int h = 0; h < HALVES; h++)
        {
#pragma unroll
            for (int e = 0; e < 4; e++)
            {
                float p = probability(scores, h, m, e);
                x[h].x[e] = p * step.x[e];
                rows.value_bias[h][group] = multiply_add(p, minimum.x[e], rows.value_bias[h][group]);
            }
        }
        multiply_codes<BITS>(x, words, m, rows.output + 8 * group);
    }
}

__device__ __forceinline__ void add_page(const PageLayout& layout, const Unit& unit, const float (*scores)[4], Shared& s, Rows& rows)
{
    int g = THREAD % 32 / 4, t = THREAD % 4;
    load_scales(layout, unit, false, s);
#pragma unroll
    for (int group = 0; group < GROUPS; group++)
    {
        int channel = 64 * group + 8 * g;
        if (64 * group >= layout.channels)
            continue;
        Words words = {};
        if (16 * t < unit.tokens && channel < layout.channels)
            load_value_words(layout, unit.values, unit.page_token / 16 + t, channel, words);
        if (layout.value_bits == 2)
            add_codes<2>(words, group, scores, s, rows);
        else if (layout.value_bits == 3)
            add_codes<3>(words, group, scores, s, rows);
        else
            add_codes<4>(words, group, scores, s, rows);
    }
}

template <bool HALF>
__device__ __forceinline__ void add_rows(const PageLayout& layout, const Unit& unit, const float (*scores)[4], Rows& rows)
{
    int g = THREAD % 32 / 4, t = THREAD % 4;
#pragma unroll
    for (int m = 0; m < 4; m++)
    {
        Four x[HALVES];
        u32 high[4], low[4];
#pragma unroll
        for (int h = 0; h < HALVES; h++)
        {
#pragma unroll
            for (int e = 0; e < 4; e++)
                x[h].x[e] = probability(scores, h, m, e);
        }
        split_operand<HALF>(x, high, low);
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
                int token = 16 * t + element_code(m, e);
                if (token < unit.tokens && channel < layout.head_dim)
                    load_16_bytes(unit.values + token * unit.run->values.step_bytes + channel * 2, words[e]);
            }
#pragma unroll
            for (int i = 0; i < 8; i++)
            {
                int w = i / 2;
                u32 b0 = i % 2 ? upper_halves(words[0][w], words[1][w]) : lower_halves(words[0][w], words[1][w]);
                u32 b1 = i % 2 ? upper_halves(words[2][w], words[3][w]) : lower_halves(words[2][w], words[3][w]);
                multiply_tile<HALF>(rows.output[8 * group + i], high, b0, b1);
                if (!IS_STACKED)
                    multiply_tile<HALF>(rows.output[8 * group + i], low, b0, b1);
            }
        }
    }
}

__device__ __forceinline__ void attend_unit(const AttentionArguments& args, const Unit& unit, Shared& s, Rows& rows)
{
    float scores[8][4] = {};
    if (unit.run->keys.is_packed)
        score_page(args.layout, unit, s, scores);
    else if (args.type == FLOAT16)
        score_rows<true>(args.layout, unit, s, scores);
    else
        score_rows<false>(args.layout, unit, s, scores);
    if (IS_STACKED)
    {
#pragma unroll
        for (int i = 0; i < 8; i++)
        {
            scores[i][0] += scores[i][2];
            scores[i][1] += scores[i][3];
        }
    }

    soft_max(args, unit, scores, rows);
    if (unit.run->values.is_packed)
        add_page(args.layout, unit, scores, s, rows);
    else if (args.type == FLOAT16)
        add_rows<true>(args.layout, unit, scores, rows);
    else
        add_rows<false>(args.layout, unit, scores, rows);
}

// All units of the part that are this warp's turn.
__device__ __forceinline__ void attend_part(const AttentionArguments& args, const Part& part, int head, Shared& s, Rows& rows)
{
    int turn = THREAD / 32 % TOKEN_WARPS, left = part.tiles, tile = part.first_tile;
    for (const Run* run = args.runs + part.run; left > 0; run++, tile = 0)
    {
        int tiles = lesser(left, run_tiles(*run) - tile);
        int end = lesser(run->tokens, (tile + tiles) * run->tile_tokens), step = unit_tokens(args.layout, *run);
        for (int first = tile * run->tile_tokens; first < end; first += step, turn++)
        {
            if (turn % TOKEN_WARPS != 0)
                continue;
            int next = first + step * TOKEN_WARPS, tokens = lesser(step, end - first);
            if (next < end)
                prefetch_unit(args.layout, run, head, next, lesser(step, end - next));
            int first_seen = run->positions ? run->positions[first] : run->first_position + first;
            int last_seen = run->positions ? run->positions[first + tokens - 1] : first_seen + tokens - 1;
            if (first_seen <= rows.last_position && rows.first_position - last_seen < args.window)
                attend_unit(args, find_unit(run, head, first, tokens), s, rows);
        }
        left -= tiles;
    }
}

// The warps' sums become the block's, in the order of the warps.
__device__ __forceinline__ void join_warps(Rows& rows, Shared& s)
{
    int warp = THREAD / 32, g = THREAD % 32 / 4, t = THREAD % 4, row = warp / TOKEN_WARPS * 16 + g, first_warp = warp / TOKEN_WARPS * TOKEN_WARPS;
    float factor[HALVES];
#pragma unroll
    for (int h = 0; h < HALVES; h++)
    {
        float total = rows.total[h];
        total += exchange(total, 1);
        total += exchange(total, 2);
        if (t == 0)
        {
            s.total[warp][g + 8 * h] = total;
            s.highest[warp][g + 8 * h] = rows.highest[h];
        }
    }
    block_barrier(); // and the queries are not needed any more
#pragma unroll
    for (int h = 0; h < HALVES; h++)
    {
        float highest = -INFINITE;
        for (int i = 0; i < TOKEN_WARPS; i++)
            highest = larger(highest, s.highest[first_warp + i][g + 8 * h]);
        factor[h] = rows.highest[h] == -INFINITE ? 0 : power_of_two(rows.highest[h] - highest);
    }
    for (int i = 0; i < TOKEN_WARPS; i++)
    {
        if (warp % TOKEN_WARPS == i)
        {
#pragma unroll
            for (int group = 0; group < GROUPS; group++)
            {
#pragma unroll
                for (int h = 0; h < HALVES; h++)
                {
                    float bias = rows.value_bias[h][group];
                    bias += exchange(bias, 1);
                    bias += exchange(bias, 2);
                    float* output = s.output[row + 8 * h] + 64 * group + 16 * t;
#pragma unroll
                    for (int j = 0; j < 16; j++)
                    {
                        const float* sums = rows.output[8 * group + j % 8];
                        float sum = (IS_STACKED ? sums[j / 8] + sums[2 + j / 8] : sums[2 * h + j / 8]) + bias;
                        output[j] = multiply_add(sum, factor[h], i == 0 ? 0 : output[j]);
                    }
                }
            }
        }
        block_barrier();
    }
}

KERNEL __launch_bounds__(THREADS) tile_attention(AttentionArguments args)
{
    __shared__ Shared s;
    const Part part = args.parts[BLOCK_X];
    const Sequence sequence = args.sequences[part.sequence];
    int head = BLOCK_Y, first_row = BLOCK_Z * ROWS, count = sequence.count * args.group;
    if (count < LEAST_ROWS || count > MOST_ROWS || first_row >= count)
        return; // the grid is for all sequences, and as deep as the longest needs

    order_key_tiles(args.layout, s);
    block_barrier();
    load_queries(args, sequence, head, first_row, s);
    block_barrier();

    Rows rows = {};
    int warp_row = first_row + THREAD / 32 / TOKEN_WARPS * 16;
    rows.first_position = sequence.position + warp_row / args.group;
    rows.last_position = sequence.position + (lesser(warp_row + 16, count) - 1) / args.group;
#pragma unroll
    for (int h = 0; h < HALVES; h++)
    {
        rows.highest[h] = -INFINITE;
        rows.position[h] = sequence.position + (warp_row + THREAD % 32 / 4 + 8 * h) / args.group;
    }
    if (warp_row < count)
        attend_part(args, part, head, s, rows);
    join_warps(rows, s);

    float* states = args.states + part.state + (i64)head * count * (args.layout.channels + STATE_EXTRA);
    for (int i = THREAD; i < ROWS * CHANNELS; i += THREADS)
    {
        int r = i / CHANNELS, c = i % CHANNELS;
        if (first_row + r < count && c < args.layout.head_dim)
            states[(i64)(first_row + r) * (args.layout.channels + STATE_EXTRA) + c] = s.output[r][c];
    }
    if (THREAD < ROWS && first_row + THREAD < count)
    {
        int first_warp = THREAD / 16 * TOKEN_WARPS;
        float highest = -INFINITE, total = 0;
        for (int i = first_warp; i < first_warp + TOKEN_WARPS; i++)
            highest = larger(highest, s.highest[i][THREAD % 16]);
        for (int i = first_warp; i < first_warp + TOKEN_WARPS; i++)
            total += s.highest[i][THREAD % 16] == -INFINITE ? 0 : s.total[i][THREAD % 16] * power_of_two(s.highest[i][THREAD % 16] - highest);
        float* extra = states + (i64)(first_row + THREAD) * (args.layout.channels + STATE_EXTRA) + args.layout.channels;
        extra[0] = total;
        extra[1] = highest;
    }
}
