using System.Runtime.InteropServices;

namespace LocalLlm.Kernels.Cuda;

/// <summary>The keys' or values' sections of a page's two records, of all KV heads.</summary>
/// <param name="Codes">The first head's first code.</param>
/// <param name="Scales">The first head's first scale.</param>
/// <param name="CodeHeadBytes">Bytes to the next KV head's codes.</param>
/// <param name="ScaleHeadBytes">Bytes to the next KV head's scales.</param>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct DeviceSection(nint Codes, nint Scales, long CodeHeadBytes, long ScaleHeadBytes);
