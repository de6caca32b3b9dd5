// Runs the CUDA kernels as ordinary C++: the threads of a block are fibers of one thread, so that barriers and exchanges within a warp do what
// they do on
// a GPU. A fiber runs until its next barrier; fibers run in ascending or in descending order, so that a missing barrier shows in one of the two.
#pragma once
#undef _FORTIFY_SOURCE // its longjmp knows one stack only
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <functional>
#include <vector>

#define EMULATED
#define __device__
#define __global__
#define __shared__ static
#define __launch_bounds__(...)
#define __forceinline__ inline
#define KERNEL static void

namespace emulation
{
    enum Wait { RUNS, AT_BLOCK, AT_WARP, ENDED };

    struct Fiber
    {
        ucontext_t context; // where it starts; from then on jumps change fibers, which unlike swapcontext ask the system for nothing
        jmp_buf registers;
        std::vector<char> stack;
        Wait wait;
        int products; // of its warp so far
    };

    // What the threads of a warp bring to one product of 16x8x16. Two in turns: one is read while the next is written.
    struct Fragments { unsigned a[4], b[2]; };

    static Fiber fibers[1024]; // they live on, block after block
    static jmp_buf scheduler;
    static std::function<void()> body;
    static int thread, block[3];
    static unsigned exchanged[1024];
    static Fragments fragments[2][1024];

    __attribute__((noinline)) static void stop_at(Wait wait)
    {
        fibers[thread].wait = wait;
        if (_setjmp(fibers[thread].registers) == 0)
            _longjmp(scheduler, 1);
    }

    static void enter()
    {
        for (;;)
        {
            body();
            stop_at(ENDED);
        }
    }

    __attribute__((noinline)) static void run_fiber()
    {
        if (_setjmp(scheduler) != 0)
            return;
        Fiber& fiber = fibers[thread];
        if (!fiber.stack.empty())
            _longjmp(fiber.registers, 1);
        fiber.stack.resize(128 * 1024);
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = fiber.stack.size();
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, enter, 0);
        setcontext(&fiber.context);
    }

    // All fibers of [first, last) that have not ended wait at `wait`: they run on.
    static bool release(int first, int last, Wait wait)
    {
        bool is_any = false;
        for (int i = first; i < last; i++)
        {
            if (fibers[i].wait != wait && fibers[i].wait != ENDED)
                return false;
            is_any |= fibers[i].wait == wait;
        }
        for (int i = first; is_any && i < last; i++)
        {
            if (fibers[i].wait == wait)
                fibers[i].wait = RUNS;
        }
        return is_any;
    }

    // False if some threads wait for others that never come.
    static bool run_block(int threads, bool descending)
    {
        for (int i = 0; i < threads; i++)
        {
            fibers[i].wait = RUNS;
            fibers[i].products = 0;
        }
        for (;;)
        {
            bool all_ended = true, is_any = false;
            for (int i = 0; i < threads; i++)
            {
                thread = descending ? threads - 1 - i : i;
                if (fibers[thread].wait == RUNS)
                    run_fiber();
                all_ended &= fibers[thread].wait == ENDED;
            }
            if (all_ended)
                return true;
            for (int warp = 0; warp < threads; warp += 32)
                is_any |= release(warp, warp + 32, AT_WARP);
            if (!is_any && !release(0, threads, AT_BLOCK))
                return false;
        }
    }

    static bool run_grid(int x, int y, int z, int threads, bool descending, std::function<void()> kernel)
    {
        body = kernel;
        for (block[2] = 0; block[2] < z; block[2]++)
            for (block[1] = 0; block[1] < y; block[1]++)
                for (block[0] = 0; block[0] < x; block[0]++)
                    if (!run_block(threads, descending))
                        return false;
        return true;
    }
}

#define THREAD (emulation::thread)
#define BLOCK_X (emulation::block[0])
#define BLOCK_Y (emulation::block[1])
#define BLOCK_Z (emulation::block[2])

static inline void block_barrier() { emulation::stop_at(emulation::AT_BLOCK); }
static inline void warp_barrier() { emulation::stop_at(emulation::AT_WARP); }

static inline unsigned exchange(unsigned x, int mask)
{
    emulation::exchanged[emulation::thread] = x;
    emulation::stop_at(emulation::AT_WARP);
    unsigned other = emulation::exchanged[emulation::thread ^ mask];
    emulation::stop_at(emulation::AT_WARP); // read by all before the next exchange writes
    return other;
}

static inline bool is_any(bool x)
{
    emulation::exchanged[emulation::thread] = x;
    emulation::stop_at(emulation::AT_WARP);
    bool any = false;
    for (int i = 0; i < 32; i++)
        any |= emulation::exchanged[emulation::thread / 32 * 32 + i] != 0;
    emulation::stop_at(emulation::AT_WARP);
    return any;
}

static inline unsigned float_bits(float x) { unsigned bits; memcpy(&bits, &x, 4); return bits; }
static inline float bits_float(unsigned bits) { float x; memcpy(&x, &bits, 4); return x; }
static inline float exchange(float x, int mask) { return bits_float(exchange(float_bits(x), mask)); }
static inline float square_root(float x) { return sqrtf(x); }
static inline float power_of_two(float x) { return exp2f(x); }
static inline float multiply_add(float a, float b, float c) { return fmaf(a, b, c); }
static inline float maximum(float a, float b) { return fmaxf(a, b); }
static inline float minimum(float a, float b) { return fminf(a, b); }
static inline float round_to_even(float x) { return rintf(x); }
static inline int set_bits(unsigned x) { return __builtin_popcount(x); }
static inline void atomic_min(int* target, int x) { if (x < *target) *target = x; }

static inline float half_float(unsigned short bits)
{
    unsigned sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 31, mantissa = bits & 0x3FF;
    if (exponent == 0)
        return (sign ? -1.0f : 1.0f) * (float)mantissa * ldexpf(1, -24);
    return bits_float(sign | (exponent == 31 ? 0x7F800000u : (exponent + 112) << 23) | mantissa << 13);
}

static inline unsigned short float_half(float x)
{
    unsigned short sign = float_bits(x) >> 16 & 0x8000;
    float size = fabsf(x);
    if (!(size <= 3.4e38f))
        return sign | (x != x ? 0x7E00 : 0x7C00);
    if (size < ldexpf(1, -14))
        return sign | (unsigned short)rintf(size * ldexpf(1, 24)); // 1024 is the least normal number
    unsigned bits = float_bits(size);
    bits = (bits + 0xFFF + (bits >> 13 & 1)) >> 13; // ties to even
    return sign | (unsigned short)(bits - (112 << 10) > 0x7C00 ? 0x7C00 : bits - (112 << 10));
}

static inline unsigned short float_bfloat(float x)
{
    unsigned bits = float_bits(x);
    return (unsigned short)((bits & 0x7FFFFFFF) > 0x7F800000 ? 0x7FC0 : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static inline float bfloat_float(unsigned short bits) { return bits_float((unsigned)bits << 16); }
static inline unsigned pack_bf16(float x, float y) { return float_bfloat(x) | (unsigned)float_bfloat(y) << 16; }
static inline unsigned pack_f16(float x, float y) { return float_half(x) | (unsigned)float_half(y) << 16; }
static inline unsigned lower_halves(unsigned x, unsigned y) { return (x & 0xFFFF) | y << 16; }
static inline unsigned upper_halves(unsigned x, unsigned y) { return x >> 16 | (y & 0xFFFF0000); }
static inline void prefetch_line(const unsigned char*) {}

template <int SIZE>
static inline void load_aligned(const unsigned char* source, unsigned* words)
{
    if ((size_t)source % SIZE != 0)
        abort(); // a GPU would fault
    memcpy(words, source, SIZE);
}

static inline unsigned load_4_bytes(const unsigned char* source)
{
    unsigned word;
    load_aligned<4>(source, &word);
    return word;
}

static inline void load_8_bytes(const unsigned char* source, unsigned* words) { load_aligned<8>(source, words); }
static inline void load_16_bytes(const unsigned char* source, unsigned* words) { load_aligned<16>(source, words); }
static inline unsigned pick_bytes(unsigned x, unsigned selector)
{
    unsigned result = 0;
    for (int i = 0; i < 4; i++)
    {
        unsigned digit = selector >> 4 * i & 15;
        if (digit > 4)
            abort(); // not used
        result |= (digit < 4 ? x >> 8 * digit & 0xFF : 0) << 8 * i;
    }
    return result;
}

static inline unsigned select_bits(unsigned x, unsigned mask, unsigned bits) { return (x & mask) | bits; }

static inline unsigned multiply_add_bf16(unsigned a, unsigned b, unsigned c)
{
    unsigned result[2];
    for (int i = 0; i < 2; i++)
    {
        // The product of two numbers of 8 bits is exact in a float; the sum in a double. One rounding, as the instruction does.
        int shift = 16 * i;
        double sum = (double)(bfloat_float(a >> shift) * bfloat_float(b >> shift)) + bfloat_float(c >> shift);
        result[i] = float_bfloat((float)sum);
        if (bfloat_float(result[i]) != sum)
            abort(); // the kernels use it where it is exact
    }
    return result[0] | result[1] << 16;
}

namespace emulation
{
    // Element `half` of register r of A: row g or g + 8 by r % 2; k = 2t + half, and 8 more for the registers 2 and 3. Of B: k likewise by r.
    template <typename Number>
    static void multiply(float* sums, const unsigned* a, unsigned b0, unsigned b1, Number number)
    {
        Fragments* all = fragments[fibers[thread].products++ % 2];
        memcpy(all[thread].a, a, 16);
        all[thread].b[0] = b0;
        all[thread].b[1] = b1;
        stop_at(AT_WARP);
        const Fragments* warp = all + thread / 32 * 32;
        int g = thread % 32 / 4, t = thread % 4;
        for (int i = 0; i < 4; i++)
        {
            int row = g + i / 2 * 8, column = 2 * t + i % 2;
            for (int k = 0; k < 16; k++)
            {
                int shift = k % 2 * 16, owner = k % 8 / 2;
                unsigned x = warp[row % 8 * 4 + owner].a[row / 8 + k / 8 * 2] >> shift;
                unsigned y = warp[column * 4 + owner].b[k / 8] >> shift;
                sums[i] += number((unsigned short)x) * number((unsigned short)y);
            }
        }
    }
}

static inline void mma_bf16(float* sums, const unsigned* a, unsigned b0, unsigned b1) { emulation::multiply(sums, a, b0, b1, bfloat_float); }
static inline void mma_f16(float* sums, const unsigned* a, unsigned b0, unsigned b1) { emulation::multiply(sums, a, b0, b1, half_float); }
