using System.Runtime.InteropServices;
using LocalLlm.Kernels.Cpu;

namespace LocalLlm.Kernels.Cuda;

/// <summary>What append_rows is told; mirrors append_rows.cu. Addresses are of the device's memory.</summary>
/// <param name="Copies"><see cref="DeviceRowCopy"/>[].</param>
/// <param name="Heads">Hkv.</param>
/// <param name="HeadDim">D.</param>
/// <param name="Type">The rows' type.</param>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct AppendArguments(nint Copies, int Heads, int HeadDim, NumberType Type)
{
    /// <summary>Tokens of a block.</summary>
    public const int BlockTokens = 16;
}

/// <summary>Rows to copy, or to look at for numbers that are not finite.</summary>
/// <param name="Source">The first head's first row.</param>
/// <param name="Target">Where it goes; 0 to look only.</param>
/// <param name="SourceHeadBytes">Bytes to the next KV head.</param>
/// <param name="SourceTokenBytes">Bytes to the next row.</param>
/// <param name="TargetHeadBytes">Bytes to the next KV head.</param>
/// <param name="TargetTokenBytes">Bytes to the next row.</param>
/// <param name="Fault">int32: receives the least ((token·Hkv + head)·D + channel)·3 + kind, 0 for NaN, 1 for ∞, 2 for −∞; 0 to copy only.</param>
/// <param name="Tokens">Rows of a head.</param>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct DeviceRowCopy(
    nint Source, nint Target, long SourceHeadBytes, long SourceTokenBytes, long TargetHeadBytes, long TargetTokenBytes, nint Fault, long Tokens);

/// <summary>What remove_rows is told; mirrors remove_rows.cu.</summary>
/// <param name="Rows">The first head's first row; a head's rows follow each other directly.</param>
/// <param name="HeadBytes">Bytes to the next KV head.</param>
/// <param name="RowWords">Words of 4 bytes of a row.</param>
/// <param name="First">The first removed row.</param>
/// <param name="Step">Distance from one removed row to the next.</param>
/// <param name="Removed">How many are removed.</param>
/// <param name="Count">How many rows there are.</param>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct RemoveArguments(nint Rows, long HeadBytes, int RowWords, int First, int Step, int Removed, int Count);

/// <summary>What deal_values is told; mirrors deal_values.cu.</summary>
/// <param name="Layout">The layout.</param>
/// <param name="Sparse">The values of P tokens; changed.</param>
/// <param name="Fresh">The values of the next P tokens.</param>
/// <param name="Page">Receives P of them.</param>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct DealArguments(DevicePageLayout Layout, DeviceSection Sparse, DeviceSection Fresh, DeviceSection Page);
