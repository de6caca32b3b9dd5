// Joins the states of a sequence's parts by their log-sum-exp and writes the outputs. Each query sees at least its own token, so no total is 0.
// Grid: x = query row, y = KV head, z = sequence; 128 threads, each a channel or two.
#include "attention.cuh"

KERNEL __launch_bounds__(128) merge_attention(AttentionArguments args)
{
    const PageLayout& layout = args.layout;
    const Sequence sequence = args.sequences[BLOCK_Z];
    int head = BLOCK_Y, row = BLOCK_X, rows = sequence.count * args.group, stride = layout.channels + STATE_EXTRA;
    if (row >= rows)
        return;

    const Part* parts = args.parts + sequence.first_part;
    i64 offset = ((i64)head * rows + row) * stride;
    float highest = -INFINITE;
    for (int i = 0; i < sequence.parts; i++)
        highest = larger(highest, args.states[parts[i].state + offset + layout.channels + 1]);

    int query_heads = args.kv_heads * args.group;
    i64 output = ((i64)(row / args.group) * query_heads + head * args.group + row % args.group) * layout.head_dim;
    for (int channel = THREAD; channel < layout.head_dim; channel += 128)
    {
        float sum = 0, total = 0;
        for (int i = 0; i < sequence.parts; i++)
        {
            const float* state = args.states + parts[i].state + offset;
            float factor = power_of_two(state[layout.channels + 1] - highest);
            sum = multiply_add(state[channel], factor, sum);
            total = multiply_add(state[layout.channels], factor, total);
        }
        store_number(sequence.outputs, output + channel, args.type, sum / total);
    }
}
