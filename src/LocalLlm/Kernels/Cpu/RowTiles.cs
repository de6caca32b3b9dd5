namespace LocalLlm.Kernels.Cpu;

/// <summary>Attention to tokens that lie as rows of numbers: the two products, and the conversion of rows to floats.</summary>
internal static unsafe class RowTiles
{
    /// <summary>Copies rows as floats, their ends filled up with zeros.</summary>
    /// <param name="type">The rows' type.</param>
    /// <param name="source">The first row.</param>
    /// <param name="rowBytes">Bytes from one row to the next.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="count">Numbers of a row.</param>
    /// <param name="target">Receives float [rows][<paramref name="stride"/>].</param>
    /// <param name="stride">At least <paramref name="count"/>.</param>
    public static void Widen<TLanes>(NumberType type, byte* source, nint rowBytes, int rows, int count, float* target, int stride)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        for (var row = 0; row < rows; row++, source += rowBytes, target += stride)
        {
            switch (type)
            {
                case NumberType.Float32: Widen<TLanes, Float32Numbers>(source, count, target, stride); break;
                case NumberType.BFloat16: Widen<TLanes, BFloat16Numbers>(source, count, target, stride); break;
                default: Widen<TLanes, Float16Numbers>(source, count, target, stride); break;
            }
        }
    }

    private static void Widen<TLanes, TNumbers>(byte* source, int count, float* target, int stride)
        where TLanes : unmanaged, ILanes<TLanes>
        where TNumbers : struct, INumbers
    {
        var i = 0;
        for (; i <= count - TLanes.Count; i += TLanes.Count)
            TLanes.Store(TNumbers.Load<TLanes>(source + (i * TNumbers.Bytes)), target + i);
        for (; i < count; i++)
            target[i] = TNumbers.Read(source + (i * TNumbers.Bytes));
        for (; i < stride; i++)
            target[i] = 0;
    }

    /// <summary>Sets <c>scores[q][t] = Σ_c query[q][c] · key[t][c]</c>.</summary>
    /// <param name="keys">float [<paramref name="tokens"/>][<paramref name="keyStride"/>].</param>
    /// <param name="keyStride">Floats from one key to the next.</param>
    /// <param name="tokens">Tokens.</param>
    /// <param name="channels">Numbers of a key, a multiple of 16.</param>
    /// <param name="query">float [queries][<paramref name="queryStride"/>].</param>
    /// <param name="queryStride">Floats from one query to the next.</param>
    /// <param name="scores">float [queries][<paramref name="scoreStride"/>]; up to the next multiple of 4 is written.</param>
    /// <param name="scoreStride">Floats from one query's scores to the next's.</param>
    /// <param name="queries">1, 2 or 4.</param>
    public static void Scores<TLanes>(
        float* keys, int keyStride, int tokens, int channels, float* query, int queryStride, float* scores, int scoreStride, int queries)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        for (; queries > 1; queries -= 2, query += 2 * queryStride, scores += 2 * scoreStride)
            Scores<TLanes, Two>(keys, keyStride, tokens, channels, query, queryStride, scores, scoreStride);
        if (queries == 1)
            Scores<TLanes, One>(keys, keyStride, tokens, channels, query, queryStride, scores, scoreStride);
    }

    // Four tokens and up to two queries at a time; the lanes are channels.
    private static void Scores<TLanes, TQueries>(
        float* keys, int keyStride, int tokens, int channels, float* query, int queryStride, float* scores, int scoreStride)
        where TLanes : unmanaged, ILanes<TLanes>
        where TQueries : struct, ICount
    {
        for (var token = 0; token < tokens; token += 4)
        {
            // Beyond the last token its key is taken again: what that gives is written behind the scores, where there is room for a multiple of 16.
            var last = tokens - 1;
            float* k0 = keys + ((nint)token * keyStride), k1 = keys + ((nint)Math.Min(token + 1, last) * keyStride);
            float* k2 = keys + ((nint)Math.Min(token + 2, last) * keyStride), k3 = keys + ((nint)Math.Min(token + 3, last) * keyStride);
            TLanes s00 = TLanes.Zero, s01 = TLanes.Zero, s02 = TLanes.Zero, s03 = TLanes.Zero;
            TLanes s10 = TLanes.Zero, s11 = TLanes.Zero, s12 = TLanes.Zero, s13 = TLanes.Zero;
            for (var c = 0; c < channels; c += TLanes.Count)
            {
                TLanes a = TLanes.Load(k0 + c), b = TLanes.Load(k1 + c), d = TLanes.Load(k2 + c), e = TLanes.Load(k3 + c), q = TLanes.Load(query + c);
                s00 = TLanes.MultiplyAdd(q, a, s00);
                s01 = TLanes.MultiplyAdd(q, b, s01);
                s02 = TLanes.MultiplyAdd(q, d, s02);
                s03 = TLanes.MultiplyAdd(q, e, s03);
                if (TQueries.Value > 1)
                {
                    q = TLanes.Load(query + queryStride + c);
                    s10 = TLanes.MultiplyAdd(q, a, s10);
                    s11 = TLanes.MultiplyAdd(q, b, s11);
                    s12 = TLanes.MultiplyAdd(q, d, s12);
                    s13 = TLanes.MultiplyAdd(q, e, s13);
                }
            }

            TLanes.StoreSums(s00, s01, s02, s03, scores + token);
            if (TQueries.Value > 1)
                TLanes.StoreSums(s10, s11, s12, s13, scores + scoreStride + token);
        }
    }

    /// <summary>Adds <c>sums[q][c] += Σ_t weight[q][t] · value[t][c]</c>.</summary>
    /// <param name="values">float [<paramref name="tokens"/>][<paramref name="valueStride"/>].</param>
    /// <param name="valueStride">Floats from one value to the next.</param>
    /// <param name="tokens">Tokens.</param>
    /// <param name="channels">Numbers of a value, a multiple of 16.</param>
    /// <param name="weights">float [queries][<paramref name="weightStride"/>].</param>
    /// <param name="weightStride">Floats from one query's weights to the next's.</param>
    /// <param name="sums">float [queries][<paramref name="sumStride"/>].</param>
    /// <param name="sumStride">Floats from one query's sums to the next's.</param>
    /// <param name="queries">1, 2 or 4.</param>
    public static void AddValues<TLanes>(
        float* values, int valueStride, int tokens, int channels, float* weights, int weightStride, float* sums, int sumStride, int queries)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        switch (queries)
        {
            case 4: AddValues<TLanes, Four>(values, valueStride, tokens, channels, weights, weightStride, sums, sumStride); break;
            case 2: AddValues<TLanes, Two>(values, valueStride, tokens, channels, weights, weightStride, sums, sumStride); break;
            default: AddValues<TLanes, One>(values, valueStride, tokens, channels, weights, weightStride, sums, sumStride); break;
        }
    }

    // Two vectors of channels and up to four queries at a time, over all tokens.
    private static void AddValues<TLanes, TQueries>(
        float* values, int valueStride, int tokens, int channels, float* weights, int weightStride, float* sums, int sumStride)
        where TLanes : unmanaged, ILanes<TLanes>
        where TQueries : struct, ICount
    {
        for (var c = 0; c < channels; c += 2 * TLanes.Count)
        {
            // The channels are a multiple of 16: with 16 lanes the last vector may stand alone, and is then computed twice.
            var second = c + TLanes.Count < channels ? TLanes.Count : 0;
            float* v = values + c, w = weights, s = sums + c;
            TLanes s00 = TLanes.Load(s), s01 = TLanes.Load(s + second);
            TLanes s10 = TLanes.Zero, s11 = TLanes.Zero, s20 = TLanes.Zero, s21 = TLanes.Zero, s30 = TLanes.Zero, s31 = TLanes.Zero;
            if (TQueries.Value > 1)
                (s10, s11) = (TLanes.Load(s + sumStride), TLanes.Load(s + sumStride + second));
            if (TQueries.Value > 2)
            {
                (s20, s21) = (TLanes.Load(s + (2 * sumStride)), TLanes.Load(s + (2 * sumStride) + second));
                (s30, s31) = (TLanes.Load(s + (3 * sumStride)), TLanes.Load(s + (3 * sumStride) + second));
            }

            for (var token = 0; token < tokens; token++, v += valueStride, w++)
            {
                TLanes a = TLanes.Load(v), b = TLanes.Load(v + second), p = TLanes.Broadcast(w[0]);
                s00 = TLanes.MultiplyAdd(p, a, s00);
                s01 = TLanes.MultiplyAdd(p, b, s01);
                if (TQueries.Value > 1)
                {
                    p = TLanes.Broadcast(w[weightStride]);
                    s10 = TLanes.MultiplyAdd(p, a, s10);
                    s11 = TLanes.MultiplyAdd(p, b, s11);
                }

                if (TQueries.Value > 2)
                {
                    p = TLanes.Broadcast(w[2 * weightStride]);
                    s20 = TLanes.MultiplyAdd(p, a, s20);
                    s21 = TLanes.MultiplyAdd(p, b, s21);
                    p = TLanes.Broadcast(w[3 * weightStride]);
                    s30 = TLanes.MultiplyAdd(p, a, s30);
                    s31 = TLanes.MultiplyAdd(p, b, s31);
                }
            }

            TLanes.Store(s00, s);
            TLanes.Store(s01, s + second);
            if (TQueries.Value > 1)
            {
                TLanes.Store(s10, s + sumStride);
                TLanes.Store(s11, s + sumStride + second);
            }

            if (TQueries.Value > 2)
            {
                TLanes.Store(s20, s + (2 * sumStride));
                TLanes.Store(s21, s + (2 * sumStride) + second);
                TLanes.Store(s30, s + (3 * sumStride));
                TLanes.Store(s31, s + (3 * sumStride) + second);
            }
        }
    }
}
