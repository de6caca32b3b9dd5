// The kernels' sources, once for every specialisation, as functions of a library that the tests load.
#include "emulation.h"
#include "attention.cuh"
#include "mma.cuh"

#define ROWS 1
#define CHANNELS 64
namespace r1c64 {
#include "decode_attention.cu"
}
#undef CHANNELS
#define CHANNELS 128
namespace r1c128 {
#include "decode_attention.cu"
}
#undef CHANNELS
#define CHANNELS 256
namespace r1c256 {
#include "decode_attention.cu"
}
#undef ROWS
#undef CHANNELS
#define ROWS 2
#define CHANNELS 64
namespace r2c64 {
#include "decode_attention.cu"
}
#undef CHANNELS
#define CHANNELS 128
namespace r2c128 {
#include "decode_attention.cu"
}
#undef CHANNELS
#define CHANNELS 256
namespace r2c256 {
#include "decode_attention.cu"
}
#undef ROWS
#undef CHANNELS
#define ROWS 4
#define CHANNELS 64
namespace r4c64 {
#include "decode_attention.cu"
}
#undef CHANNELS
#define CHANNELS 128
namespace r4c128 {
#include "decode_attention.cu"
}
#undef CHANNELS
#define CHANNELS 256
namespace r4c256 {
#include "decode_attention.cu"
}
#undef ROWS
#undef CHANNELS
#define ROWS 8
#define CHANNELS 64
namespace r8c64 {
#include "decode_attention.cu"
}
#undef CHANNELS
#define CHANNELS 128
namespace r8c128 {
#include "decode_attention.cu"
}
#undef CHANNELS
#define CHANNELS 256
namespace r8c256 {
#include "decode_attention.cu"
}
#undef ROWS
#undef CHANNELS
#undef THREADS
#undef GROUPS
#define ROWS 8
#define CHANNELS 64
namespace t8c64 {
#include "tile_attention.cu"
}
#undef ROWS
#undef CHANNELS
#define ROWS 8
#define CHANNELS 128
namespace t8c128 {
#include "tile_attention.cu"
}
#undef ROWS
#undef CHANNELS
#define ROWS 8
#define CHANNELS 256
namespace t8c256 {
#include "tile_attention.cu"
}
#undef ROWS
#undef CHANNELS
#define ROWS 16
#define CHANNELS 64
namespace t16c64 {
#include "tile_attention.cu"
}
#undef ROWS
#undef CHANNELS
#define ROWS 16
#define CHANNELS 128
namespace t16c128 {
#include "tile_attention.cu"
}
#undef ROWS
#undef CHANNELS
#define ROWS 16
#define CHANNELS 256
namespace t16c256 {
#include "tile_attention.cu"
}
#undef ROWS
#undef CHANNELS
#define ROWS 64
#define CHANNELS 64
namespace t64c64 {
#include "tile_attention.cu"
}
#undef ROWS
#undef CHANNELS
#define ROWS 64
#define CHANNELS 128
namespace t64c128 {
#include "tile_attention.cu"
}
#undef ROWS
#undef CHANNELS
#define ROWS 32
#define CHANNELS 256
namespace t32c256 {
#include "tile_attention.cu"
}
#undef ROWS
#undef CHANNELS
#undef THREADS
#include "merge_attention.cu"
#include "quantise_page.cu"
#include "append_rows.cu"
#include "remove_rows.cu"
#include "deal_values.cu"

typedef void (*Kernel)(const void* args);

template <typename T, void (*KERNEL_OF)(T)> static void call(const void* args) { KERNEL_OF(*(const T*)args); }

struct Specialisation
{
    const char* name;
    int rows, channels;
    Kernel kernel;
};

#define ATTEND(rows, channels) { "decode_attention", rows, channels, call<AttentionArguments, r##rows##c##channels::decode_attention> }
#define TILES(rows, channels) { "tile_attention", rows, channels, call<AttentionArguments, t##rows##c##channels::tile_attention> }
static const Specialisation specialisations[] = {
    ATTEND(1, 64), ATTEND(1, 128), ATTEND(1, 256), ATTEND(2, 64), ATTEND(2, 128), ATTEND(2, 256),
    ATTEND(4, 64), ATTEND(4, 128), ATTEND(4, 256), ATTEND(8, 64), ATTEND(8, 128), ATTEND(8, 256),
    TILES(8, 64), TILES(8, 128), TILES(8, 256), TILES(16, 64), TILES(16, 128), TILES(16, 256), TILES(64, 64), TILES(64, 128), TILES(32, 256),
    { "merge_attention", 0, 0, call<AttentionArguments, merge_attention> },
    { "quantise_page", 0, 0, call<QuantiseArguments, quantise_page> },
    { "append_rows", 0, 0, call<AppendArguments, append_rows> },
    { "remove_rows", 0, 0, call<RemoveArguments, remove_rows> },
    { "deal_values", 0, 0, call<DealArguments, deal_values> },
};

// 0: done; 1: threads wait for others for ever; 2: no such kernel.
extern "C" int emulate(const char* name, int rows, int channels, const void* args, int x, int y, int z, int threads, int descending)
{
    for (const Specialisation& s : specialisations)
    {
        if (!strcmp(s.name, name) && s.rows == rows && s.channels == channels)
            return emulation::run_grid(x, y, z, threads, descending != 0, [=] { s.kernel(args); }) ? 0 : 1;
    }
    return 2;
}
