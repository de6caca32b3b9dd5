// Rows of numbers to pages: statistics, scale and minimum (by clip search if wanted), codes, packing. Gives the bytes of Quantization/PageCodec, bit for
// bit, so it is compiled without contraction to fused multiply-adds (NVRTC: --fmad=false); where one is written, it is exact.
//
// Grid: x = tile of 32 groups, those of the keys first, y = KV head, z = page. A thread's lane is a group: a channel of keys over the page's tokens, or a
// token of values over up to 64 channels. The tile's numbers are read once, coalesced, and turned in shared memory so that a lane's are in a bank
// of its own. A sum runs over a group in ascending order, as the format says, which one thread does by itself; so a block has a warp for each of
// the five parts of the range that the search tries, and they choose among the ten candidates when all are there.
#include "page.cuh"

struct QuantiseArguments
{
    PageLayout layout;
    const u8 *keys, *values; // the first head's first row
    i64 key_head_bytes, key_row_bytes, value_head_bytes, value_row_bytes;
    const int *key_rows, *value_rows; // the row of each token; null: token t is row t. Page z begins with token z·P
    u8 *key_codes, *value_codes;      // the first head's sections of the first page; null: not wanted
    u8 *key_scales, *value_scales;
    i64 code_head_bytes, scale_head_bytes, code_page_bytes, scale_page_bytes;
    int* fault; // the least z·(D + P·G) + index of a group that no page can hold: channel, or D + token·G + group; the caller sets it to the largest int
    int type, clip_search;
};

#define LANES 32
#define SHRINKS 5
#define THREADS (LANES * SHRINKS)

struct Shared
{
    float numbers[128][LANES + 1];                   // [token or channel][group]
    float low[SHRINKS][LANES], high[SHRINKS][LANES]; // of each warp's share of the numbers
    int is_finite[SHRINKS][LANES];
    float error[2 * SHRINKS][LANES]; // of the candidates
    u32 bits[2 * SHRINKS][LANES];
    alignas(16) u8 codes[128][LANES];
};

struct Group
{
    const float* numbers; // LANES + 1 apart
    int count, max_code;
    __device__ float operator[](int i) const { return numbers[i * (LANES + 1)]; }
};

// A scale and a minimum as a page holds them: the scale's bits, and from bit 16 the minimum's.
struct Fit { float step, minimum; u32 bits; bool fits; };

__device__ __forceinline__ Fit decode(int scale_bytes, u32 bits)
{
    Fit fit;
    fit.bits = bits;
    fit.fits = true;
    if (scale_bytes == 1)
    {
        fit.step = byte_step(bits & 0xFFFF);
        fit.minimum = byte_minimum((short)(bits >> 16), fit.step);
    }
    else
    {
        fit.step = half_float((u16)bits);
        fit.minimum = half_float((u16)(bits >> 16));
    }
    return fit;
}

__device__ __forceinline__ Fit encode(int scale_bytes, float scale, float minimum)
{
    int step_bits, minimum_bits;
    bool fits;
    scale = scale > 0 ? scale : 0; // −0 becomes +0
    if (scale_bytes == 1)
    {
        float size = minimum < 0 ? -minimum : minimum;
        float least = larger(scale, size * (1.0f / 59));
        step_bits = greater(0, ((int)(float_bits(least) + (1 << 19)) >> 20) - ((127 - 17) << 3));
        int root = (int)smaller(127, round_to_even(16 * square_root(size / byte_step(step_bits))));
        minimum_bits = minimum < 0 ? -root : root;
        fits = step_bits <= 255;
    }
    else
    {
        step_bits = float_half(scale);
        minimum_bits = float_half(minimum);
        if (minimum_bits == 0x8000)
            minimum_bits = 0; // −0
        fits = step_bits < 0x7C00 && (minimum_bits & 0x7FFF) < 0x7C00;
    }
    Fit fit = decode(scale_bytes, (u32)step_bits | (u32)minimum_bits << 16);
    fit.fits = fits;
    return fit;
}

__device__ __forceinline__ Fit encode_range(int scale_bytes, float low, float high, int max_code)
{
    float part = max_code == 3 ? 1.0f / 3 : max_code == 7 ? 1.0f / 7 : 1.0f / 15;
    float from = scale_bytes == 1 ? low : half_float(float_half(low)) + 0.0f;
    return encode(scale_bytes, (high - from) * part, low);
}

// Divides by a step as often as wanted. A quotient is not the correctly rounded one in every bit, but it is on the same side of every k + ½:
// those are k + ½ times a step of at most 11 bits, exact numbers, the numbers beside them are farther off than 2^-40 of them, and the error is
// less than 2^-44 before the last rounding, which keeps the order.
struct Divider { float step, reciprocal; };

__device__ __forceinline__ Divider divider_of(const Fit& fit)
{
    Divider divider;
    divider.step = fit.step;
    divider.reciprocal = fit.step == 0 ? 0 : 1 / fit.step; // by a step of 0 all codes are 0
    return divider;
}

// The code of a number that lies x above the minimum, as a float. The sum with 1.5 · 2^23 rounds to an integer, ties to even. Of numbers that are
// not finite, which arise where x is beyond the range of a float, maximum and minimum take the other.
__device__ __forceinline__ float code_of(float x, const Divider& divider, int max_code)
{
    const float integer = 12582912;
    float quotient = minimum(x * divider.reciprocal, (float)max_code);
    quotient = multiply_add(multiply_add(-quotient, divider.step, x), divider.reciprocal, quotient);
    return minimum(maximum(quotient + integer, integer), integer + (float)max_code) - integer;
}

struct Sums { float error, code, code_code, x, code_x; };

template <bool ONLY_ERROR>
__device__ __forceinline__ Sums sums_of(const Group& group, const Fit& fit)
{
    Sums sums = {};
    Divider divider = divider_of(fit);
    for (int i = 0; i < group.count; i++)
    {
        float x = group[i] - fit.minimum, code = code_of(x, divider, group.max_code);
        float difference = group[i] - (code * fit.step + fit.minimum);
        sums.error += difference * difference;
        if (ONLY_ERROR)
            continue;
        sums.code += code;
        sums.code_code = multiply_add(code, code, sums.code_code); // integers
        sums.x += x;
        sums.code_x += code * x;
    }
    return sums;
}

// Quantization/ClipSearch, this warp's part of the range: the candidate of the range, and the one fitted to its codes by least squares.
__device__ __forceinline__ void try_range(int scale_bytes, const Group& group, float low, float high, Shared& s)
{
    int lane = THREAD % LANES, i = THREAD / LANES;
    float shrink = i == 0 ? 1.0f : i == 1 ? 0.9f : i == 2 ? 0.8f : i == 3 ? 0.7f : 0.6f;
    float cut = (high - low) * ((1 - shrink) * 0.5f), count = (float)group.count;
    s.error[2 * i][lane] = s.error[2 * i + 1][lane] = INFINITE;
    Fit fit = encode_range(scale_bytes, low + cut, high - cut, group.max_code);
    if (!fit.fits)
        return;
    Sums sums = sums_of<false>(group, fit);
    s.error[2 * i][lane] = sums.error;
    s.bits[2 * i][lane] = fit.bits;
    float variance = count * sums.code_code - sums.code * sums.code;
    float slope = (count * sums.code_x - sums.code * sums.x) / variance;
    if (!(variance > 0 && slope > 0))
        return;
    fit = encode(scale_bytes, slope, fit.minimum + (sums.x - slope * sums.code) / count);
    if (!fit.fits)
        return;
    s.error[2 * i + 1][lane] = sums_of<true>(group, fit).error;
    s.bits[2 * i + 1][lane] = fit.bits;
}

// Of equal errors the first wins.
__device__ __forceinline__ Fit choose(int scale_bytes, const Shared& s, Fit best)
{
    int lane = THREAD % LANES, found = -1;
    float least = INFINITE;
    for (int i = 0; i < 2 * SHRINKS; i++)
    {
        if (s.error[i][lane] < least)
        {
            least = s.error[i][lane];
            found = i;
        }
    }
    return found < 0 ? best : decode(scale_bytes, s.bits[found][lane]);
}

__device__ __forceinline__ void store_scale(u8* scales, int index, int scale_bytes, u32 bits)
{
    if (scale_bytes == 1)
        scales[index] = (u8)bits;
    else
        ((u16*)scales)[index] = (u16)bits;
}

// Bits `from` … `from` + BITS − 1 of sixteen neighbouring codes as a lane of BITS bits each.
template <int BITS>
__device__ __forceinline__ u32 gather_bits(const u8* codes, int from)
{
    u32 lane = 0;
#pragma unroll
    for (int i = 0; i < 16; i++)
        lane |= (codes[i] >> from & ((1u << BITS) - 1)) << BITS * i;
    return lane;
}

// A plane's lanes, `length` to a row: row `row` of low lanes; of high bits row `high_row` of 16 codes, of which two share a row of one-bit lanes.
struct Planes
{
    u32 *low, *high;
    int length, row, high_row, bits;
    bool clears_rest; // the other half of the last one-bit lanes holds no channel
};

__device__ __forceinline__ void store_lanes(const Planes& planes, int i, const u8* codes)
{
    struct alignas(16) { u8 x[16]; } lane = *(const decltype(lane)*)codes;
    planes.low[planes.row * planes.length + i] = gather_bits<2>(lane.x, 0);
    if (planes.bits == 2)
        return;
    if (planes.bits == 4)
    {
        planes.high[planes.high_row * planes.length + i] = gather_bits<2>(lane.x, 2);
        return;
    }
    u32 high = gather_bits<1>(lane.x, 2), *target = planes.high + planes.high_row / 2 * planes.length + i;
    if (planes.clears_rest)
        *target = high;
    else
        ((u16*)target)[planes.high_row % 2] = (u16)high;
}

KERNEL __launch_bounds__(THREADS) quantise_page(QuantiseArguments args)
{
    __shared__ Shared s;
    const PageLayout& layout = args.layout;
    int key_tiles = (layout.channels + LANES - 1) / LANES, head = BLOCK_Y, page = BLOCK_Z, warp = THREAD / LANES, lane = THREAD % LANES;
    bool is_key = BLOCK_X < key_tiles;
    int tile = is_key ? BLOCK_X : (BLOCK_X - key_tiles) / layout.groups;
    int value_group = is_key ? 0 : (BLOCK_X - key_tiles) % layout.groups, first = 64 * value_group;
    int index = tile * LANES + lane; // the lane's channel, or token
    if (!(is_key ? args.key_codes : args.value_codes))
        return;

    const u8* rows = is_key ? args.keys + head * args.key_head_bytes : args.values + head * args.value_head_bytes;
    const int* order = is_key ? args.key_rows : args.value_rows;
    i64 row_bytes = is_key ? args.key_row_bytes : args.value_row_bytes;
    int count = is_key ? layout.tokens : lesser(64, layout.head_dim - first); // numbers of a group
    int first_token = page * layout.tokens + (is_key ? 0 : tile * LANES);
    for (int t = warp; t < (is_key ? layout.tokens : LANES); t += SHRINKS)
    {
        const u8* row = rows + (order ? order[first_token + t] : first_token + t) * row_bytes;
        if (is_key)
            s.numbers[t][lane] = index < layout.head_dim ? load_number(row, index, args.type) : 0;
        else
        {
            for (int c = lane; c < count; c += LANES)
                s.numbers[c][t] = load_number(row, first + c, args.type);
        }
    }
    block_barrier();

    bool is_slow = is_key && layout.key_high_tiles >> index / 16 & 1;
    Group group;
    group.numbers = &s.numbers[0][lane];
    group.count = count;
    group.max_code = (1 << (is_key ? is_slow ? layout.slow_key_bits : 2 : layout.value_bits)) - 1;
    float low = INFINITE, high = -INFINITE;
    bool is_finite = true;
    for (int i = warp; i < count; i += SHRINKS)
    {
        is_finite &= (float_bits(group[i]) & 0x7FFFFFFF) < 0x7F800000;
        low = smaller(low, group[i]);
        high = larger(high, group[i]);
    }
    s.low[warp][lane] = low;
    s.high[warp][lane] = high;
    s.is_finite[warp][lane] = is_finite;
    block_barrier();
    for (int i = 0; i < SHRINKS; i++)
    {
        is_finite &= s.is_finite[i][lane] != 0;
        low = smaller(low, s.low[i][lane]);
        high = larger(high, s.high[i][lane]);
    }
    Fit fit = encode_range(layout.scale_bytes, low, high, group.max_code);
    bool fits = is_finite && fit.fits;
    if (args.clip_search)
    {
        if (fits)
            try_range(layout.scale_bytes, group, low, high, s);
        block_barrier();
        if (fits)
            fit = choose(layout.scale_bytes, s, fit);
    }

    Divider divider = divider_of(fit);
    int length = is_key ? layout.tokens : lesser(64, layout.channels - first);
    for (int i = warp; i < length; i += SHRINKS)
        s.codes[i][lane] = fits && i < count ? (u8)code_of(group[i] - fit.minimum, divider, group.max_code) : 0;
    bool is_stored = !is_key || index < layout.channels;
    if (warp == 0 && !fits)
        atomic_min(args.fault, page * (layout.head_dim + layout.tokens * layout.groups)
            + (is_key ? index : layout.head_dim + index * layout.groups + value_group));
    if (warp == 0 && is_stored)
    {
        u8* scales = (is_key ? args.key_scales : args.value_scales) + head * args.scale_head_bytes + page * args.scale_page_bytes;
        int at = is_key ? index : value_group * layout.tokens + index;
        store_scale(scales, at, layout.scale_bytes, fit.bits);
        store_scale(scales, at + (is_key ? layout.channels : layout.groups * layout.tokens), layout.scale_bytes, fit.bits >> 16);
    }
    block_barrier();

    u8* codes = (is_key ? args.key_codes : args.value_codes) + head * args.code_head_bytes + page * args.code_page_bytes;
    for (int i = THREAD; i < 2 * length; i += THREADS)
    {
        Planes planes;
        int half = i / length, at = i % length; // of the tile's lanes of 16 groups
        planes.row = planes.high_row = 2 * tile + half;
        if (is_key)
        {
            if (16 * planes.row >= layout.channels)
                continue;
            planes.bits = layout.key_high_tiles >> planes.row & 1 ? layout.slow_key_bits : 2;
            planes.low = (u32*)codes;
            planes.high = (u32*)(codes + layout.key_high_offset);
            planes.length = layout.tokens;
            planes.high_row = set_bits(layout.key_high_tiles & ((1u << planes.row) - 1));
            planes.clears_rest = planes.high_row % 2 == 0 && planes.high_row + 1 == set_bits(layout.key_high_tiles);
        }
        else
        {
            planes.bits = layout.value_bits;
            planes.low = (u32*)codes + first;
            planes.high = (u32*)(codes + layout.value_high_offset) + first;
            planes.length = layout.channels;
            planes.clears_rest = false;
        }
        store_lanes(planes, at, &s.codes[at][16 * half]);
    }
}
