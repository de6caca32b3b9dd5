// Tensor cores: 16x8x16 products of one warp, and packed codes as their operands.
//
// Fragments (PTX ISA, mma.m16n8k16 with 16-bit numbers), thread = 4·g + t:
//   A  [16 rows][16 k]   4 registers: rows g, g + 8, g, g + 8; the first two hold k = 2t, 2t + 1, the others k = 2t + 8, 2t + 9
//   B  [16 k][8 columns] 2 registers: column g; k = 2t, 2t + 1 and k = 2t + 8, 2t + 9
//   C  [16 rows][8]      4 floats: row g, columns 2t, 2t + 1, then row g + 8
// The lower half of a register is the lesser k. A sum does not mind which k is which: what thread t holds of B meets what threads t hold of A.
// So thread t takes one whole lane of 16 codes and four products use it up: product m takes codes 2m, 2m + 8 | 2m + 1, 2m + 9 (the
// order of elements 0 … 3 below), and the sixteen "k" of a product lie in four lanes.
#pragma once
#include "page.cuh"

struct Four { float x[4]; };
struct Words { u32 low[8], high[8]; };

// Element e of product m: which of a lane's 16 codes.
__device__ __forceinline__ int element_code(int m, int e) { return 2 * m + e % 2 * 8 + e / 2; }

// Codes j and j + 8 of a lane as a pair of bf16: or-ed into the mantissa of 128 (where they may stand 0, 2 or 4 bits up, which saves shifts),
// which is subtracted again. Exact.
template <int BITS>
__device__ __forceinline__ u32 code_pair(u32 low, u32 high, int j)
{
    if (BITS == 2)
    {
        int up = j % 3;
        u32 bits = ((low >> j / 3 * 6) & (0x00030003u << 2 * up)) | 0x43004300;
        return up == 0 ? multiply_add_bf16(bits, 0x3F803F80, 0xC300C300)
            : up == 1 ? multiply_add_bf16(bits, 0x3E803E80, 0xC200C200)
            : multiply_add_bf16(bits, 0x3D803D80, 0xC100C100);
    }
    u32 bits = ((low >> 2 * j) & 0x00030003) | 0x43004300;
    if (BITS == 3)
        bits |= (j < 2 ? high << (2 - j) : high >> (j - 2)) & 0x00040004;
    else
        bits |= (j < 1 ? high << 2 : high >> (2 * j - 2)) & 0x000C000C;
    return multiply_add_bf16(bits, 0x3F803F80, 0xC300C300);
}

// Eight neighbouring lanes of a plane.
__device__ __forceinline__ void load_lanes(const u8* plane, int index, u32* lanes)
{
    load_16_bytes(plane + 4 * (i64)index, lanes);
    load_16_bytes(plane + 4 * (i64)index + 16, lanes + 4);
}

// The third bits of lane code i, from bit i: to where code_pair looks for them.
__device__ __forceinline__ u32 spread_bits(u32 high) { return (high & 0xFF) | (high & 0xFF00) << 8; }

// Channels 16·tile … of the keys of tokens token … token + 7.
__device__ __forceinline__ void load_key_words(const PageLayout& layout, const u8* keys, int tile, int token, Words& words)
{
    load_lanes(keys, tile * layout.tokens + token, words.low);
    if (!(layout.key_high_tiles >> tile & 1))
        return;
    int index = set_bits(layout.key_high_tiles & ((1u << tile) - 1));
    const u8* plane = keys + layout.key_high_offset;
    load_lanes(plane, (layout.slow_key_bits == 3 ? index / 2 : index) * layout.tokens + token, words.high);
    if (layout.slow_key_bits == 3)
    {
#pragma unroll
        for (int i = 0; i < 8; i++)
            words.high[i] = spread_bits(words.high[i] >> index % 2 * 16);
    }
}

// Tokens 16·tile … of the values' channels channel … channel + 7.
__device__ __forceinline__ void load_value_words(const PageLayout& layout, const u8* values, int tile, int channel, Words& words)
{
    load_lanes(values, tile * layout.channels + channel, words.low);
    if (layout.value_bits == 2)
        return;
    load_lanes(values + layout.value_high_offset, (layout.value_bits == 3 ? tile / 2 : tile) * layout.channels + channel, words.high);
    if (layout.value_bits == 3)
    {
#pragma unroll
        for (int i = 0; i < 8; i++)
            words.high[i] = spread_bits(words.high[i] >> tile % 2 * 16);
    }
}

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
        low = pack_bf16(x - bits_float(high << 16), y - bits_float(high & 0xFFFF0000));
    }
}

template <bool HALF>
__device__ __forceinline__ u32 pack_pair(float x, float y) { return HALF ? pack_f16(x, y) : pack_bf16(x, y); }

template <bool HALF>
__device__ __forceinline__ void multiply_tile(float* sums, const u32* a, u32 b0, u32 b1)
{
    if (HALF)
        mma_f16(sums, a, b0, b1);
    else
        mma_bf16(sums, a, b0, b1);
}
