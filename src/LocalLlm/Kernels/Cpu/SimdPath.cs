using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace LocalLlm.Kernels.Cpu;

/// <summary>Which vectors a kernel uses.</summary>
internal enum SimdPath
{
    /// <summary><see cref="Lanes128"/>: portable, runs everywhere.</summary>
    Vector128,

    /// <summary><see cref="Lanes256"/>: AVX2 and FMA.</summary>
    Vector256,

    /// <summary><see cref="Lanes512"/>: AVX-512.</summary>
    Vector512,
}

/// <summary>Which paths this processor has.</summary>
internal static class SimdPaths
{
    /// <summary>The widest path that is supported, chosen once.</summary>
    public static readonly SimdPath Best = IsSupported(SimdPath.Vector512) ? SimdPath.Vector512
        : IsSupported(SimdPath.Vector256) ? SimdPath.Vector256
        : SimdPath.Vector128;

    /// <summary>All paths that are supported.</summary>
    public static IEnumerable<SimdPath> Supported => Enum.GetValues<SimdPath>().Where(IsSupported);

    /// <summary>Whether the processor has a path's instructions and they are not switched off (DOTNET_EnableAVX512 and the like).</summary>
    public static bool IsSupported(SimdPath path) => path switch
    {
        SimdPath.Vector512 => Vector512.IsHardwareAccelerated && Avx512F.IsSupported && Avx512BW.IsSupported,
        SimdPath.Vector256 => Avx2.IsSupported && Fma.IsSupported,
        _ => true,
    };

    /// <summary>The path, if the processor has it.</summary>
    /// <exception cref="NotSupportedException">It does not; the message says which it has.</exception>
    public static SimdPath Require(SimdPath path) => IsSupported(path)
        ? path
        : throw new NotSupportedException($"This processor does not have {path}: supported are {string.Join(", ", Supported)}.");
}
