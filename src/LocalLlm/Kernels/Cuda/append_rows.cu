// Copies rows of keys or values, and looks for numbers that are NaN or infinite. All copies of a step's layer go in one launch: their targets are
// distinct, and none of them is another's source.
// Grid: x = copy, y = KV head, z = tile of TOKENS tokens; 128 threads.
#include "page.cuh"

#define TOKENS 16

struct RowCopy
{
    const u8* source;
    u8* target; // null: only look
    i64 source_head_bytes, source_token_bytes, target_head_bytes, target_token_bytes;
    int* fault; // null: only copy. The least ((token·Hkv + head)·D + channel)·3 + kind: 0 for NaN, 1 for ∞, 2 for −∞
    i64 tokens;
};

struct AppendArguments
{
    const RowCopy* copies;
    int heads, head_dim, type;
};

__device__ __forceinline__ u32 load_bits(const u8* row, int channel, int type)
{
    return type == FLOAT32 ? ((const u32*)row)[channel] : ((const u16*)row)[channel];
}

__device__ __forceinline__ void look(const AppendArguments& args, u32 bits, int index, int* fault)
{
    u32 sign = args.type == FLOAT32 ? 0x80000000u : 0x8000u;
    u32 infinite = args.type == FLOAT32 ? 0x7F800000u : args.type == BFLOAT16 ? 0x7F80u : 0x7C00u;
    u32 size = bits & (sign - 1);
    if (size >= infinite)
        atomic_min(fault, 3 * index + (size > infinite ? 0 : bits & sign ? 2 : 1));
}

KERNEL __launch_bounds__(128) append_rows(AppendArguments args)
{
    const RowCopy copy = args.copies[BLOCK_X];
    int first = BLOCK_Z * TOKENS, head = BLOCK_Y, tokens = lesser(TOKENS, (int)copy.tokens - first);
    for (int i = THREAD; i < tokens * args.head_dim; i += 128)
    {
        int token = first + i / args.head_dim, channel = i % args.head_dim;
        u32 bits = load_bits(copy.source + token * copy.source_token_bytes + head * copy.source_head_bytes, channel, args.type);
        if (copy.fault)
            look(args, bits, (token * args.heads + head) * args.head_dim + channel, copy.fault);
        if (!copy.target)
            continue;
        u8* row = copy.target + token * copy.target_token_bytes + head * copy.target_head_bytes;
        if (args.type == FLOAT32)
            ((u32*)row)[channel] = bits;
        else
            ((u16*)row)[channel] = (u16)bits;
    }
}
