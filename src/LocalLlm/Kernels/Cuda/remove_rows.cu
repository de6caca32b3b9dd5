// Closes the gaps that removed rows leave; the others keep their order. A thread moves its 4 bytes of every row, so that nobody reads what another
// has written. Rows move down only: what is read before it is written may be read a batch at a time.
// Grid: x = 128 words of a row, y = KV head.
#include "prelude.cuh"

#define ROWS_AT_ONCE 32

struct RemoveArguments
{
    u8* rows; // the first head's
    i64 head_bytes;
    int row_words;
    int first, step, removed; // the removed rows
    int count;                // rows, the removed ones included
};

// The row that comes to lie at first + index.
__device__ __forceinline__ int kept_row(const RemoveArguments& args, int index)
{
    int between = args.step - 1; // kept rows between two removed ones
    int gap = between == 0 ? args.removed - 1 : lesser(index / between, args.removed - 1);
    return args.first + index + gap + 1;
}

KERNEL __launch_bounds__(128) remove_rows(RemoveArguments args)
{
    int word = BLOCK_X * 128 + THREAD, kept = args.count - args.first - args.removed;
    if (word >= args.row_words)
        return;
    u32* rows = (u32*)(args.rows + BLOCK_Y * args.head_bytes) + word;
    for (int index = 0; index < kept; index += ROWS_AT_ONCE)
    {
        u32 words[ROWS_AT_ONCE];
#pragma unroll
        for (int i = 0; i < ROWS_AT_ONCE; i++)
            words[i] = index + i < kept ? rows[(i64)kept_row(args, index + i) * args.row_words] : 0;
#pragma unroll
        for (int i = 0; i < ROWS_AT_ONCE; i++)
        {
            if (index + i < kept)
                rows[(i64)(args.first + index + i) * args.row_words] = words[i];
        }
    }
}
