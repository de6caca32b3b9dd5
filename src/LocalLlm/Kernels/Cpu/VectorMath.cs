using System.Runtime.CompilerServices;

namespace LocalLlm.Kernels.Cpu;

/// <summary>Functions of vectors that processors have no instruction for.</summary>
internal static class VectorMath
{
    /// <summary>e^x for x ≤ 0, to about 1e-7 relative; 0 where a float holds nothing smaller, for −∞ as well. NaN stays NaN.</summary>
    /// <remarks>x = n·ln 2 + r with |r| ≤ ln 2 / 2; e^r by its Taylor polynomial of degree 7, whose rest is below 2⁻²⁷; times 2ⁿ.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Exp<TLanes>(TLanes x) where TLanes : unmanaged, ILanes<TLanes>
    {
        x = TLanes.Max(TLanes.Broadcast(-200), x); // in this order NaN wins; e^−200 is 0, and −∞ would make NaN below
        var magic = TLanes.Broadcast(12582912f); // 1.5·2²³: adding it and taking it off rounds to a whole number
        var n = TLanes.MultiplyAdd(x, TLanes.Broadcast(1.44269504f), magic) - magic;
        var r = TLanes.MultiplyAdd(n, TLanes.Broadcast(-0.693359375f), x); // ln 2 in two parts, the first with few bits
        r = TLanes.MultiplyAdd(n, TLanes.Broadcast(2.12194440e-4f), r);
        var p = TLanes.MultiplyAdd(TLanes.Broadcast(1f / 5040), r, TLanes.Broadcast(1f / 720));
        p = TLanes.MultiplyAdd(p, r, TLanes.Broadcast(1f / 120));
        p = TLanes.MultiplyAdd(p, r, TLanes.Broadcast(1f / 24));
        p = TLanes.MultiplyAdd(p, r, TLanes.Broadcast(1f / 6));
        p = TLanes.MultiplyAdd(p, r, TLanes.Broadcast(0.5f));
        p = TLanes.MultiplyAdd(p, r, TLanes.Broadcast(1f));
        p = TLanes.MultiplyAdd(p, r, TLanes.Broadcast(1f));
        return TLanes.ScaleByPowerOfTwo(p, n);
    }
}
