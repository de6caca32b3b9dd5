using System.Runtime.InteropServices;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Quantization;

namespace LocalLlm.Kernels.Cuda;

/// <summary>What the kernels of attention are told; mirrors attention.cuh. Addresses are of the device's memory.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct AttentionArguments
{
    /// <summary>The layout of all packed pages.</summary>
    public DevicePageLayout Layout;

    /// <summary>Hkv.</summary>
    public int KvHeads;

    /// <summary>Query heads of a KV head.</summary>
    public int Group;

    /// <summary>The type of queries and outputs.</summary>
    public NumberType Type;

    /// <summary>Positions that a query sees, its own included.</summary>
    public int Window;

    /// <summary>Factor of q·k.</summary>
    public float Scale;

    /// <summary><see cref="DeviceSequence"/>[].</summary>
    public nint Sequences;

    /// <summary><see cref="DeviceRun"/>[].</summary>
    public nint Runs;

    /// <summary><see cref="DevicePart"/>[].</summary>
    public nint Parts;

    /// <summary>The parts' states, float.</summary>
    public nint States;
}

/// <summary>What the kernels need of a <see cref="PageLayout"/>; mirrors page.cuh.</summary>
[StructLayout(LayoutKind.Sequential)]
internal readonly struct DevicePageLayout(PageLayout layout)
{
    /// <summary>P.</summary>
    public readonly int Tokens = layout.Tokens;

    /// <summary>D.</summary>
    public readonly int HeadDim = layout.HeadDim;

    /// <summary>D'.</summary>
    public readonly int Channels = layout.Channels;

    /// <summary>G.</summary>
    public readonly int Groups = layout.Groups;

    /// <summary>Bits of a value's code.</summary>
    public readonly int ValueBits = layout.ValueBits;

    /// <summary>Bits of a key's code in the tiles of <see cref="KeyHighTiles"/>; the others have 2.</summary>
    public readonly int SlowKeyBits = layout.SlowKeyBits;

    /// <summary>Bit i: channels 16·i … 16·i + 15 have bits in the high plane.</summary>
    public readonly uint KeyHighTiles = HighTiles(layout);

    /// <summary>Bytes from the first key code.</summary>
    public readonly int KeyHighOffset = layout.KeyHighOffset;

    /// <summary>Bytes from the first value code.</summary>
    public readonly int ValueHighOffset = layout.ValueHighOffset - layout.ValueOffset;

    /// <summary>Bytes of a scale or minimum.</summary>
    public readonly int ScaleBytes = layout.ScaleElementBytes;

    private static uint HighTiles(PageLayout layout)
    {
        var tiles = 0u;
        for (var tile = 0; tile < layout.Channels / PageLayout.LaneCodes; tile++)
            tiles |= layout.IsKeyHigh(tile) ? 1u << tile : 0;
        return tiles;
    }
}

/// <summary>Where the keys or the values of a run lie: a <see cref="KvSource"/> for a kernel.</summary>
[StructLayout(LayoutKind.Sequential)]
internal readonly struct DeviceSource(KvSource source)
{
    /// <summary>The first head's rows, or its section of the first page.</summary>
    public readonly nint Data = source.Data;

    /// <summary>Bytes to the next KV head.</summary>
    public readonly long HeadBytes = source.HeadBytes;

    /// <summary>Bytes to the next token, or page.</summary>
    public readonly long StepBytes = source.StepBytes;

    /// <summary>Packed: the section's first scale.</summary>
    public readonly nint Scales = source.Scales;

    /// <summary>Packed: bytes to the next KV head's scales.</summary>
    public readonly long ScaleHeadBytes = source.ScaleHeadBytes;

    /// <summary>Packed: bytes to the next page's scales.</summary>
    public readonly long ScaleStepBytes = source.ScaleStepBytes;

    /// <summary>1 for packed codes.</summary>
    public readonly int IsPacked = source.IsPacked ? 1 : 0;

    /// <summary>The type of rows.</summary>
    public readonly NumberType Type = source.Type;
}

/// <summary>A <see cref="KvRun"/> for a kernel. That a query sees no fresh token after its own follows from the positions.</summary>
[StructLayout(LayoutKind.Sequential)]
internal readonly struct DeviceRun(KvRun run)
{
    /// <summary>The keys.</summary>
    public readonly DeviceSource Keys = new(run.Keys);

    /// <summary>The values.</summary>
    public readonly DeviceSource Values = new(run.Values);

    /// <summary>int32 [Tokens], or 0.</summary>
    public readonly nint Positions = run.Positions;

    /// <summary>The position of the first token where there are no positions.</summary>
    public readonly int FirstPosition = run.FirstPosition;

    /// <summary>Tokens of all tiles.</summary>
    public readonly int Tokens = run.Tokens;

    /// <summary>Tokens of a tile.</summary>
    public readonly int TileTokens = run.TileTokens;

    /// <summary>Tiles.</summary>
    public readonly int Tiles = run.Tiles;
}

/// <summary>One sequence's queries and outputs.</summary>
[StructLayout(LayoutKind.Sequential)]
internal readonly struct DeviceSequence(in AttentionQueries queries, int firstPart, int parts)
{
    /// <summary>[Count][Hq][D].</summary>
    public readonly nint Queries = queries.Queries;

    /// <summary>Bytes to the next token's queries.</summary>
    public readonly long QueryTokenBytes = queries.QueryTokenBytes;

    /// <summary>Bytes to the next head's query.</summary>
    public readonly long QueryHeadBytes = queries.QueryHeadBytes;

    /// <summary>[Count][Hq][D], contiguous.</summary>
    public readonly nint Outputs = queries.Outputs;

    /// <summary>Queries.</summary>
    public readonly int Count = queries.Count;

    /// <summary>Position of the first query.</summary>
    public readonly int Position = queries.Position;

    /// <summary>The first of its parts.</summary>
    public readonly int FirstPart = firstPart;

    /// <summary>Its parts.</summary>
    public readonly int Parts = parts;
}

/// <summary>Tiles that one block attends to: of one run, and of those after it where they do not end there.</summary>
/// <param name="State">The first float of its states, [Hkv][rows][D' + 2].</param>
/// <param name="Sequence">Index of the sequence.</param>
/// <param name="Run">Index of the first run.</param>
/// <param name="FirstTile">First tile of that run.</param>
/// <param name="Tiles">Tiles.</param>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct DevicePart(long State, int Sequence, int Run, int FirstTile, int Tiles);
