using System.Runtime.InteropServices;
using LocalLlm.Kernels.Cpu;

namespace LocalLlm.Kernels.Cuda;

/// <summary>What quantise_page is told; mirrors quantise_page.cu. Addresses are of the device's memory.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct QuantiseArguments
{
    /// <summary>Groups of a block.</summary>
    public const int BlockGroups = 32;

    /// <summary>Threads of a block: one for each group and part of the range that clip search tries.</summary>
    public const int Threads = 5 * BlockGroups;

    /// <summary>The page's layout.</summary>
    public DevicePageLayout Layout;

    /// <summary>The first head's first row of keys, and of values.</summary>
    public nint Keys, Values;

    /// <summary>Bytes to the next KV head, and to the next row.</summary>
    public long KeyHeadBytes, KeyRowBytes, ValueHeadBytes, ValueRowBytes;

    /// <summary>int32 [pages · P]: the row of each token; 0 where token t is row t. A page begins where the one before it ends.</summary>
    public nint KeyRows, ValueRows;

    /// <summary>The first head's section of the first page's codes; 0 where it is not wanted.</summary>
    public nint KeyCodes, ValueCodes;

    /// <summary>The first head's section of scales.</summary>
    public nint KeyScales, ValueScales;

    /// <summary>Bytes to the next KV head's codes and scales, and to the next page's.</summary>
    public long CodeHeadBytes, ScaleHeadBytes, CodePageBytes, ScalePageBytes;

    /// <summary>
    /// int32, <see cref="int.MaxValue"/> before: the least index of a group that no page can hold, which is a key's channel, or D + token·G + group, and
    /// D + P·G more for each page before.
    /// </summary>
    public nint Fault;

    /// <summary>The type of the rows.</summary>
    public NumberType Type;

    /// <summary>1 to seek each group's best scale and minimum.</summary>
    public int ClipSearch;

    /// <summary>Blocks for a head of a page: tiles of the keys' channels, then of the values' tokens, group by group.</summary>
    public readonly int Blocks =>
        ((Layout.Channels + BlockGroups - 1) / BlockGroups) + (Layout.Tokens / BlockGroups * Layout.Groups);
}
