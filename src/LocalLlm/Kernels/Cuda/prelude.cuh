// What the kernels use of CUDA, so that their sources need no toolkit. Three compilers read them: NVRTC, which knows all of this by itself;
// clang, which
// makes PTX of them to check them; and an ordinary C++ compiler with the emulation of the tests, which defines EMULATED and what stands here.
#ifndef LOCALLLM_PRELUDE_CUH
#define LOCALLLM_PRELUDE_CUH

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#if !defined(EMULATED)

#if defined(__clang__)
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))
#define __forceinline__ inline __attribute__((always_inline))
#define THREAD ((int)__nvvm_read_ptx_sreg_tid_x())
#define BLOCK_X ((int)__nvvm_read_ptx_sreg_ctaid_x())
#define BLOCK_Y ((int)__nvvm_read_ptx_sreg_ctaid_y())
#define BLOCK_Z ((int)__nvvm_read_ptx_sreg_ctaid_z())
__device__ __forceinline__ void block_barrier() { __nvvm_bar_sync(0); }
__device__ __forceinline__ void warp_barrier() { __nvvm_bar_warp_sync(0xFFFFFFFF); }
__device__ __forceinline__ float exchange(float x, int mask) { return __nvvm_shfl_sync_bfly_f32(0xFFFFFFFF, x, mask, 31); }
__device__ __forceinline__ u32 exchange(u32 x, int mask) { return (u32)__nvvm_shfl_sync_bfly_i32(0xFFFFFFFF, (int)x, mask, 31); }
__device__ __forceinline__ bool is_any(bool x) { return __nvvm_vote_any_sync(0xFFFFFFFF, x); }
__device__ __forceinline__ float square_root(float x) { return __nvvm_sqrt_rn_f(x); }
__device__ __forceinline__ void atomic_min(int* target, int x) { __nvvm_atom_min_gen_i(target, x); }
#else
#define THREAD ((int)threadIdx.x)
#define BLOCK_X ((int)blockIdx.x)
#define BLOCK_Y ((int)blockIdx.y)
#define BLOCK_Z ((int)blockIdx.z)
__device__ __forceinline__ void block_barrier() { __syncthreads(); }
__device__ __forceinline__ void warp_barrier() { __syncwarp(); }
__device__ __forceinline__ float exchange(float x, int mask) { return __shfl_xor_sync(0xFFFFFFFF, x, mask); }
__device__ __forceinline__ u32 exchange(u32 x, int mask) { return __shfl_xor_sync(0xFFFFFFFF, x, mask); }
__device__ __forceinline__ bool is_any(bool x) { return __any_sync(0xFFFFFFFF, x); }
__device__ __forceinline__ float square_root(float x) { return __fsqrt_rn(x); }
__device__ __forceinline__ void atomic_min(int* target, int x) { atomicMin(target, x); }
#endif

// Single instructions that both GPU compilers take as they stand.
__device__ __forceinline__ float power_of_two(float x)
{
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

__device__ __forceinline__ float multiply_add(float a, float b, float c)
{
    float result;
    asm("fma.rn.f32 %0, %1, %2, %3;" : "=f"(result) : "f"(a), "f"(b), "f"(c));
    return result;
}

// The greater of two numbers, and the lesser; of a number and NaN the number.
__device__ __forceinline__ float maximum(float a, float b)
{
    float result;
    asm("max.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
    return result;
}

__device__ __forceinline__ float minimum(float a, float b)
{
    float result;
    asm("min.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
    return result;
}

__device__ __forceinline__ float round_to_even(float x)
{
    float result;
    asm("cvt.rni.f32.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

__device__ __forceinline__ u32 float_bits(float x)
{
    u32 bits;
    asm("mov.b32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}

__device__ __forceinline__ float bits_float(u32 bits)
{
    float x;
    asm("mov.b32 %0, %1;" : "=f"(x) : "r"(bits));
    return x;
}

__device__ __forceinline__ float half_float(u16 bits)
{
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}

__device__ __forceinline__ u16 float_half(float x)
{
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

__device__ __forceinline__ int set_bits(u32 x)
{
    int count;
    asm("popc.b32 %0, %1;" : "=r"(count) : "r"(x));
    return count;
}

// Pairs of 16-bit numbers: the first in the lower half.
__device__ __forceinline__ u32 pack_bf16(float x, float y)
{
    u32 pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(y), "f"(x));
    return pair;
}

__device__ __forceinline__ u32 pack_f16(float x, float y)
{
    u32 pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(y), "f"(x));
    return pair;
}

__device__ __forceinline__ u32 multiply_add_bf16(u32 a, u32 b, u32 c)
{
    u32 result;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
    return result;
}

// The lower halves of x and y, or the upper ones.
__device__ __forceinline__ u32 lower_halves(u32 x, u32 y)
{
    u32 result;
    asm("prmt.b32 %0, %1, %2, 0x5410;" : "=r"(result) : "r"(x), "r"(y));
    return result;
}

__device__ __forceinline__ u32 upper_halves(u32 x, u32 y)
{
    u32 result;
    asm("prmt.b32 %0, %1, %2, 0x7632;" : "=r"(result) : "r"(x), "r"(y));
    return result;
}

// Bytes of x, or 0: a hexadecimal digit of `selector` for each byte of the result, the least first; 4 takes 0.
__device__ __forceinline__ u32 pick_bytes(u32 x, u32 selector)
{
    u32 result;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(result) : "r"(x), "r"(0), "r"(selector));
    return result;
}

// (x & mask) | bits in one instruction, for which mask and bits may not both be immediates.
__device__ __forceinline__ u32 select_bits(u32 x, u32 mask, u32 bits)
{
    u32 result;
    asm("lop3.b32 %0, %1, %2, %3, 0xEA;" : "=r"(result) : "r"(x), "r"(mask), "r"(bits));
    return result;
}

// From memory that no kernel writes meanwhile; aligned.
__device__ __forceinline__ u32 load_4_bytes(const u8* source)
{
    u32 word;
    asm("ld.global.nc.u32 %0, [%1];" : "=r"(word) : "l"(source));
    return word;
}

__device__ __forceinline__ void load_8_bytes(const u8* source, u32* words)
{
    asm("ld.global.nc.v2.u32 {%0, %1}, [%2];" : "=r"(words[0]), "=r"(words[1]) : "l"(source));
}

__device__ __forceinline__ void load_16_bytes(const u8* source, u32* words)
{
    asm("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3]) : "l"(source));
}

// A hint: the line that holds this byte will be read soon.
__device__ __forceinline__ void prefetch_line(const u8* source) { asm volatile("prefetch.global.L2 [%0];" : : "l"(source)); }

// sums += A·B of one warp, 16x8x16; the fragments are described in mma.cuh.
__device__ __forceinline__ void mma_bf16(float* sums, const u32* a, u32 b0, u32 b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ void mma_f16(float* sums, const u32* a, u32 b0, u32 b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#endif

#if !defined(KERNEL)
#define KERNEL extern "C" __global__ void
#endif

#define INFINITE bits_float(0x7F800000)

__device__ __forceinline__ float larger(float a, float b) { return a > b ? a : b; }
__device__ __forceinline__ float smaller(float a, float b) { return a < b ? a : b; }
__device__ __forceinline__ int lesser(int a, int b) { return a < b ? a : b; }
__device__ __forceinline__ int greater(int a, int b) { return a > b ? a : b; }

// Over the 32 threads of a warp; every thread gets the result.
__device__ __forceinline__ float warp_sum(float x)
{
    for (int mask = 16; mask > 0; mask /= 2)
        x += exchange(x, mask);
    return x;
}

__device__ __forceinline__ float warp_max(float x)
{
    for (int mask = 16; mask > 0; mask /= 2)
        x = larger(x, exchange(x, mask));
    return x;
}

#endif
