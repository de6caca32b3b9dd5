// Joins the states of a sequence's parts by their log-sum-exp and writes the outputs. Each query sees at least its own token, so no total is 0.
// Grid: x = query row, y = KV head, z = sequence; 128 threads, each a part (AttentionPlan makes no more), then a channel or two.
#include "attention.cuh"

#define PARTS 128
#define LOADS 16 // on their way at once

KERNEL __launch_bounds__(PARTS) merge_attention(AttentionArguments args)
{
    __shared__ float factors[PARTS], highest_of_warps[4], total_of_warps[4];
    const PageLayout& layout = args.layout;
    const Sequence sequence = args.sequences[BLOCK_Z];
    int head = BLOCK_Y, row = BLOCK_X, rows = sequence.count * args.group, stride = layout.channels + STATE_EXTRA, parts = sequence.parts;
    if (row >= rows)
        return;

    // A sequence's states lie at equal distances.
    const float* states = args.states + args.parts[sequence.first_part].state + ((i64)head * rows + row) * stride;
    i64 step = (i64)args.kv_heads * rows * stride;
    float highest = -INFINITE, total = 0;
    if (THREAD < parts)
    {
        total = states[THREAD * step + layout.channels];
        highest = states[THREAD * step + layout.channels + 1];
    }
    float highest_of_warp = warp_max(highest);
    if (THREAD % 32 == 0)
        highest_of_warps[THREAD / 32] = highest_of_warp;
    block_barrier();
    for (int i = 0; i < 4; i++)
        highest_of_warp = larger(highest_of_warp, highest_of_warps[i]);
    float factor = THREAD < parts ? power_of_two(highest - highest_of_warp) : 0; // of all warps now
    factors[THREAD] = factor;
    total = warp_sum(total * factor);
    if (THREAD % 32 == 0)
        total_of_warps[THREAD / 32] = total;
    block_barrier();
    total = total_of_warps[0] + total_of_warps[1] + (total_of_warps[2] + total_of_warps[3]);

    int query_heads = args.kv_heads * args.group;
    i64 output = ((i64)(row / args.group) * query_heads + head * args.group + row % args.group) * layout.head_dim;
    for (int channel = THREAD; channel < layout.head_dim; channel += PARTS)
    {
        float sum = 0;
        for (int i = 0; i < parts; i += LOADS)
        {
            float x[LOADS];
#pragma unroll
            for (int j = 0; j < LOADS; j++)
                x[j] = i + j < parts ? states[(i + j) * step + channel] : 0;
#pragma unroll
            for (int j = 0; j < LOADS; j++)
                sum = multiply_add(x[j], factors[i + j], sum);
        }
        store_number(sequence.outputs, output + channel, args.type, sum / total);
    }
}
