// Attention of all query heads of one KV head to one part of a sequence: online softmax over tiles (arXiv 1805.02867), codes unpacked in registers.
// For float32 queries, which tile_attention does not take.
//
// Compiled for ROWS query rows a block (1, 2, 4 or 8) and heads of at most CHANNELS channels (64, 128 or 256).
// Grid: x = part, y = KV head, z = block of ROWS query rows (row i·group + h is query i of the group's head h).
//
// A block is 128 threads. For a tile of T tokens:
//   scores   thread = token, and where T < 128 a share of the channels: neighbouring threads load neighbouring lanes of the key planes. The
//            queries times
//            the page's key scales lie in shared memory; all threads of a warp read the same number, so no bank is asked twice.
//   softmax  a warp takes a row; the probabilities times each value group's scales go back to shared memory.
//   values   thread = channel (two for heads above 128), and where there are fewer than 128 a share of the tokens. Sums stay in registers over
//            all tiles.
// The minimum of a key's channel adds Σ q·m to all scores of a page, that of a value group Σ p·m to all its channels: both are summed once, not
// per code.
#include "attention.cuh"

#define THREADS 128
#define TILE 128
#define CHANNELS_OF_THREAD ((CHANNELS + THREADS - 1) / THREADS)
#define GROUPS (CHANNELS / 64)

struct Shared
{
    float query[ROWS][CHANNELS];       // times scale · log2 e; padded rows and channels are 0
    float coefficient[ROWS][CHANNELS]; // query · key scale of the page
    float score[ROWS][TILE];           // then the probability
    float partial[ROWS][TILE];         // the shares' sums: [share][token]
    float weight[GROUPS][ROWS][TILE];  // probability · value scale
    float bias[ROWS];                  // Σ q·m of the page
    float rescale[ROWS];               // what the sums so far are multiplied with
    float highest[ROWS], total[ROWS];
    float value_bias[ROWS][GROUPS];    // Σ p·m
    float reduce[THREADS][ROWS];       // the shares' outputs, at the end
};

__device__ __forceinline__ int token_position(const Run& run, int token)
{
    return run.positions ? run.positions[token] : run.first_position + token;
}

__device__ __forceinline__ void load_queries(const AttentionArguments& args, const Sequence& sequence, int head, int first_row, Shared& s)
{
    int rows = sequence.count * args.group;
    float factor = args.scale * 1.44269504f;
    for (int i = THREAD; i < ROWS * CHANNELS; i += THREADS)
    {
        int r = i / CHANNELS, c = i % CHANNELS, row = first_row + r;
        float x = 0;
        if (row < rows && c < args.layout.head_dim)
        {
            const u8* query = sequence.queries + row / args.group * sequence.query_token_bytes
                + (head * args.group + row % args.group) * sequence.query_head_bytes;
            x = load_number(query, c, args.type) * factor;
        }
        s.query[r][c] = x;
    }
}

// score[r][t] of a page: before the mask.
__device__ __forceinline__ void score_page(const PageLayout& layout, const u8* keys, const u8* scales, Shared& s)
{
    int warp = THREAD / 32, lane = THREAD % 32;
    for (int r = warp; r < ROWS; r += THREADS / 32)
    {
        float sum = 0;
        for (int c = lane; c < layout.channels; c += 32)
        {
            Scale scale = load_scale(scales, c, layout.channels + c, layout.scale_bytes);
            s.coefficient[r][c] = s.query[r][c] * scale.step;
            sum = multiply_add(s.query[r][c], scale.minimum, sum);
        }
        sum = warp_sum(sum);
        if (lane == 0)
            s.bias[r] = sum;
    }
    block_barrier();

    int shares = THREADS / layout.tokens, token = THREAD % layout.tokens, share = THREAD / layout.tokens;
    float sums[ROWS] = {};
    for (int tile = share; tile < layout.channels / 16; tile += shares)
    {
        Codes codes = load_keys(layout, keys, tile, token);
        int bits = layout.key_high_tiles >> tile & 1 ? layout.slow_key_bits : 2;
        add_codes<ROWS>(bits, codes, &s.coefficient[0][tile * 16], CHANNELS, sums);
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        s.partial[r][THREAD] = sums[r];
    block_barrier();
    for (int r = share; r < ROWS; r += shares)
    {
        float sum = s.bias[r];
        for (int i = 0; i < shares; i++)
            sum += s.partial[r][i * layout.tokens + token];
        s.score[r][token] = sum;
    }
}

// score[r][t] of rows. Eight threads share a token and take its channels in turns of eight, so that a warp reads 4 rows' neighbouring bytes.
__device__ __forceinline__ void score_rows(const PageLayout& layout, const Source& source, const u8* rows, int tokens, Shared& s)
{
    int lane = THREAD % 8;
    for (int first = 0; first < tokens; first += THREADS / 8)
    {
        int token = first + THREAD / 8;
        float sums[ROWS] = {};
        if (token < tokens)
        {
            const u8* row = rows + token * source.step_bytes;
            for (int c = lane; c < layout.head_dim; c += 8)
            {
                float x = load_number(row, c, source.type);
#pragma unroll
                for (int r = 0; r < ROWS; r++)
                    sums[r] = multiply_add(x, s.query[r][c], sums[r]);
            }
        }
#pragma unroll
        for (int r = 0; r < ROWS; r++)
        {
            for (int mask = 4; mask > 0; mask /= 2)
                sums[r] += exchange(sums[r], mask);
            if (lane == 0 && token < tokens)
                s.score[r][token] = sums[r];
        }
    }
}

// Scores become probabilities relative to the highest score so far.
__device__ __forceinline__ void soft_max(
    const AttentionArguments& args, const Sequence& sequence, const Run& run, int first, int tokens, int first_row, const u8* value_scales, Shared& s)
{
    const PageLayout& layout = args.layout;
    int warp = THREAD / 32, lane = THREAD % 32;
    for (int r = warp; r < ROWS; r += THREADS / 32)
    {
        int position = sequence.position + (first_row + r) / args.group;
        float before = s.highest[r], highest = before;
        for (int t = lane; t < tokens; t += 32)
        {
            int seen = token_position(run, first + t);
            if (seen > position || position - seen >= args.window)
                s.score[r][t] = -INFINITE;
            highest = larger(highest, s.score[r][t]);
        }
        highest = warp_max(highest);
        bool is_blind = highest == -INFINITE; // the row has seen nothing yet: all probabilities are 0
        float rescale = is_blind ? 1 : power_of_two(before - highest);
        float total = 0, biases[GROUPS] = {};
        for (int t = lane; t < TILE; t += 32)
        {
            float p = is_blind || t >= tokens ? 0 : power_of_two(s.score[r][t] - highest);
            s.score[r][t] = p;
            total += p;
            if (!value_scales || t >= layout.tokens)
                continue;
#pragma unroll
            for (int g = 0; g < GROUPS; g++)
            {
                if (g >= layout.groups)
                    break;
                int index = g * layout.tokens + t;
                Scale scale = load_scale(value_scales, index, layout.groups * layout.tokens + index, layout.scale_bytes);
                s.weight[g][r][t] = p * scale.step;
                biases[g] = multiply_add(p, scale.minimum, biases[g]);
            }
        }
        total = warp_sum(total);
#pragma unroll
        for (int g = 0; g < GROUPS; g++)
        {
            float bias = warp_sum(biases[g]);
            if (lane == 0)
                s.value_bias[r][g] = multiply_add(s.value_bias[r][g], rescale, bias);
        }
        if (lane == 0)
        {
            s.rescale[r] = rescale;
            s.highest[r] = highest;
            s.total[r] = multiply_add(s.total[r], rescale, total);
        }
    }
}

// How the channels are dealt to the threads: `width` threads side by side, THREADS / width shares of the tokens.
__device__ __forceinline__ int channel_width(int channels)
{
    return channels <= 32 ? 32 : channels <= 64 ? 64 : THREADS;
}

__device__ __forceinline__ void add_page(const PageLayout& layout, const u8* values, int channel, int share, int shares, const Shared& s, float* sums)
{
    for (int tile = share; tile < layout.tokens / 16; tile += shares)
    {
        Codes codes = load_values(layout, values, tile, channel);
        add_codes<ROWS>(layout.value_bits, codes, &s.weight[channel / 64][0][tile * 16], TILE, sums);
    }
}

__device__ __forceinline__ void add_rows(
    const Source& source, const u8* rows, int tokens, int channel, int share, int shares, const Shared& s, float* sums)
{
    for (int t = share; t < tokens; t += shares)
    {
        float x = load_number(rows + t * source.step_bytes, channel, source.type);
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            sums[r] = multiply_add(x, s.score[r][t], sums[r]);
    }
}

KERNEL __launch_bounds__(THREADS) decode_attention(AttentionArguments args)
{
    __shared__ Shared s;
    const PageLayout& layout = args.layout;
    const Part part = args.parts[BLOCK_X];
    const Sequence sequence = args.sequences[part.sequence];
    int head = BLOCK_Y, first_row = BLOCK_Z * ROWS, rows = sequence.count * args.group;
    if (first_row >= rows)
        return; // the grid is as deep as the longest sequence needs

    load_queries(args, sequence, head, first_row, s);
    if (THREAD < ROWS)
    {
        s.highest[THREAD] = -INFINITE;
        s.total[THREAD] = 0;
        for (int g = 0; g < GROUPS; g++)
            s.value_bias[THREAD][g] = 0;
    }
    block_barrier();

    int width = channel_width(layout.channels), share = THREAD / width, shares = THREADS / width;
    float sums[CHANNELS_OF_THREAD][ROWS] = {};
    int first_position = sequence.position + first_row / args.group;
    int last_position = sequence.position + lesser(first_row + ROWS - 1, rows - 1) / args.group;
    int left = part.tiles;
    for (int index = part.run, first_tile = part.first_tile; left > 0; index++, first_tile = 0)
    {
        const Run run = args.runs[index];
        int end = lesser(first_tile + left, run.tiles);
        left -= end - first_tile;
        for (int tile = first_tile; tile < end; tile++)
        {
            int first = tile * run.tile_tokens, tokens = lesser(run.tile_tokens, run.tokens - first);
            if (token_position(run, first) > last_position || first_position - token_position(run, first + tokens - 1) >= args.window)
                continue; // positions ascend: no row of this block sees any of these

            const u8* keys = run.keys.data + head * run.keys.head_bytes + (i64)(run.keys.is_packed ? tile : first) * run.keys.step_bytes;
            const u8* values = run.values.data + head * run.values.head_bytes + (i64)(run.values.is_packed ? tile : first) * run.values.step_bytes;
            const u8* value_scales = 0;
            if (run.values.is_packed)
                value_scales = run.values.scales + head * run.values.scale_head_bytes + tile * run.values.scale_step_bytes;

            if (run.keys.is_packed)
                score_page(layout, keys, run.keys.scales + head * run.keys.scale_head_bytes + tile * run.keys.scale_step_bytes, s);
            else
                score_rows(layout, run.keys, keys, tokens, s);
            block_barrier();
            soft_max(args, sequence, run, first, tokens, first_row, value_scales, s);
            block_barrier();
#pragma unroll
            for (int i = 0; i < CHANNELS_OF_THREAD; i++)
            {
#pragma unroll
                for (int r = 0; r < ROWS; r++)
                    sums[i][r] *= s.rescale[r];
                int channel = THREAD % width + i * THREADS;
                if (channel >= layout.head_dim)
                    continue;
                if (run.values.is_packed)
                    add_page(layout, values, channel, share, shares, s, sums[i]);
                else
                    add_rows(run.values, values, tokens, channel, share, shares, s, sums[i]);
            }
            block_barrier();
        }
    }

    float* states = args.states + part.state + (i64)head * rows * (layout.channels + STATE_EXTRA);
#pragma unroll
    for (int i = 0; i < CHANNELS_OF_THREAD; i++)
    {
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            s.reduce[THREAD][r] = sums[i][r];
        block_barrier();
        int channel = THREAD + i * THREADS;
        if (THREAD < width && channel < layout.head_dim)
        {
            for (int r = 0; r < ROWS && first_row + r < rows; r++)
            {
                float sum = s.value_bias[r][channel / 64];
                for (int j = 0; j < shares; j++)
                    sum += s.reduce[j * width + THREAD][r];
                states[(i64)(first_row + r) * (layout.channels + STATE_EXTRA) + channel] = sum;
            }
        }
        block_barrier();
    }
    if (THREAD < ROWS && first_row + THREAD < rows)
    {
        float* extra = states + (i64)(first_row + THREAD) * (layout.channels + STATE_EXTRA) + layout.channels;
        extra[0] = s.total[THREAD];
        extra[1] = s.highest[THREAD];
    }
}
