// Deals out the packed values of 2P tokens, those of `sparse` and then those of `fresh`: the first and each second one after it go to `sparse`, the
// others to `page`. Codes move unchanged. Kernels/Cpu/ValueSections is the same for a CPU.
// Grid: y = KV head; 128 threads, each a lane's channels and a token's scales: no thread reads what another has written.
#include "page.cuh"

struct Section
{
    u8* codes; // the first head's
    u8* scales;
    i64 code_head_bytes, scale_head_bytes;
};

struct DealArguments
{
    PageLayout layout;
    Section sparse, fresh, page;
};

// Fields 0, 2, 4, … of a lane, moved together into its lower half.
__device__ __forceinline__ u32 evens(u32 lane, int bits)
{
    if (bits == 1)
    {
        lane &= 0x55555555;
        lane |= lane >> 1;
    }
    lane &= 0x33333333;
    lane = (lane | lane >> 2) & 0x0F0F0F0F;
    lane = (lane | lane >> 4) & 0x00FF00FF;
    return (lane | lane >> 8) & 0x0000FFFF;
}

// A row of lanes holds the codes of 16 or 32 tokens; rows 2r and 2r + 1 of both sections are read before row r is written.
__device__ __forceinline__ void deal_plane(int bits, int rows, int channels, u8* sparse, const u8* fresh, u8* page)
{
    for (int c = THREAD; c < channels; c += 128)
    {
        for (int row = 0; row < rows; row++)
        {
            u32 lanes[2];
#pragma unroll
            for (int i = 0; i < 2; i++)
            {
                int index = 2 * row + i;
                lanes[i] = index < rows ? ((const u32*)sparse)[index * channels + c] : ((const u32*)fresh)[(index - rows) * channels + c];
            }
            ((u32*)page)[row * channels + c] = evens(lanes[0] >> bits, bits) | evens(lanes[1] >> bits, bits) << 16;
            ((u32*)sparse)[row * channels + c] = evens(lanes[0], bits) | evens(lanes[1], bits) << 16;
        }
    }
}

__device__ __forceinline__ int load_bytes(const u8* scales, int index, int bytes)
{
    return bytes == 1 ? scales[index] : ((const u16*)scales)[index];
}

__device__ __forceinline__ void store_bytes(u8* scales, int index, int bytes, int bits)
{
    if (bytes == 1)
        scales[index] = (u8)bits;
    else
        ((u16*)scales)[index] = (u16)bits;
}

KERNEL __launch_bounds__(128) deal_values(DealArguments args)
{
    const PageLayout& layout = args.layout;
    int head = BLOCK_Y, bytes = layout.scale_bytes, high = layout.value_bits - 2;
    u8* sparse = args.sparse.codes + head * args.sparse.code_head_bytes;
    const u8* fresh = args.fresh.codes + head * args.fresh.code_head_bytes;
    u8* page = args.page.codes + head * args.page.code_head_bytes;
    deal_plane(2, layout.tokens / 16, layout.channels, sparse, fresh, page);
    if (high > 0)
    {
        int offset = layout.value_high_offset;
        deal_plane(high, layout.tokens * high / 32, layout.channels, sparse + offset, fresh + offset, page + offset);
    }

    // Scales, then minima: [G][P] each, and P is at most 128.
    u8* sparse_scales = args.sparse.scales + head * args.sparse.scale_head_bytes;
    const u8* fresh_scales = args.fresh.scales + head * args.fresh.scale_head_bytes;
    u8* page_scales = args.page.scales + head * args.page.scale_head_bytes;
    for (int row = 0; row < 2 * layout.groups; row++)
    {
        int first = row * layout.tokens, token = 2 * THREAD, bits[2] = {};
#pragma unroll
        for (int i = 0; i < 2; i++)
        {
            if (THREAD < layout.tokens)
                bits[i] = token < layout.tokens ? load_bytes(sparse_scales, first + token + i, bytes)
                    : load_bytes(fresh_scales, first + token + i - layout.tokens, bytes);
        }
        block_barrier();
        if (THREAD < layout.tokens)
        {
            store_bytes(sparse_scales, first + THREAD, bytes, bits[0]);
            store_bytes(page_scales, first + THREAD, bytes, bits[1]);
        }
    }
}
