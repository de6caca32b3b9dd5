// Attention of all query heads of one KV head to one part of a sequence on tensor cores: online softmax, codes unpacked into operands in registers.
//
// Queries and rows are bf16 or fp16. Compiled for ROWS query rows a block (8, 16, or a multiple of 16 that divides 64) and heads of at most
// CHANNELS channels (64, 128 or 256).
// Grid: x = part, y = KV head, z = block of ROWS query rows, from the last one on (row i·group + h is query i of the group's head h).
//
// A block is four warps. With up to 16 rows all warps have the same rows and take the tokens in turns of up to 64; with more each warp has 16 rows
// of its own. A warp keeps everything in registers from codes to outputs; thread 4·g + t (mma.cuh):
//   scores   S = A·B, 8 tiles of 8 tokens. A: the queries. B: of channel tile t, tokens 8g … 8g + 7, one for each tile of S. So the thread's
//            scores are those of tokens 16t … 16t + 15 of rows g and g + 8: token 16t + 8·(column % 2) + tile.
//   values   O += A·B for every group of 64 channels. A: the probabilities, which are the thread's own scores. B: of tokens 16t …, channels
//            8g … 8g + 7. The thread's outputs are channels 16t … 16t + 15 of the group.
// So no number changes its thread, but for sums over the four threads of a row.
// Keys and values are exact in bf16 but for their minima (tile_pages.cuh). Probabilities are the sum of two bf16 numbers (2^-17 of them is lost):
// with 8 rows the second one lies in the rows 8 … 15 that would be empty and costs nothing, otherwise it is a second product.
#include "tile.cuh"
#include "tile_pages.cuh"
#include "tile_rows.cuh"

// Scores become probabilities relative to the highest score so far, and the sums are brought to the same. `shift` is to be added to the scores.
__device__ __forceinline__ void soft_max(const AttentionArguments& args, const Unit& unit, const float* shift, float (*scores)[4], Rows& rows)
{
    int t = THREAD % 4;
    const int* positions = unit.run->positions;
    int first = positions ? positions[unit.first] : unit.run->first_position + unit.first;
    int last = positions ? positions[unit.first + unit.tokens - 1] : first + unit.tokens - 1;
    float factor = args.scale * 1.44269504f, rescale[HALVES];
    if (unit.tokens < UNIT || last > rows.first_position || rows.last_position - first >= args.window)
    {
#pragma unroll
        for (int i = 0; i < 16; i++)
        {
            int token = 16 * t + i, seen = first + token;
            if (positions && token < unit.tokens)
                seen = positions[unit.first + token];
#pragma unroll
            for (int h = 0; h < HALVES; h++)
            {
                if (token >= unit.tokens || seen > rows.position[h] || rows.position[h] - seen >= args.window)
                    scores[i % 8][2 * h + i / 8] = -INFINITE;
            }
        }
    }
    bool grows = false;
#pragma unroll
    for (int h = 0; h < HALVES; h++)
    {
        float highest = -INFINITE;
#pragma unroll
        for (int i = 0; i < 16; i++)
            highest = maximum(highest, scores[i % 8][2 * h + i / 8]);
        highest = maximum(highest, exchange(highest, 1));
        highest = maximum(highest, exchange(highest, 2));
        highest = maximum(rows.highest[h], (highest + shift[h]) * factor);
        bool is_blind = highest == -INFINITE; // the row has seen nothing yet: all probabilities are 0
        rescale[h] = is_blind ? 1 : power_of_two(rows.highest[h] - highest);
        grows |= highest != rows.highest[h];
        rows.highest[h] = highest;
        float offset = is_blind ? 0 : multiply_add(shift[h], factor, -highest), total = 0;
#pragma unroll
        for (int i = 0; i < 16; i++)
        {
            float& score = scores[i % 8][2 * h + i / 8];
            score = power_of_two(multiply_add(score, factor, offset));
            total += score;
        }
        rows.total[h] = multiply_add(rows.total[h], rescale[h], total);
    }
    if (!is_any(grows))
        return;
#pragma unroll
    for (int c = 0; c < 4; c++)
    {
#pragma unroll
        for (int i = 0; i < 8 * GROUPS; i++)
            rows.output[i][c] *= rescale[c / 2 % HALVES];
#pragma unroll
        for (int group = 0; group < GROUPS; group++)
            rows.value_bias[group][c] *= rescale[c / 2 % HALVES];
    }
}

__device__ __forceinline__ void attend_unit(const AttentionArguments& args, const Unit& unit, Shared& s, Rows& rows)
{
    float scores[8][4] = {}, shift[HALVES] = {};
    load_scales(args.layout, unit, s);
    if (unit.run->keys.is_packed)
        score_page(args, unit, s, scores, shift);
    else if (args.type == FLOAT16)
        score_rows<true>(args.layout, unit, s, scores);
    else
        score_rows<false>(args.layout, unit, s, scores);

    soft_max(args, unit, shift, scores, rows);
    if (unit.run->values.is_packed)
        add_page(args.layout, unit, scores, s, rows);
    else if (args.type == FLOAT16)
        add_rows<true>(args.layout, unit, scores, rows);
    else
        add_rows<false>(args.layout, unit, scores, rows);
}

__device__ __forceinline__ bool sees_unit(const AttentionArguments& args, const Unit& unit, const Rows& rows)
{
    const int* positions = unit.run->positions;
    int first = positions ? positions[unit.first] : unit.run->first_position + unit.first;
    int last = positions ? positions[unit.first + unit.tokens - 1] : first + unit.tokens - 1;
    return first <= rows.last_position && rows.first_position - last < args.window;
}

// All units of the part that are this warp's turn.
__device__ __forceinline__ void attend_part(const AttentionArguments& args, const Part& part, int head, Shared& s, Rows& rows)
{
    int turn = THREAD / 32 % TOKEN_WARPS, left = part.tiles, tile = part.first_tile;
    for (const Run* run = args.runs + part.run; left > 0; run++, tile = 0)
    {
        int tiles = lesser(left, run->tiles - tile);
        int end = lesser(run->tokens, (tile + tiles) * run->tile_tokens);
        int step = run->keys.is_packed || run->values.is_packed ? lesser(args.layout.tokens, UNIT) : UNIT;
        int first = tile * run->tile_tokens, units = (end - first + step - 1) >> set_bits(step - 1);
        first += (TOKEN_WARPS - turn % TOKEN_WARPS) % TOKEN_WARPS * step;
        turn += units;
        left -= tiles;
        if (first >= end)
            continue;
        Unit unit = find_unit(args.layout, run, head, first, lesser(step, end - first));
        bool is_seen = sees_unit(args, unit, rows);
        if (is_seen)
            prefetch_unit(args.layout, unit);
        for (;;)
        {
            first += step * TOKEN_WARPS;
            Unit next = unit;
            bool sees_next = false;
            if (first < end)
            {
                next = find_unit(args.layout, run, head, first, lesser(step, end - first));
                sees_next = sees_unit(args, next, rows);
                if (sees_next)
                    prefetch_unit(args.layout, next);
            }
            if (is_seen)
                attend_unit(args, unit, s, rows);
            if (first >= end)
                break;
            unit = next;
            is_seen = sees_next;
        }
    }
}

// The warps' sums to shared memory, relative to the highest score of all warps of the row. A warp adds to what one before it left in its area.
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
#pragma unroll
    for (int turn = 0; turn < TOKEN_WARPS / AREAS; turn++)
    {
        if (warp % TOKEN_WARPS / AREAS == turn)
        {
#pragma unroll
            for (int group = 0; group < GROUPS; group++)
            {
#pragma unroll
                for (int h = 0; h < HALVES; h++)
                {
                    float bias = sum_bias(rows.value_bias[group], h);
#pragma unroll
                    for (int j = 0; j < 16; j++)
                    {
                        const float* sums = rows.output[8 * group + j % 8];
                        float sum = (IS_STACKED ? sums[j / 8] + sums[2 + j / 8] : sums[2 * h + j / 8]) + bias;
                        float& output = s.output[warp % AREAS][16 * group + j][4 * (row + 8 * h) + t];
                        output = multiply_add(sum, factor[h], turn == 0 ? 0 : output);
                    }
                }
            }
        }
        block_barrier();
    }
}

KERNEL __launch_bounds__(THREADS, LEAST_BLOCKS) tile_attention(AttentionArguments args)
{
    __shared__ Shared s;
    const Part part = args.parts[BLOCK_X];
    const Sequence sequence = args.sequences[part.sequence];
    int head = BLOCK_Y, count = sequence.count * args.group;
    int first_row = ((count + ROWS - 1) / ROWS - 1 - BLOCK_Z) * ROWS; // the last rows see the most and take longest: they begin
    if (count < LEAST_ROWS || count > MOST_ROWS || first_row < 0)
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

    int stride = args.layout.channels + STATE_EXTRA;
    float* states = args.states + part.state + (i64)head * count * stride;
    for (int i = THREAD; i < lesser(ROWS, count - first_row) * CHANNELS; i += THREADS)
    {
        int r = i / CHANNELS, c = i % CHANNELS;
        float sum = 0;
#pragma unroll
        for (int area = 0; area < AREAS; area++)
            sum += s.output[area][c / 64 * 16 + c % 16][4 * r + c % 64 / 16];
        if (c < args.layout.head_dim)
            states[(i64)(first_row + r) * stride + c] = sum;
    }
    if (THREAD < ROWS && first_row + THREAD < count)
    {
        int first_warp = THREAD / 16 * TOKEN_WARPS;
        float highest = -INFINITE, total = 0;
        for (int i = first_warp; i < first_warp + TOKEN_WARPS; i++)
            highest = larger(highest, s.highest[i][THREAD % 16]);
        for (int i = first_warp; i < first_warp + TOKEN_WARPS; i++)
            total += s.highest[i][THREAD % 16] == -INFINITE ? 0 : s.total[i][THREAD % 16] * power_of_two(s.highest[i][THREAD % 16] - highest);
        float* extra = states + (i64)(first_row + THREAD) * stride + args.layout.channels;
        extra[0] = total;
        extra[1] = highest;
    }
}
