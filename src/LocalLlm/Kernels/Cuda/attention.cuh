// What decode_attention and merge_attention are told. Mirrors the structures in AttentionArguments.cs, member for member.
#ifndef LOCALLLM_ATTENTION_CUH
#define LOCALLLM_ATTENTION_CUH
#include "page.cuh"

// Where the keys or the values of a run lie. Packed: data and scales are the first head's section of the first page.
struct Source
{
    const u8* data;
    i64 head_bytes, step_bytes; // to the next KV head; to the next token, or page
    const u8* scales;
    i64 scale_head_bytes, scale_step_bytes;
    int is_packed, type;
};

// Consecutive tokens that lie together, in tiles: pages, or up to tile_tokens rows.
struct Run
{
    Source keys, values;
    const int* positions; // [tokens]; null: consecutive from first_position on
    int first_position, tokens, tile_tokens, tiles;
};

struct Sequence
{
    const u8* queries; // [count][Hq][D]
    i64 query_token_bytes, query_head_bytes;
    u8* outputs; // [count][Hq][D], contiguous
    int count, position;
    int first_part, parts;
};

// Tiles that one block attends to: of one run, and of those after it where they do not end there. Its state begins at float `state`: [Hkv][count·group][D' + 2].
struct Part
{
    i64 state;
    int sequence, run, first_tile, tiles;
};

struct AttentionArguments
{
    PageLayout layout;
    int kv_heads, group, type, window;
    float scale;
    const Sequence* sequences;
    const Run* runs;
    const Part* parts;
    float* states;
};

// A state's row: D' sums of probability · value, the sum of the probabilities, and the highest score in units of log2.
#define STATE_EXTRA 2

#endif
