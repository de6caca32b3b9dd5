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
#include "merge_attention.cu"
#include "quantise_page.cu"

// 0: done; 1: threads wait for others for ever; 2: no such kernel.
extern "C" int emulate_decode_attention(const AttentionArguments* args, int rows, int channels, int x, int y, int z, int descending)
{
    void (*kernel)(AttentionArguments) = nullptr;
    switch (rows * 1000 + channels)
    {
        case 1064: kernel = r1c64::decode_attention; break;
        case 1128: kernel = r1c128::decode_attention; break;
        case 1256: kernel = r1c256::decode_attention; break;
        case 2064: kernel = r2c64::decode_attention; break;
        case 2128: kernel = r2c128::decode_attention; break;
        case 2256: kernel = r2c256::decode_attention; break;
        case 4064: kernel = r4c64::decode_attention; break;
        case 4128: kernel = r4c128::decode_attention; break;
        case 4256: kernel = r4c256::decode_attention; break;
        case 8064: kernel = r8c64::decode_attention; break;
        case 8128: kernel = r8c128::decode_attention; break;
        case 8256: kernel = r8c256::decode_attention; break;
        default: return 2;
    }
    return emulation::run_grid(x, y, z, 128, descending != 0, [=] { kernel(*args); }) ? 0 : 1;
}

extern "C" int emulate_tile_attention(const AttentionArguments* args, int rows, int channels, int x, int y, int z, int descending)
{
    void (*kernel)(AttentionArguments) = nullptr;
    switch (rows * 1000 + channels)
    {
        case 8064: kernel = t8c64::tile_attention; break;
        case 8128: kernel = t8c128::tile_attention; break;
        case 8256: kernel = t8c256::tile_attention; break;
        case 16064: kernel = t16c64::tile_attention; break;
        case 16128: kernel = t16c128::tile_attention; break;
        case 16256: kernel = t16c256::tile_attention; break;
        case 64064: kernel = t64c64::tile_attention; break;
        case 64128: kernel = t64c128::tile_attention; break;
        case 32256: kernel = t32c256::tile_attention; break;
        default: return 2;
    }
    return emulation::run_grid(x, y, z, 128, descending != 0, [=] { kernel(*args); }) ? 0 : 1;
}

extern "C" int emulate_merge_attention(const AttentionArguments* args, int x, int y, int z, int descending)
{
    return emulation::run_grid(x, y, z, 128, descending != 0, [=] { merge_attention(*args); }) ? 0 : 1;
}

extern "C" int emulate_quantise_page(const QuantiseArguments* args, int x, int y, int descending)
{
    return emulation::run_grid(x, y, 1, WARP, descending != 0, [=] { quantise_page(*args); }) ? 0 : 1;
}
