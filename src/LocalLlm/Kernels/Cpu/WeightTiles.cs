using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace LocalLlm.Kernels.Cpu;

/// <summary>
/// Dot products of a few rows of a weight matrix with a few rows of inputs, sums kept in registers. Written out, for registers have no index.
/// Columns beyond a whole vector are summed one by one, so that nothing past a row is read. Every tile adds a product's terms in the same order, one sum of
/// vectors for each, so that a row's results do not depend on how many rows of inputs there are.
/// </summary>
internal static unsafe class WeightTiles<TLanes, TNumbers>
    where TLanes : unmanaged, ILanes<TLanes>
    where TNumbers : struct, INumbers
{
    private const int CacheLineBytes = 64;

    private static int VectorBytes
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => TLanes.Count * TNumbers.Bytes;
    }

    /// <summary>4 rows of weights, 1 of inputs.</summary>
    /// <param name="w">[4, K], rows <paramref name="stride"/> bytes apart.</param>
    /// <param name="stride">Bytes.</param>
    /// <param name="x">[K] float32.</param>
    /// <param name="k">K.</param>
    /// <param name="sums">[4] float32.</param>
    /// <param name="next">The rows that come next, to be fetched meanwhile; any address.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Four(byte* w, nint stride, float* x, int k, float* sums, byte* next)
    {
        byte* w0 = w, w1 = w + stride, w2 = w1 + stride, w3 = w2 + stride;
        TLanes a0 = TLanes.Zero, a1 = a0, a2 = a0, a3 = a0;
        var i = 0;
        for (; i <= k - (2 * TLanes.Count); i += 2 * TLanes.Count)
        {
            next = Prefetch(next, 8 * VectorBytes);

            var x0 = TLanes.Load(x + i);
            var x1 = TLanes.Load(x + i + TLanes.Count);
            a0 = TLanes.MultiplyAdd(TNumbers.Load<TLanes>(w0), x0, a0);
            a1 = TLanes.MultiplyAdd(TNumbers.Load<TLanes>(w1), x0, a1);
            a2 = TLanes.MultiplyAdd(TNumbers.Load<TLanes>(w2), x0, a2);
            a3 = TLanes.MultiplyAdd(TNumbers.Load<TLanes>(w3), x0, a3);
            a0 = TLanes.MultiplyAdd(TNumbers.Load<TLanes>(w0 + VectorBytes), x1, a0);
            a1 = TLanes.MultiplyAdd(TNumbers.Load<TLanes>(w1 + VectorBytes), x1, a1);
            a2 = TLanes.MultiplyAdd(TNumbers.Load<TLanes>(w2 + VectorBytes), x1, a2);
            a3 = TLanes.MultiplyAdd(TNumbers.Load<TLanes>(w3 + VectorBytes), x1, a3);
            w0 += 2 * VectorBytes;
            w1 += 2 * VectorBytes;
            w2 += 2 * VectorBytes;
            w3 += 2 * VectorBytes;
        }

        if (i <= k - TLanes.Count)
        {
            var x0 = TLanes.Load(x + i);
            a0 = TLanes.MultiplyAdd(TNumbers.Load<TLanes>(w0), x0, a0);
            a1 = TLanes.MultiplyAdd(TNumbers.Load<TLanes>(w1), x0, a1);
            a2 = TLanes.MultiplyAdd(TNumbers.Load<TLanes>(w2), x0, a2);
            a3 = TLanes.MultiplyAdd(TNumbers.Load<TLanes>(w3), x0, a3);
            i += TLanes.Count;
        }

        Sum(a0, a1, a2, a3, sums);
        if (i < k)
            AddTails(w, stride, x, i, k, 1, sums);
    }

    /// <summary>4 rows of weights, 2 of inputs: <paramref name="x"/> [2, K], <paramref name="sums"/> [2, 4].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void FourByTwo(byte* w, nint stride, float* x, int k, float* sums, byte* next)
    {
        byte* w0 = w, w1 = w + stride, w2 = w1 + stride, w3 = w2 + stride;
        TLanes a0 = TLanes.Zero, a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
        var i = 0;
        for (; i <= k - TLanes.Count; i += TLanes.Count)
        {
            next = Prefetch(next, 4 * VectorBytes);

            var x0 = TLanes.Load(x + i);
            var x1 = TLanes.Load(x + k + i);
            var v = TNumbers.Load<TLanes>(w0);
            a0 = TLanes.MultiplyAdd(v, x0, a0);
            b0 = TLanes.MultiplyAdd(v, x1, b0);
            v = TNumbers.Load<TLanes>(w1);
            a1 = TLanes.MultiplyAdd(v, x0, a1);
            b1 = TLanes.MultiplyAdd(v, x1, b1);
            v = TNumbers.Load<TLanes>(w2);
            a2 = TLanes.MultiplyAdd(v, x0, a2);
            b2 = TLanes.MultiplyAdd(v, x1, b2);
            v = TNumbers.Load<TLanes>(w3);
            a3 = TLanes.MultiplyAdd(v, x0, a3);
            b3 = TLanes.MultiplyAdd(v, x1, b3);
            w0 += VectorBytes;
            w1 += VectorBytes;
            w2 += VectorBytes;
            w3 += VectorBytes;
        }

        Sum(a0, a1, a2, a3, sums);
        Sum(b0, b1, b2, b3, sums + 4);
        if (i < k)
            AddTails(w, stride, x, i, k, 2, sums);
    }

    /// <summary>4 rows of weights, 4 of inputs: <paramref name="x"/> [4, K], <paramref name="sums"/> [4, 4].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void FourByFour(byte* w, nint stride, float* x, int k, float* sums, byte* next)
    {
        byte* w0 = w, w1 = w + stride, w2 = w1 + stride, w3 = w2 + stride;
        float* xa = x, xb = x + k, xc = xb + k, xd = xc + k;
        TLanes a0 = TLanes.Zero, a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
        TLanes c0 = a0, c1 = a0, c2 = a0, c3 = a0, d0 = a0, d1 = a0, d2 = a0, d3 = a0;
        var i = 0;
        for (; i <= k - TLanes.Count; i += TLanes.Count)
        {
            next = Prefetch(next, 4 * VectorBytes);

            TLanes x0 = TLanes.Load(xa + i), x1 = TLanes.Load(xb + i), x2 = TLanes.Load(xc + i), x3 = TLanes.Load(xd + i);
            var v = TNumbers.Load<TLanes>(w0);
            a0 = TLanes.MultiplyAdd(v, x0, a0);
            b0 = TLanes.MultiplyAdd(v, x1, b0);
            c0 = TLanes.MultiplyAdd(v, x2, c0);
            d0 = TLanes.MultiplyAdd(v, x3, d0);
            v = TNumbers.Load<TLanes>(w1);
            a1 = TLanes.MultiplyAdd(v, x0, a1);
            b1 = TLanes.MultiplyAdd(v, x1, b1);
            c1 = TLanes.MultiplyAdd(v, x2, c1);
            d1 = TLanes.MultiplyAdd(v, x3, d1);
            v = TNumbers.Load<TLanes>(w2);
            a2 = TLanes.MultiplyAdd(v, x0, a2);
            b2 = TLanes.MultiplyAdd(v, x1, b2);
            c2 = TLanes.MultiplyAdd(v, x2, c2);
            d2 = TLanes.MultiplyAdd(v, x3, d2);
            v = TNumbers.Load<TLanes>(w3);
            a3 = TLanes.MultiplyAdd(v, x0, a3);
            b3 = TLanes.MultiplyAdd(v, x1, b3);
            c3 = TLanes.MultiplyAdd(v, x2, c3);
            d3 = TLanes.MultiplyAdd(v, x3, d3);
            w0 += VectorBytes;
            w1 += VectorBytes;
            w2 += VectorBytes;
            w3 += VectorBytes;
        }

        Sum(a0, a1, a2, a3, sums);
        Sum(b0, b1, b2, b3, sums + 4);
        Sum(c0, c1, c2, c3, sums + 8);
        Sum(d0, d1, d2, d3, sums + 12);
        if (i < k)
            AddTails(w, stride, x, i, k, 4, sums);
    }

    /// <summary>1 row of weights, 1 of inputs: for the rows of weights that make no 4.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float One(byte* w, float* x, int k)
    {
        TLanes a = TLanes.Zero, b = a;
        var i = 0;
        var p = w;
        for (; i <= k - (2 * TLanes.Count); i += 2 * TLanes.Count)
        {
            a = TLanes.MultiplyAdd(TNumbers.Load<TLanes>(p), TLanes.Load(x + i), a);
            b = TLanes.MultiplyAdd(TNumbers.Load<TLanes>(p + VectorBytes), TLanes.Load(x + i + TLanes.Count), b);
            p += 2 * VectorBytes;
        }

        var sum = TLanes.Sum(a + b);
        return i < k ? sum + Tail(w, x, i, k) : sum;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Sum(TLanes s0, TLanes s1, TLanes s2, TLanes s3, float* sums)
    {
        sums[0] = TLanes.Sum(s0);
        sums[1] = TLanes.Sum(s1);
        sums[2] = TLanes.Sum(s2);
        sums[3] = TLanes.Sum(s3);
    }

    // Apart from the sums of the lanes: a call while those are in registers makes the compiler store them to the stack in every turn of the loop.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void AddTails(byte* w, nint stride, float* x, int from, int k, int inputs, float* sums)
    {
        for (var i = 0; i < 4 * inputs; i++)
            sums[i] += Tail(w + (i % 4 * stride), x + ((nint)(i / 4) * k), from, k);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static float Tail(byte* w, float* x, int from, int k)
    {
        var sum = 0f;
        for (var i = from; i < k; i++)
            sum += TNumbers.Read(w + ((nint)i * TNumbers.Bytes)) * x[i];
        return sum;
    }

    // While 4 rows are multiplied the next 4 are asked for, in the order of their addresses: memory sees one long stream, where the loads
    // themselves are 4 streams a power of two apart, the worst there is for caches. As many bytes are asked for as are multiplied; the second-level
    // cache holds them until then. Asking for an address outside the matrix is harmless: it never faults.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static byte* Prefetch(byte* next, int bytes)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch1(next);
            if (bytes > CacheLineBytes)
                Sse.Prefetch1(next + CacheLineBytes);
            if (bytes > 2 * CacheLineBytes)
            {
                Sse.Prefetch1(next + (2 * CacheLineBytes));
                Sse.Prefetch1(next + (3 * CacheLineBytes));
            }

            if (bytes > 4 * CacheLineBytes)
            {
                Sse.Prefetch1(next + (4 * CacheLineBytes));
                Sse.Prefetch1(next + (5 * CacheLineBytes));
                Sse.Prefetch1(next + (6 * CacheLineBytes));
                Sse.Prefetch1(next + (7 * CacheLineBytes));
            }
        }

        return next + bytes;
    }
}
