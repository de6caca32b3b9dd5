// Rows of numbers to one page: statistics, scale and minimum (by clip search if wanted), codes, packing. Gives the bytes of
// Quantization/PageCodec, bit for
// bit, so it is compiled without contraction to fused multiply-adds (NVRTC: --fmad=false).
//
// Grid: x = tile of 32 groups, those of the keys first, y = KV head. A block is one warp, a thread is a group: a channel of keys over the page's
// tokens, or a
// token of values over up to 64 channels. The tile's numbers are read once, coalesced, and turned in shared memory so that a thread's are in a
// bank of
// its own. A sum runs over a group in ascending order, as the format says, which one thread does by itself. The codes that threads 16·i … hold of one
// number make a lane of a plane, put together by exchanges within the warp.
#include "page.cuh"

struct QuantiseArguments
{
    PageLayout layout;
    const u8 *keys, *values; // the first head's first row
    i64 key_head_bytes, key_row_bytes, value_head_bytes, value_row_bytes;
    const int *key_rows, *value_rows; // the row of each token; null: token t is row t
    u8 *key_codes, *value_codes;      // the first head's sections; null: not wanted
    u8 *key_scales, *value_scales;
    i64 code_head_bytes, scale_head_bytes;
    int* fault; // the least index of a group that no page can hold: channel, or D + token·G + group; the caller sets it to the largest int
    int type, clip_search;
};

#define WARP 32

struct Group
{
    const float* numbers; // WARP + 1 apart
    int count, max_code;
    __device__ float operator[](int i) const { return numbers[i * (WARP + 1)]; }
};

struct Fit { float step, minimum; int step_bits, minimum_bits; bool fits; };

__device__ __forceinline__ Fit encode(int scale_bytes, float scale, float minimum)
{
    Fit fit;
    scale = scale > 0 ? scale : 0; // −0 becomes +0
    if (scale_bytes == 1)
    {
        float size = minimum < 0 ? -minimum : minimum;
        float least = larger(scale, size * (1.0f / 59));
        fit.step_bits = greater(0, ((int)(float_bits(least) + (1 << 19)) >> 20) - ((127 - 17) << 3));
        fit.step = byte_step(fit.step_bits);
        int root = (int)smaller(127, round_to_even(16 * square_root(size / fit.step)));
        fit.minimum_bits = minimum < 0 ? -root : root;
        fit.minimum = byte_minimum(fit.minimum_bits, fit.step);
        fit.fits = fit.step_bits <= 255;
    }
    else
    {
        fit.step_bits = float_half(scale);
        fit.minimum_bits = float_half(minimum);
        if (fit.minimum_bits == 0x8000)
            fit.minimum_bits = 0; // −0
        fit.step = half_float((u16)fit.step_bits);
        fit.minimum = half_float((u16)fit.minimum_bits);
        fit.fits = fit.step_bits < 0x7C00 && (fit.minimum_bits & 0x7FFF) < 0x7C00;
    }
    return fit;
}

__device__ __forceinline__ Fit encode_range(int scale_bytes, float low, float high, int max_code)
{
    float part = max_code == 3 ? 1.0f / 3 : max_code == 7 ? 1.0f / 7 : 1.0f / 15;
    float from = scale_bytes == 1 ? low : half_float(float_half(low)) + 0.0f;
    return encode(scale_bytes, (high - from) * part, low);
}

__device__ __forceinline__ int code_of(float x, const Fit& fit, int max_code)
{
    float divisor = fit.step == 0 ? INFINITE : fit.step;
    return (int)smaller(larger(round_to_even((x - fit.minimum) / divisor), 0), (float)max_code);
}

struct Sums { float error, code, code_code, x, code_x; };

__device__ __forceinline__ Sums sums_of(const Group& group, const Fit& fit)
{
    Sums sums = {};
    for (int i = 0; i < group.count; i++)
    {
        float code = (float)code_of(group[i], fit, group.max_code), x = group[i] - fit.minimum;
        float difference = group[i] - (code * fit.step + fit.minimum);
        sums.error += difference * difference;
        sums.code += code;
        sums.code_code += code * code;
        sums.x += x;
        sums.code_x += code * x;
    }
    return sums;
}

// Quantization/ClipSearch.
__device__ __forceinline__ Fit search(int scale_bytes, const Group& group, float low, float high, Fit best)
{
    float least = INFINITE, width = high - low, count = (float)group.count;
    for (int i = 0; i < 5; i++)
    {
        float shrink = i == 0 ? 1.0f : i == 1 ? 0.9f : i == 2 ? 0.8f : i == 3 ? 0.7f : 0.6f;
        float cut = width * ((1 - shrink) * 0.5f);
        Fit candidate = encode_range(scale_bytes, low + cut, high - cut, group.max_code);
        if (!candidate.fits)
            continue;
        Sums sums = sums_of(group, candidate);
        if (sums.error < least)
        {
            least = sums.error;
            best = candidate;
        }
        float variance = count * sums.code_code - sums.code * sums.code;
        float slope = (count * sums.code_x - sums.code * sums.x) / variance;
        if (!(variance > 0 && slope > 0))
            continue;
        candidate = encode(scale_bytes, slope, candidate.minimum + (sums.x - slope * sums.code) / count);
        if (!candidate.fits)
            continue;
        sums = sums_of(group, candidate);
        if (sums.error < least)
        {
            least = sums.error;
            best = candidate;
        }
    }
    return best;
}

__device__ __forceinline__ void store_scale(u8* scales, int index, int scale_bytes, int bits)
{
    if (scale_bytes == 1)
        scales[index] = (u8)bits;
    else
        ((u16*)scales)[index] = (u16)bits;
}

// A plane's lanes, `length` to a row: row `row` of low lanes; of high bits row `high_row` of 16 codes, of which two share a row of one-bit lanes.
struct Planes
{
    u32 *low, *high;
    int length, row, high_row, bits;
    bool is_written, clears_rest; // the other half of the last one-bit lanes holds no channel
};

__device__ __forceinline__ void pack(const Planes& planes, int i, int code)
{
    int lane = THREAD % 16;
    u32 low = (u32)(code & 3) << 2 * lane, high = (u32)(code >> 2) << (planes.bits == 3 ? lane : 2 * lane);
    for (int mask = 1; mask < 16; mask *= 2)
    {
        low |= exchange(low, mask);
        high |= exchange(high, mask);
    }
    if (lane != 0 || !planes.is_written)
        return;
    planes.low[planes.row * planes.length + i] = low;
    if (planes.bits == 4)
        planes.high[planes.high_row * planes.length + i] = high;
    else if (planes.bits == 3 && planes.clears_rest)
        planes.high[planes.high_row / 2 * planes.length + i] = high;
    else if (planes.bits == 3)
        ((u16*)(planes.high + planes.high_row / 2 * planes.length + i))[planes.high_row % 2] = (u16)high;
}

KERNEL __launch_bounds__(WARP) quantise_page(QuantiseArguments args)
{
    __shared__ float numbers[128][WARP + 1];
    const PageLayout& layout = args.layout;
    int key_tiles = (layout.channels + WARP - 1) / WARP, head = BLOCK_Y, lane = THREAD;
    bool is_key = BLOCK_X < key_tiles;
    int tile = is_key ? BLOCK_X : (BLOCK_X - key_tiles) / layout.groups;
    int value_group = is_key ? 0 : (BLOCK_X - key_tiles) % layout.groups, first = 64 * value_group;
    int index = tile * WARP + lane; // the thread's channel, or token
    if (!(is_key ? args.key_codes : args.value_codes))
        return;

    Group group;
    group.numbers = &numbers[0][lane];
    Planes planes;
    if (is_key)
    {
        const u8* rows = args.keys + head * args.key_head_bytes;
        for (int t = 0; t < layout.tokens; t++)
        {
            const u8* row = rows + (args.key_rows ? args.key_rows[t] : t) * args.key_row_bytes;
            numbers[t][lane] = index < layout.head_dim ? load_number(row, index, args.type) : 0;
        }
        bool is_slow = layout.key_high_tiles >> index / 16 & 1;
        u8* codes = args.key_codes + head * args.code_head_bytes;
        planes.bits = is_slow ? layout.slow_key_bits : 2;
        planes.low = (u32*)codes;
        planes.high = (u32*)(codes + layout.key_high_offset);
        planes.length = layout.tokens;
        planes.row = index / 16;
        planes.high_row = set_bits(layout.key_high_tiles & ((1u << index / 16) - 1));
        planes.is_written = index < layout.channels;
        planes.clears_rest = planes.high_row % 2 == 0 && planes.high_row + 1 == set_bits(layout.key_high_tiles);
        group.count = layout.tokens;
    }
    else
    {
        const u8* rows = args.values + head * args.value_head_bytes;
        group.count = lesser(64, layout.head_dim - first);
        for (int t = 0; t < WARP; t++)
        {
            int token = tile * WARP + t;
            const u8* row = rows + (args.value_rows ? args.value_rows[token] : token) * args.value_row_bytes;
            for (int c = lane; c < group.count; c += WARP)
                numbers[c][t] = load_number(row, first + c, args.type);
        }
        u8* codes = args.value_codes + head * args.code_head_bytes;
        planes.bits = layout.value_bits;
        planes.low = (u32*)codes + first;
        planes.high = (u32*)(codes + layout.value_high_offset) + first;
        planes.length = layout.channels;
        planes.row = planes.high_row = index / 16;
        planes.is_written = true;
        planes.clears_rest = false;
    }
    group.max_code = (1 << planes.bits) - 1;
    block_barrier();

    float low = INFINITE, high = -INFINITE;
    bool is_finite = true;
    for (int i = 0; i < group.count; i++)
    {
        is_finite &= (float_bits(group[i]) & 0x7FFFFFFF) < 0x7F800000;
        low = smaller(low, group[i]);
        high = larger(high, group[i]);
    }
    Fit fit = encode_range(layout.scale_bytes, low, high, group.max_code);
    bool fits = is_finite && fit.fits;
    if (!fits)
        atomic_min(args.fault, is_key ? index : layout.head_dim + index * layout.groups + value_group);
    else if (args.clip_search)
        fit = search(layout.scale_bytes, group, low, high, fit);

    if (planes.is_written)
    {
        u8* scales = (is_key ? args.key_scales : args.value_scales) + head * args.scale_head_bytes;
        int at = is_key ? index : value_group * layout.tokens + index;
        store_scale(scales, at, layout.scale_bytes, fit.step_bits);
        store_scale(scales, at + (is_key ? layout.channels : layout.groups * layout.tokens), layout.scale_bytes, fit.minimum_bits);
    }
    int length = is_key ? layout.tokens : lesser(64, layout.channels - first);
    for (int i = 0; i < length; i++)
        pack(planes, i, fits && i < group.count ? code_of(group[i], fit, group.max_code) : 0);
}
