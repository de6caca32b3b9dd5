// The bytes of a page (docs/kv-layout.md) and of rows. Mirrors Quantization/PageLayout; C# fills the structures, so their members keep their order.
#ifndef LOCALLLM_PAGE_CUH
#define LOCALLLM_PAGE_CUH
#include "prelude.cuh"

enum NumberType { FLOAT32, BFLOAT16, FLOAT16 };

struct PageLayout
{
    int tokens;            // P
    int head_dim;          // D
    int channels;          // D'
    int groups;            // G
    int value_bits;
    int slow_key_bits;     // of the tiles in key_high_tiles; the others have 2
    u32 key_high_tiles;    // bit i: channels 16i … 16i + 15 have bits in the high plane
    int key_high_offset;   // bytes from the first key code
    int value_high_offset; // bytes from the first value code
    int scale_bytes;       // of an element: 1 or 2
};

__device__ __forceinline__ float load_number(const u8* numbers, i64 index, int type)
{
    if (type == FLOAT32)
        return ((const float*)numbers)[index];
    u16 bits = ((const u16*)numbers)[index];
    return type == BFLOAT16 ? bits_float((u32)bits << 16) : half_float(bits);
}

__device__ __forceinline__ void store_number(u8* numbers, i64 index, int type, float x)
{
    if (type == FLOAT32)
        ((float*)numbers)[index] = x;
    else if (type == FLOAT16)
        ((u16*)numbers)[index] = float_half(x);
    else
    {
        u32 bits = float_bits(x);
        ((u16*)numbers)[index] = (bits & 0x7FFFFFFF) > 0x7F800000 ? 0x7FC0 : (u16)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
    }
}

struct Scale { float step, minimum; };

__device__ __forceinline__ float byte_step(int index) { return bits_float((u32)(index + ((127 - 17) << 3)) << 20); }

__device__ __forceinline__ float byte_minimum(int multiple, float step)
{
    return (float)(multiple * (multiple < 0 ? -multiple : multiple)) * (step * (1.0f / 256));
}

__device__ __forceinline__ Scale load_scale(const u8* scales, int step_index, int minimum_index, int scale_bytes)
{
    Scale scale;
    if (scale_bytes == 1)
    {
        scale.step = byte_step(scales[step_index]);
        scale.minimum = byte_minimum((signed char)scales[minimum_index], scale.step);
    }
    else
    {
        scale.step = half_float(((const u16*)scales)[step_index]);
        scale.minimum = half_float(((const u16*)scales)[minimum_index]);
    }
    return scale;
}

// The bits of 16 codes as loaded: two bits of each in `low`, the others from bit 0 of `high` on.
struct Codes { u32 low, high; };

// Channels 16·tile … of one token's keys.
__device__ __forceinline__ Codes load_keys(const PageLayout& layout, const u8* keys, int tile, int token)
{
    Codes codes;
    codes.low = ((const u32*)keys)[tile * layout.tokens + token];
    codes.high = 0;
    if (layout.key_high_tiles >> tile & 1)
    {
        int index = set_bits(layout.key_high_tiles & ((1u << tile) - 1));
        const u32* high = (const u32*)(keys + layout.key_high_offset);
        codes.high = layout.slow_key_bits == 3 ? high[index / 2 * layout.tokens + token] >> index % 2 * 16 : high[index * layout.tokens + token];
    }
    return codes;
}

// Tokens 16·tile … of one channel's values.
__device__ __forceinline__ Codes load_values(const PageLayout& layout, const u8* values, int tile, int channel)
{
    Codes codes;
    codes.low = ((const u32*)values)[tile * layout.channels + channel];
    codes.high = 0;
    const u32* high = (const u32*)(values + layout.value_high_offset);
    if (layout.value_bits == 3)
        codes.high = high[tile / 2 * layout.channels + channel] >> tile % 2 * 16;
    else if (layout.value_bits == 4)
        codes.high = high[tile * layout.channels + channel];
    return codes;
}

// Code i as a float: or-ed into the mantissa of 2²³, which is subtracted again. Exact, and faster than a conversion, of which a GPU does a
// quarter as many.
template <int BITS>
__device__ __forceinline__ float code(const Codes& codes, int i)
{
    u32 bits = codes.low >> 2 * i & 3;
    if (BITS == 3)
        bits |= (codes.high >> i & 1) << 2;
    if (BITS == 4)
        bits |= (codes.high >> 2 * i & 3) << 2;
    return bits_float(0x4B000000 | bits) - 8388608.0f;
}

// sums[r] += Σ code i · coefficients[r·stride + i]: a code is unpacked once for all rows.
template <int BITS, int COUNT>
__device__ __forceinline__ void add_codes(const Codes& codes, const float* coefficients, int stride, float* sums)
{
#pragma unroll
    for (int i = 0; i < 16; i++)
    {
        float x = code<BITS>(codes, i);
#pragma unroll
        for (int r = 0; r < COUNT; r++)
            sums[r] = multiply_add(x, coefficients[r * stride + i], sums[r]);
    }
}

template <int COUNT>
__device__ __forceinline__ void add_codes(int bits, const Codes& codes, const float* coefficients, int stride, float* sums)
{
    if (bits == 2)
        add_codes<2, COUNT>(codes, coefficients, stride, sums);
    else if (bits == 3)
        add_codes<3, COUNT>(codes, coefficients, stride, sums);
    else
        add_codes<4, COUNT>(codes, coefficients, stride, sums);
}

#endif
