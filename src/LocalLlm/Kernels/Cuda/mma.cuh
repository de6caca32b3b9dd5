// Tensor cores: 16x8x16 products of one warp, and packed codes as their operands.
//
// Fragments (PTX ISA, mma.m16n8k16 with 16-bit numbers), thread = 4·g + t:
//   A  [16 rows][16 k]   4 registers: rows g, g + 8, g, g + 8; the first two hold k = 2t, 2t + 1, the others k = 2t + 8, 2t + 9
//   B  [16 k][8 columns] 2 registers: column g; k = 2t, 2t + 1 and k = 2t + 8, 2t + 9
//   C  [16 rows][8]      4 floats: row g, columns 2t, 2t + 1, then row g + 8
// The lower half of a register is the lesser k. A sum does not mind which k is which: what thread t holds of B meets what threads t hold of A.
// So thread t takes one whole lane of 16 codes and four products use it up: product m takes the pairs 2m and 2m + 1, where pair j is codes j
// and j + 8, and the sixteen "k" of a product lie in four lanes.
#ifndef LOCALLLM_MMA_CUH
#define LOCALLLM_MMA_CUH
#include "page.cuh"

struct Words { u32 low[8], high[8]; };

// A as a sum of two bf16 numbers, [rows of two halves][elements 0 … 3: codes 2m, 2m + 8, 2m + 1, 2m + 9]. Of one half only: rows 8 … 15 of
// `high` are its low parts, and `low` is not used.
struct Operand { u32 high[4], low[4]; };

// How far a pair's codes stand above bit 0 of their halves as code_bits gives them: what lies 0, 2 or 4 bits up needs no shift of its own.
template <int BITS>
__device__ __forceinline__ int pair_place(int j) { return BITS == 4 ? j % 2 * 2 : j % 3 * 2; }

__device__ __forceinline__ int pair_place(int bits, int j) { return bits == 4 ? pair_place<4>(j) : pair_place<2>(j); }

// Pair j of a lane, or-ed into the mantissas of 128: 128 + code · 2^place, in bf16.
template <int BITS>
__device__ __forceinline__ u32 code_bits(u32 low, u32 high, int j)
{
    const int place = pair_place<BITS>(j), least = 2 * j - place;
    u32 bits = select_bits(low >> least, 0x00030003u << place, 0x43004300);
    if (BITS == 2)
        return bits;
    int shift = place + 2 - (BITS == 3 ? j : 2 * j); // of the higher bits, to the left
    return select_bits(shift >= 0 ? high << shift : high >> -shift, (BITS == 3 ? 0x00010001u : 0x00030003u) << (place + 2), bits);
}

// bf16 pairs: what the mantissas' 128 adds to code_bits, times a factor; with it code_bits · factor + offset is code · factor, exactly where
// the product has eight bits.
__device__ __forceinline__ u32 code_offset(u32 factor) { return multiply_add_bf16(factor, 0xC300C300, 0x80008000); }

// Eight neighbouring lanes of a plane.
__device__ __forceinline__ void load_lanes(const u8* plane, int index, u32* lanes)
{
    load_16_bytes(plane + 4 * (i64)index, lanes);
    load_16_bytes(plane + 4 * (i64)index + 16, lanes + 4);
}

// The third bits of 16 codes, the second half of a lane or the first: those of codes 0 … 7 from bit 0 on, of the others from bit 16 on, where
// code_bits looks for them.
__device__ __forceinline__ u32 spread_bits(u32 high, int is_second) { return pick_bytes(high, 0x4140 + 0x0202 * is_second); }

// Channels 16·tile … of the keys of tokens token … token + 7. Tiles without high bits may lie beside others that have them.
template <int BITS>
__device__ __forceinline__ void load_key_words(const PageLayout& layout, const u8* keys, int tile, int token, Words& words)
{
    load_lanes(keys, tile * layout.tokens + token, words.low);
    if (BITS == 2)
        return;
    if (!(layout.key_high_tiles >> tile & 1))
    {
#pragma unroll
        for (int i = 0; i < 8; i++)
            words.high[i] = 0;
        return;
    }
    int index = set_bits(layout.key_high_tiles & ((1u << tile) - 1));
    load_lanes(keys + layout.key_high_offset, (BITS == 3 ? index / 2 : index) * layout.tokens + token, words.high);
    if (BITS == 3)
    {
#pragma unroll
        for (int i = 0; i < 8; i++)
            words.high[i] = spread_bits(words.high[i], index % 2);
    }
}

// Tokens 16·tile … of the values' channels channel … channel + 7.
template <int BITS>
__device__ __forceinline__ void load_value_words(const PageLayout& layout, const u8* values, int tile, int channel, Words& words)
{
    load_lanes(values, tile * layout.channels + channel, words.low);
    if (BITS == 2)
        return;
    load_lanes(values + layout.value_high_offset, (BITS == 3 ? tile / 2 : tile) * layout.channels + channel, words.high);
    if (BITS == 3)
    {
#pragma unroll
        for (int i = 0; i < 8; i++)
            words.high[i] = spread_bits(words.high[i], tile % 2);
    }
}

// The numbers of a bf16 pair.
__device__ __forceinline__ float first_of(u32 pair) { return bits_float(pair << 16); }
__device__ __forceinline__ float second_of(u32 pair) { return bits_float(pair & 0xFFFF0000); }

// x as the sum of two numbers of 16 bits, pairwise: to 2^-17 of x in bf16; in fp16 to 2^-22 of x and 2^-25.
template <bool HALF>
__device__ __forceinline__ void split_pair(float x, float y, u32& high, u32& low)
{
    if (HALF)
    {
        high = pack_f16(x, y);
        low = pack_f16(x - half_float((u16)high), y - half_float((u16)(high >> 16)));
    }
    else
    {
        high = pack_bf16(x, y);
        low = pack_bf16(x - first_of(high), y - second_of(high));
    }
}

template <bool HALF>
__device__ __forceinline__ void multiply_tile(float* sums, const u32* a, u32 b0, u32 b1)
{
    if (HALF)
        mma_f16(sums, a, b0, b1);
    else
        mma_bf16(sums, a, b0, b1);
}

#endif
