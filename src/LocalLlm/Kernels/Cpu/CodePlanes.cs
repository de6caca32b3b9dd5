using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace LocalLlm.Kernels.Cpu;

/// <summary>A number known to the just-in-time compiler, for loops that it shall unroll into registers.</summary>
internal interface ICount
{
    static abstract int Value { get; }
}

internal readonly struct One : ICount
{
    public static int Value => 1;
}

internal readonly struct Two : ICount
{
    public static int Value => 2;
}

internal readonly struct Four : ICount
{
    public static int Value => 4;
}

/// <summary>
/// The inner loop of attention over packed codes: <c>sum[q][x] += Σ_i coefficient[q][i] · (code[i][x] − middle)</c> for up to four queries q at once, x
/// being neighbouring 32-bit lanes and i the codes inside a lane; the middle of the codes (1.5 of two bits, 0.5 of one) is taken off so that sums
/// stay small and lose few bits. Keys: x is a token, i a channel, the coefficients are the query times the channel's scale. Values: x is a channel,
/// i a token, the coefficients are probabilities times the token's scale. Codes are never written out as numbers.
/// </summary>
internal static unsafe class CodePlanes
{
    /// <summary>Codes of a lane in a plane of two bits.</summary>
    public const int TwoBitCodes = 16;

    /// <summary>Codes of a lane in a plane of one bit.</summary>
    public const int OneBitCodes = 32;

    /// <summary>Adds one plane.</summary>
    /// <param name="lanes">uint32 [<paramref name="laneRows"/>][<paramref name="rowLanes"/>].</param>
    /// <param name="rowLanes">Lanes of a row; a multiple of 16.</param>
    /// <param name="laneRows">Rows: codes divided by the codes of a lane.</param>
    /// <param name="bits">Bits of a code in this plane, 1 or 2.</param>
    /// <param name="weight">What a code counts: 1, or 4 for the upper bits.</param>
    /// <param name="coefficients">float [queries][<paramref name="coefficientStride"/>]; as many as the rows hold codes are read.</param>
    /// <param name="coefficientStride">Floats from one query's coefficients to the next's.</param>
    /// <param name="sums">float [queries][<paramref name="sumStride"/>]: <paramref name="count"/> of each are changed, from <paramref name="first"/> on.</param>
    /// <param name="sumStride">Floats from one query's sums to the next's.</param>
    /// <param name="queries">1, 2 or 4.</param>
    /// <param name="first">First lane of each row.</param>
    /// <param name="count">Lanes to add, a multiple of 16.</param>
    /// <param name="ahead">Bytes from a lane to the one that will be read next time in its place, to be fetched meanwhile; 0 for none.</param>
    /// <param name="overwrite">Set the sums instead of adding to them; planes of two bits only.</param>
    public static void Add<TLanes>(
        uint* lanes, int rowLanes, int laneRows, int bits, float weight, float* coefficients, int coefficientStride, float* sums, int sumStride, int queries, int first,
        int count, nint ahead = 0, bool overwrite = false)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        switch (queries)
        {
            case 4: AddColumns<TLanes, Four>(lanes, rowLanes, laneRows, bits, weight, coefficients, coefficientStride, sums, sumStride, first, count, ahead, overwrite); break;
            case 2: AddColumns<TLanes, Two>(lanes, rowLanes, laneRows, bits, weight, coefficients, coefficientStride, sums, sumStride, first, count, ahead, overwrite); break;
            default: AddColumns<TLanes, One>(lanes, rowLanes, laneRows, bits, weight, coefficients, coefficientStride, sums, sumStride, first, count, ahead, overwrite); break;
        }
    }

    private static void AddColumns<TLanes, TQueries>(
        uint* lanes, int rowLanes, int laneRows, int bits, float weight, float* coefficients, int coefficientStride, float* sums, int sumStride, int first, int count,
        nint ahead, bool overwrite)
        where TLanes : unmanaged, ILanes<TLanes>
        where TQueries : struct, ICount
    {
        lanes += first;
        sums += first;
        var done = 0;
        if (typeof(TLanes) == typeof(Lanes512))
        {
            for (; count - done >= 64; done += 64)
                AddTables<TQueries, Four>(lanes + done, rowLanes, laneRows, bits, weight, coefficients, coefficientStride, sums + done, sumStride, ahead, overwrite);
            for (; count - done >= 32; done += 32)
                AddTables<TQueries, Two>(lanes + done, rowLanes, laneRows, bits, weight, coefficients, coefficientStride, sums + done, sumStride, ahead, overwrite);
            for (; done < count; done += 16)
                AddTables<TQueries, One>(lanes + done, rowLanes, laneRows, bits, weight, coefficients, coefficientStride, sums + done, sumStride, ahead, overwrite);
            return;
        }

        for (; done < count; done += 2 * TLanes.Count)
        {
            if (bits == 2)
                AddTwoBits<TLanes, TQueries>(lanes + done, rowLanes, laneRows, weight, coefficients, coefficientStride, sums + done, sumStride, overwrite);
            else
                AddOneBit<TLanes, TQueries>(lanes + done, rowLanes, laneRows, weight, coefficients, coefficientStride, sums + done, sumStride);
        }
    }

    private static void AddTables<TQueries, TColumns>(
        uint* lanes, int rowLanes, int laneRows, int bits, float weight, float* coefficients, int coefficientStride, float* sums, int sumStride, nint ahead, bool overwrite)
        where TQueries : struct, ICount
        where TColumns : struct, ICount
    {
        if (bits == 2)
            AddPairTables<TQueries, TColumns>(lanes, rowLanes, laneRows, weight, coefficients, coefficientStride, sums, sumStride, ahead, overwrite);
        else
            AddQuadTables<TQueries, TColumns>(lanes, rowLanes, laneRows, weight, coefficients, coefficientStride, sums, sumStride);
    }

    // Four bits of a lane, two neighbouring codes (i, j), are an index into the table {a·i + b·j} that fills a register of 16 floats: one permutation looks up
    // 16 lanes and so does two multiplications and an addition for each. It reads the low four bits of its indexes only, so nothing is masked. The
    // same as: for each lane x, sum[x] += a · ((lane[x] & 3) − 1.5) + b · ((lane[x] >> 2 & 3) − 1.5); lane[x] >>= 4.
    private static void AddPairTables<TQueries, TColumns>(
        uint* lanes, int rowLanes, int laneRows, float weight, float* coefficients, int coefficientStride, float* sums, int sumStride, nint ahead, bool overwrite)
        where TQueries : struct, ICount
        where TColumns : struct, ICount
    {
        var low = Vector512.Create(-1.5f, -0.5f, 0.5f, 1.5f, -1.5f, -0.5f, 0.5f, 1.5f, -1.5f, -0.5f, 0.5f, 1.5f, -1.5f, -0.5f, 0.5f, 1.5f) * weight;
        var high = Vector512.Create(-1.5f, -1.5f, -1.5f, -1.5f, -0.5f, -0.5f, -0.5f, -0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 1.5f, 1.5f, 1.5f, 1.5f) * weight;
        var one = Vector512<float>.One;
        float* c0 = coefficients, c1 = c0 + coefficientStride, c2 = c1 + coefficientStride, c3 = c2 + coefficientStride;
        Vector512<float> s00 = default, s01 = default, s02 = default, s03 = default, s10 = default, s11 = default, s12 = default, s13 = default;
        Vector512<float> s20 = default, s21 = default, s22 = default, s23 = default, s30 = default, s31 = default, s32 = default, s33 = default;
        if (!overwrite)
        {
            s00 = Vector512.Load(sums);
            if (TColumns.Value > 1)
                s01 = Vector512.Load(sums + 16);
            if (TColumns.Value > 2)
                (s02, s03) = (Vector512.Load(sums + 32), Vector512.Load(sums + 48));
            if (TQueries.Value > 1)
            {
                s10 = Vector512.Load(sums + sumStride);
                if (TColumns.Value > 1)
                    s11 = Vector512.Load(sums + sumStride + 16);
                if (TColumns.Value > 2)
                    (s12, s13) = (Vector512.Load(sums + sumStride + 32), Vector512.Load(sums + sumStride + 48));
            }

            if (TQueries.Value > 2)
            {
                s20 = Vector512.Load(sums + (2 * sumStride));
                s30 = Vector512.Load(sums + (3 * sumStride));
                if (TColumns.Value > 1)
                    (s21, s31) = (Vector512.Load(sums + (2 * sumStride) + 16), Vector512.Load(sums + (3 * sumStride) + 16));
                if (TColumns.Value > 2)
                {
                    (s22, s23) = (Vector512.Load(sums + (2 * sumStride) + 32), Vector512.Load(sums + (2 * sumStride) + 48));
                    (s32, s33) = (Vector512.Load(sums + (3 * sumStride) + 32), Vector512.Load(sums + (3 * sumStride) + 48));
                }
            }
        }

        for (var row = 0; row < laneRows; row++, lanes += rowLanes)
        {
            Vector512<int> x0 = Vector512.Load((int*)lanes), x1 = default, x2 = default, x3 = default;
            if (TColumns.Value > 1)
                x1 = Vector512.Load((int*)lanes + 16);
            if (TColumns.Value > 2)
                (x2, x3) = (Vector512.Load((int*)lanes + 32), Vector512.Load((int*)lanes + 48));
            if (ahead != 0)
                CacheLines.Prefetch((byte*)lanes + ahead, TColumns.Value * sizeof(Vector512<int>));
            for (var pair = 0; pair < TwoBitCodes / 2; pair++)
            {
                var table = Avx512F.FusedMultiplyAdd(Vector512.Create(c0[1]), high, Vector512.Create(c0[0]) * low);
                c0 += 2;
                s00 += Avx512F.PermuteVar16x32(table, x0);
                if (TColumns.Value > 1)
                    s01 += Avx512F.PermuteVar16x32(table, x1);
                if (TColumns.Value > 2)
                {
                    s02 += Avx512F.PermuteVar16x32(table, x2);
                    s03 = Avx512F.FusedMultiplyAdd(Avx512F.PermuteVar16x32(table, x3), one, s03);
                }

                if (TQueries.Value > 1)
                {
                    table = Avx512F.FusedMultiplyAdd(Vector512.Create(c1[1]), high, Vector512.Create(c1[0]) * low);
                    c1 += 2;
                    s10 += Avx512F.PermuteVar16x32(table, x0);
                    if (TColumns.Value > 1)
                        s11 += Avx512F.PermuteVar16x32(table, x1);
                    if (TColumns.Value > 2)
                    {
                        s12 += Avx512F.PermuteVar16x32(table, x2);
                        s13 = Avx512F.FusedMultiplyAdd(Avx512F.PermuteVar16x32(table, x3), one, s13);
                    }
                }

                if (TQueries.Value > 2)
                {
                    table = Avx512F.FusedMultiplyAdd(Vector512.Create(c2[1]), high, Vector512.Create(c2[0]) * low);
                    c2 += 2;
                    s20 += Avx512F.PermuteVar16x32(table, x0);
                    if (TColumns.Value > 1)
                        s21 += Avx512F.PermuteVar16x32(table, x1);
                    if (TColumns.Value > 2)
                    {
                        s22 += Avx512F.PermuteVar16x32(table, x2);
                        s23 = Avx512F.FusedMultiplyAdd(Avx512F.PermuteVar16x32(table, x3), one, s23);
                    }

                    table = Avx512F.FusedMultiplyAdd(Vector512.Create(c3[1]), high, Vector512.Create(c3[0]) * low);
                    c3 += 2;
                    s30 += Avx512F.PermuteVar16x32(table, x0);
                    if (TColumns.Value > 1)
                        s31 += Avx512F.PermuteVar16x32(table, x1);
                    if (TColumns.Value > 2)
                    {
                        s32 += Avx512F.PermuteVar16x32(table, x2);
                        s33 = Avx512F.FusedMultiplyAdd(Avx512F.PermuteVar16x32(table, x3), one, s33);
                    }
                }

                x0 >>>= 4;
                if (TColumns.Value > 1)
                    x1 >>>= 4;
                if (TColumns.Value > 2)
                {
                    x2 >>>= 4;
                    x3 >>>= 4;
                }
            }
        }

        s00.Store(sums);
        if (TColumns.Value > 1)
            s01.Store(sums + 16);
        if (TColumns.Value > 2)
        {
            s02.Store(sums + 32);
            s03.Store(sums + 48);
        }

        if (TQueries.Value > 1)
        {
            s10.Store(sums + sumStride);
            if (TColumns.Value > 1)
                s11.Store(sums + sumStride + 16);
            if (TColumns.Value > 2)
            {
                s12.Store(sums + sumStride + 32);
                s13.Store(sums + sumStride + 48);
            }
        }

        if (TQueries.Value > 2)
        {
            s20.Store(sums + (2 * sumStride));
            s30.Store(sums + (3 * sumStride));
            if (TColumns.Value > 1)
            {
                s21.Store(sums + (2 * sumStride) + 16);
                s31.Store(sums + (3 * sumStride) + 16);
            }

            if (TColumns.Value > 2)
            {
                s22.Store(sums + (2 * sumStride) + 32);
                s23.Store(sums + (2 * sumStride) + 48);
                s32.Store(sums + (3 * sumStride) + 32);
                s33.Store(sums + (3 * sumStride) + 48);
            }
        }
    }

    // As the pairs above, with four neighbouring one-bit codes as the index.
    private static void AddQuadTables<TQueries, TColumns>(
        uint* lanes, int rowLanes, int laneRows, float weight, float* coefficients, int coefficientStride, float* sums, int sumStride)
        where TQueries : struct, ICount
        where TColumns : struct, ICount
    {
        var bit0 = Vector512.Create(-0.5f, 0.5f, -0.5f, 0.5f, -0.5f, 0.5f, -0.5f, 0.5f, -0.5f, 0.5f, -0.5f, 0.5f, -0.5f, 0.5f, -0.5f, 0.5f) * weight;
        var bit1 = Vector512.Create(-0.5f, -0.5f, 0.5f, 0.5f, -0.5f, -0.5f, 0.5f, 0.5f, -0.5f, -0.5f, 0.5f, 0.5f, -0.5f, -0.5f, 0.5f, 0.5f) * weight;
        var bit2 = Vector512.Create(-0.5f, -0.5f, -0.5f, -0.5f, 0.5f, 0.5f, 0.5f, 0.5f, -0.5f, -0.5f, -0.5f, -0.5f, 0.5f, 0.5f, 0.5f, 0.5f) * weight;
        var bit3 = Vector512.Create(-0.5f, -0.5f, -0.5f, -0.5f, -0.5f, -0.5f, -0.5f, -0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f) * weight;
        for (var query = 0; query < TQueries.Value; query++, coefficients += coefficientStride, sums += sumStride)
        {
            Vector512<float> s0 = Vector512.Load(sums), s1 = default, s2 = default, s3 = default;
            if (TColumns.Value > 1)
                s1 = Vector512.Load(sums + 16);
            if (TColumns.Value > 2)
                (s2, s3) = (Vector512.Load(sums + 32), Vector512.Load(sums + 48));
            var c = coefficients;
            var rowStart = (int*)lanes;
            for (var row = 0; row < laneRows; row++, rowStart += rowLanes)
            {
                Vector512<int> x0 = Vector512.Load(rowStart), x1 = default, x2 = default, x3 = default;
                if (TColumns.Value > 1)
                    x1 = Vector512.Load(rowStart + 16);
                if (TColumns.Value > 2)
                    (x2, x3) = (Vector512.Load(rowStart + 32), Vector512.Load(rowStart + 48));
                for (var quad = 0; quad < OneBitCodes / 4; quad++, c += 4)
                {
                    var table = Avx512F.FusedMultiplyAdd(Vector512.Create(c[1]), bit1, Vector512.Create(c[0]) * bit0);
                    table = Avx512F.FusedMultiplyAdd(Vector512.Create(c[2]), bit2, table);
                    table = Avx512F.FusedMultiplyAdd(Vector512.Create(c[3]), bit3, table);
                    s0 += Avx512F.PermuteVar16x32(table, x0);
                    x0 >>>= 4;
                    if (TColumns.Value > 1)
                    {
                        s1 += Avx512F.PermuteVar16x32(table, x1);
                        x1 >>>= 4;
                    }

                    if (TColumns.Value > 2)
                    {
                        s2 += Avx512F.PermuteVar16x32(table, x2);
                        s3 += Avx512F.PermuteVar16x32(table, x3);
                        x2 >>>= 4;
                        x3 >>>= 4;
                    }
                }
            }

            s0.Store(sums);
            if (TColumns.Value > 1)
                s1.Store(sums + 16);
            if (TColumns.Value > 2)
            {
                s2.Store(sums + 32);
                s3.Store(sums + 48);
            }
        }
    }

    // Two vectors of lanes, up to four queries: the codes become numbers once for all queries, in registers only.
    private static void AddTwoBits<TLanes, TQueries>(
        uint* lanes, int rowLanes, int laneRows, float weight, float* coefficients, int coefficientStride, float* sums, int sumStride, bool overwrite)
        where TLanes : unmanaged, ILanes<TLanes>
        where TQueries : struct, ICount
    {
        var factor = TLanes.Broadcast(weight);
        TLanes s00 = TLanes.Zero, s01 = TLanes.Zero, s10 = TLanes.Zero, s11 = TLanes.Zero;
        TLanes s20 = TLanes.Zero, s21 = TLanes.Zero, s30 = TLanes.Zero, s31 = TLanes.Zero;
        var c = coefficients;
        for (var row = 0; row < laneRows; row++, lanes += rowLanes)
        {
            var (x0, x1) = (TLanes.LoadBits(lanes), TLanes.LoadBits(lanes + TLanes.Count));
            for (var code = 0; code < TwoBitCodes; code++, c++)
            {
                var (n0, n1) = (TLanes.TwoBits(x0), TLanes.TwoBits(x1));
                (x0, x1) = (TLanes.ShiftRight(x0, 2), TLanes.ShiftRight(x1, 2));
                var a = TLanes.Broadcast(c[0]);
                (s00, s01) = (TLanes.MultiplyAdd(a, n0, s00), TLanes.MultiplyAdd(a, n1, s01));
                if (TQueries.Value > 1)
                {
                    a = TLanes.Broadcast(c[coefficientStride]);
                    (s10, s11) = (TLanes.MultiplyAdd(a, n0, s10), TLanes.MultiplyAdd(a, n1, s11));
                }

                if (TQueries.Value > 2)
                {
                    a = TLanes.Broadcast(c[2 * coefficientStride]);
                    (s20, s21) = (TLanes.MultiplyAdd(a, n0, s20), TLanes.MultiplyAdd(a, n1, s21));
                    a = TLanes.Broadcast(c[3 * coefficientStride]);
                    (s30, s31) = (TLanes.MultiplyAdd(a, n0, s30), TLanes.MultiplyAdd(a, n1, s31));
                }
            }
        }

        AddTo(sums, s00, s01, factor, overwrite);
        if (TQueries.Value > 1)
            AddTo(sums + sumStride, s10, s11, factor, overwrite);
        if (TQueries.Value > 2)
        {
            AddTo(sums + (2 * sumStride), s20, s21, factor, overwrite);
            AddTo(sums + (3 * sumStride), s30, s31, factor, overwrite);
        }
    }

    private static void AddOneBit<TLanes, TQueries>(
        uint* lanes, int rowLanes, int laneRows, float weight, float* coefficients, int coefficientStride, float* sums, int sumStride)
        where TLanes : unmanaged, ILanes<TLanes>
        where TQueries : struct, ICount
    {
        var factor = TLanes.Broadcast(weight);
        for (var query = 0; query < TQueries.Value; query++, coefficients += coefficientStride, sums += sumStride)
        {
            var (s0, s1) = (TLanes.Zero, TLanes.Zero);
            float* c = coefficients;
            var rowStart = lanes;
            for (var row = 0; row < laneRows; row++, rowStart += rowLanes)
            {
                var (x0, x1) = (TLanes.LoadBits(rowStart), TLanes.LoadBits(rowStart + TLanes.Count));
                for (var code = 0; code < OneBitCodes; code++, c++)
                {
                    var a = TLanes.Broadcast(c[0]);
                    (s0, s1) = (TLanes.MultiplyAdd(a, TLanes.OneBit(x0), s0), TLanes.MultiplyAdd(a, TLanes.OneBit(x1), s1));
                    (x0, x1) = (TLanes.ShiftRight(x0, 1), TLanes.ShiftRight(x1, 1));
                }
            }

            AddTo(sums, s0, s1, factor, overwrite: false);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddTo<TLanes>(float* sums, TLanes s0, TLanes s1, TLanes factor, bool overwrite) where TLanes : unmanaged, ILanes<TLanes>
    {
        TLanes.Store(overwrite ? s0 * factor : TLanes.MultiplyAdd(s0, factor, TLanes.Load(sums)), sums);
        TLanes.Store(overwrite ? s1 * factor : TLanes.MultiplyAdd(s1, factor, TLanes.Load(sums + TLanes.Count)), sums + TLanes.Count);
    }
}
