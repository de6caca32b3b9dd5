using LocalLlm.Quantization;

namespace LocalLlm.Kernels.Cpu;

/// <summary>
/// Attention of the queries of one KV head to a range of tiles by online softmax (arXiv 1805.02867), without a dequantised copy of the pages. Single thread; the
/// result is a state that <see cref="Merge"/> joins with the states of other ranges. Arithmetic is float32.
/// </summary>
internal abstract unsafe class AttentionKernel
{
    /// <summary>The most tokens of a tile.</summary>
    public const int MaxTileTokens = 128;

    /// <summary>The most channels of a head.</summary>
    public const int MaxHeadDim = 256;

    /// <summary>Tokens of a tile of rows: their numbers as floats fit the second-level cache beside the queries.</summary>
    public const int RowTileTokens = 64;

    /// <summary>The fastest kernel of this processor.</summary>
    public static AttentionKernel Best { get; } = For(SimdPaths.Best);

    /// <summary>Which vectors it uses.</summary>
    public abstract SimdPath Path { get; }

    /// <summary>The kernel of a path.</summary>
    /// <exception cref="NotSupportedException">This processor does not have it.</exception>
    public static AttentionKernel For(SimdPath path) => SimdPaths.Require(path) switch
    {
        SimdPath.Vector512 => new AttentionKernel<Lanes512>(path),
        SimdPath.Vector256 => new AttentionKernel<Lanes256>(path),
        _ => new AttentionKernel<Lanes128>(path),
    };

    /// <summary>Channels of a head padded to whole lanes of 16.</summary>
    public static int Channels(int headDim) => (headDim + 15) & ~15;

    /// <summary>
    /// Floats of a state: for each query row, rows filled up to a multiple of 4, its output, a vector of partial sums for each value group's bias and one for its
    /// probabilities, and its highest score.
    /// </summary>
    public static int StateFloats(int rows, int headDim) => PaddedRows(rows) * (Channels(headDim) + (VectorFloats * (Groups(headDim) + 1)) + 1);

    /// <summary>Attends.</summary>
    /// <param name="queries">The queries; shapes are checked by the caller.</param>
    /// <param name="kvHead">Which KV head.</param>
    /// <param name="layout">The layout of packed pages; any if no run is packed.</param>
    /// <param name="runs">The sequence's tokens.</param>
    /// <param name="firstTile">First tile, counted over all runs.</param>
    /// <param name="tiles">Tiles, at least 1.</param>
    /// <param name="scratch">The calling thread's.</param>
    /// <param name="state">Receives <see cref="StateFloats"/> floats.</param>
    public abstract void Attend(
        in AttentionQueries queries, int kvHead, PageLayout? layout, ReadOnlySpan<KvRun> runs, int firstTile, int tiles, AttentionScratch scratch, float* state);

    /// <summary>Joins states over disjoint tokens and writes the outputs of one KV head. For each query at least one state must see a token.</summary>
    /// <param name="queries">The queries.</param>
    /// <param name="kvHead">Which KV head.</param>
    /// <param name="states">The states, one after the other; the first is changed.</param>
    /// <param name="count">How many.</param>
    public abstract void Merge(in AttentionQueries queries, int kvHead, float* states, int count);

    /// <summary>Floats of the widest vector.</summary>
    protected const int VectorFloats = 16;

    /// <summary>Query rows filled up to a multiple of 4.</summary>
    protected static int PaddedRows(int rows) => (rows + 3) & ~3;

    /// <summary>Value groups of a head.</summary>
    protected static int Groups(int headDim) => (headDim + PageLayout.GroupChannels - 1) / PageLayout.GroupChannels;
}

/// <inheritdoc/>
internal sealed unsafe class AttentionKernel<TLanes>(SimdPath path) : AttentionKernel
    where TLanes : unmanaged, ILanes<TLanes>
{
    /// <inheritdoc/>
    public override SimdPath Path { get; } = path;

    /// <inheritdoc/>
    public override void Attend(
        in AttentionQueries queries, int kvHead, PageLayout? layout, ReadOnlySpan<KvRun> runs, int firstTile, int tiles, AttentionScratch scratch, float* state)
    {
        scratch.Reserve(queries.Rows, queries.HeadDim);
        LoadQueries(queries, kvHead, scratch);
        var result = new State(state, queries);
        result.Clear();
        foreach (ref readonly var run in runs)
        {
            var runTiles = run.Tiles;
            for (var tile = Math.Max(0, firstTile); tile < runTiles && tile < firstTile + tiles; tile++)
                AttendTile(queries, kvHead, layout, run, tile, scratch, result);
            firstTile -= runTiles;
            if (firstTile + tiles <= 0)
                break;
        }
    }

    /// <inheritdoc/>
    public override void Merge(in AttentionQueries queries, int kvHead, float* states, int count)
    {
        var size = StateFloats(queries.Rows, queries.HeadDim);
        var first = new State(states, queries);
        for (var row = 0; row < queries.Rows; row++)
        {
            var highest = first.Highest[row];
            for (var i = 1; i < count; i++)
                highest = MathF.Max(highest, new State(states + ((nint)i * size), queries).Highest[row]);
            first.Raise(row, highest);
            for (var i = 1; i < count; i++)
            {
                var other = new State(states + ((nint)i * size), queries);
                if (!float.IsNegativeInfinity(other.Highest[row])) // else the query sees nothing in that part
                    first.Add(row, other, MathF.Exp(other.Highest[row] - highest));
            }

            WriteOutput(queries, kvHead, row, first);
        }
    }

    // float [rows][QueryStride], scaled; row i·g + h is query i of the group's head h. Rows up to a multiple of 4 are zeros.
    private static void LoadQueries(in AttentionQueries queries, int kvHead, AttentionScratch scratch)
    {
        var stride = scratch.QueryStride;
        var target = scratch.Queries;
        var source = (byte*)queries.Queries + (kvHead * queries.Group * queries.QueryHeadBytes);
        for (var query = 0; query < queries.Count; query++, target += queries.Group * stride)
        {
            RowTiles.Widen<TLanes>(
                queries.Type, source + (query * queries.QueryTokenBytes), queries.QueryHeadBytes, queries.Group, queries.HeadDim, target, stride);
        }

        new Span<float>(target, (PaddedRows(queries.Rows) - queries.Rows) * stride).Clear();
        var scale = TLanes.Broadcast(queries.Scale);
        for (var i = 0; i < queries.Rows * stride; i += TLanes.Count)
            TLanes.Store(TLanes.Load(scratch.Queries + i) * scale, scratch.Queries + i);
    }

    private static void AttendTile(
        in AttentionQueries queries, int kvHead, PageLayout? layout, in KvRun run, int tile, AttentionScratch scratch, in State state)
    {
        var first = tile * run.TileTokens;
        var tokens = Math.Min(run.TileTokens, run.Tokens - first);
        var padded = (tokens + 15) & ~15;
        var isWindowed = queries.Position + queries.Count > queries.SlidingWindow;
        var positions = (int*)run.Positions;
        if (isWindowed && (positions == null ? run.FirstPosition + first + tokens - 1 : positions[first + tokens - 1]) <= queries.Position - queries.SlidingWindow)
            return; // out of every query's window
        var keys = LoadKeys(queries, kvHead, layout, run.Keys, tile, first, tokens, scratch);
        var values = LoadValues(queries, kvHead, layout, run.Values, tile, first, tokens, scratch);

        var rows = queries.Rows;
        var bias = stackalloc float[4];
        for (var row = 0; row < rows;)
        {
            var left = rows - row;
            var count = left >= 3 ? 4 : left;
            var lastQuery = Math.Min(row + count - 1, rows - 1) / queries.Group;
            if (!run.IsFresh || first <= lastQuery)
            {
                Score(layout, run.Keys, keys, tokens, padded, row, count, scratch, bias);
                if (isWindowed || run.IsFresh)
                    Mask(queries, run, first, tokens, row, Math.Min(count, left), scratch.Scores);
                SoftMax(scratch.Scores, bias, tokens, padded, row, count, state);
                AddValues(layout, run.Values, values, tokens, padded, row, count, scratch, state);
            }

            row += count;
        }
    }

    // The tile's key codes, its scales being decoded into the scratch; or its key rows, float [tokens][channels].
    private static void* LoadKeys(
        in AttentionQueries queries, int kvHead, PageLayout? layout, in KvSource source, int tile, int first, int tokens, AttentionScratch scratch)
    {
        var channels = Channels(queries.HeadDim);
        if (!source.IsPacked)
            return LoadRows(source, kvHead, first, tokens, queries.HeadDim, channels, scratch.Keys);
        var scales = (byte*)source.Scales + (kvHead * source.ScaleHeadBytes) + (tile * source.ScaleStepBytes);
        CacheLines.Prefetch(scales + source.ScaleStepBytes, 2 * channels * layout!.ScaleElementBytes);
        PageScales.DecodeKeys<TLanes>(layout, scales, scratch.KeyScales, scratch.KeyScales + channels);
        return (byte*)source.Data + (kvHead * source.HeadBytes) + (tile * source.StepBytes);
    }

    private static void* LoadValues(
        in AttentionQueries queries, int kvHead, PageLayout? layout, in KvSource source, int tile, int first, int tokens, AttentionScratch scratch)
    {
        if (!source.IsPacked)
            return LoadRows(source, kvHead, first, tokens, queries.HeadDim, Channels(queries.HeadDim), scratch.Values);
        var count = layout!.Groups * layout.Tokens;
        var scales = (byte*)source.Scales + (kvHead * source.ScaleHeadBytes) + (tile * source.ScaleStepBytes);
        CacheLines.Prefetch(scales + source.ScaleStepBytes, 2 * count * layout.ScaleElementBytes);
        PageScales.Decode<TLanes>(
            layout.Scales, scales, scales + (count * layout.ScaleElementBytes), count, layout.ValueMaxCode, scratch.ValueScales, scratch.ValueScales + count);
        return (byte*)source.Data + (kvHead * source.HeadBytes) + (tile * source.StepBytes);
    }

    private static float* LoadRows(in KvSource source, int kvHead, int first, int tokens, int headDim, int channels, float* target)
    {
        var rows = (byte*)source.Data + (kvHead * source.HeadBytes) + (first * source.StepBytes);
        RowTiles.Widen<TLanes>(source.Type, rows, source.StepBytes, tokens, headDim, target, channels);
        return target;
    }

    // scores[i][t] + bias[i] for `count` query rows from `row` on.
    private static void Score(PageLayout? layout, in KvSource source, void* keys, int tokens, int padded, int row, int count, AttentionScratch scratch,
        float* bias)
    {
        var query = scratch.Queries + (row * scratch.QueryStride);
        var scores = scratch.Scores;
        if (!source.IsPacked)
        {
            var channels = Channels(scratch.HeadDim);
            new Span<float>(bias, 4).Clear();
            RowTiles.Scores<TLanes>((float*)keys, channels, tokens, channels, query, scratch.QueryStride, scores, MaxTileTokens, count);
            return;
        }

        // q·k = Σ (q·scale)·(code − middle code) + Σ q·middle: the second sum is the same for all tokens of the page.
        var sums = stackalloc float[4 * VectorFloats];
        FoldScales(query, scratch.QueryStride, scratch.KeyScales, layout!.Channels, layout.Channels, count, scratch, sums, VectorFloats, add: false);
        for (var i = 0; i < count; i++)
            bias[i] = TLanes.Sum(TLanes.Load(sums + (i * VectorFloats)));
        CodePlanes.Add<TLanes>(
            (uint*)keys, layout.Tokens, layout.Channels / CodePlanes.TwoBitCodes, 2, 1, scratch.Coefficients, scratch.CoefficientStride, scores, MaxTileTokens, count, 0,
            padded, Ahead(source, row), overwrite: true);
        if (layout.KeyHighChannels == 0)
            return;
        scratch.GatherHigh(layout, count);
        AddHighPlane((byte*)keys + layout.KeyHighOffset, layout.SlowKeyBits, layout.Tokens, layout.KeyHighChannels, scratch, scores, MaxTileTokens, count, 0, padded,
            Ahead(source, row));
    }

    // state.Output[row + i][c] += Σ_t p·v, the probabilities being in the scratch's scores.
    private static void AddValues(
        PageLayout? layout, in KvSource source, void* values, int tokens, int padded, int row, int count, AttentionScratch scratch, in State state)
    {
        var output = state.Output + ((nint)row * state.Channels);
        if (!source.IsPacked)
        {
            RowTiles.AddValues<TLanes>((float*)values, state.Channels, tokens, state.Channels, scratch.Scores, MaxTileTokens, output, state.Channels, count);
            return;
        }

        // Σ p·v = Σ (p·scale)·(code − middle code) + Σ p·middle: the second sum is the same for all channels of a group and is added once, at the end.
        for (var group = 0; group < layout!.Groups; group++)
        {
            var scales = scratch.ValueScales + (group * layout.Tokens);
            var bias = state.Bias + (((row * layout.Groups) + group) * VectorFloats);
            FoldScales(scratch.Scores, MaxTileTokens, scales, layout.Groups * layout.Tokens, padded, count, scratch, bias, layout.Groups * VectorFloats, add: true);

            var firstChannel = PageLayout.GroupStart(group);
            var lanes = Math.Min(PageLayout.GroupChannels, layout.Channels - firstChannel);
            AddPlanes((byte*)values, layout.ValueHighOffset - layout.ValueOffset, layout.ValueBits, layout.Channels, layout.Tokens, scratch,
                output, state.Channels, count, firstChannel, lanes, Ahead(source, row));
        }
    }

    // The first rows over a tile fetch the next one's codes while they compute.
    private static nint Ahead(in KvSource source, int row) => row == 0 ? source.StepBytes : 0;

    private static void AddPlanes(
        byte* codes, int highOffset, int bits, int rowLanes, int codesOfLane, AttentionScratch scratch, float* sums, int sumStride, int count, int first, int lanes,
        nint ahead)
    {
        CodePlanes.Add<TLanes>(
            (uint*)codes, rowLanes, codesOfLane / CodePlanes.TwoBitCodes, 2, 1, scratch.Coefficients, scratch.CoefficientStride, sums, sumStride, count, first, lanes,
            ahead);
        if (bits > 2)
            AddHighPlane(codes + highOffset, bits, rowLanes, codesOfLane, scratch, sums, sumStride, count, first, lanes, ahead);
    }

    private static void AddHighPlane(
        byte* codes, int bits, int rowLanes, int codesOfLane, AttentionScratch scratch, float* sums, int sumStride, int count, int first, int lanes, nint ahead)
    {
        var laneCodes = bits == 3 ? CodePlanes.OneBitCodes : CodePlanes.TwoBitCodes;
        CodePlanes.Add<TLanes>(
            (uint*)codes, rowLanes, (codesOfLane + laneCodes - 1) / laneCodes, bits - 2, 4, scratch.Coefficients, scratch.CoefficientStride,
            sums, sumStride, count, first, lanes, ahead);
    }

    // coefficients[q][i] = numbers[q][i]·scale[i], and as partial sums in the lanes of sums[q]: Σ numbers[q][i]·middle[i], the middles lying `middleOffset`
    // behind the scales.
    private static void FoldScales(
        float* numbers, int stride, float* scales, int middleOffset, int count, int queries, AttentionScratch scratch, float* sums, int sumStride, bool add)
    {
        var coefficients = scratch.Coefficients;
        if (queries == 4)
        {
            FoldFour(numbers, stride, scales, middleOffset, count, coefficients, scratch.CoefficientStride, sums, sumStride, add);
        }
        else
        {
            for (var q = 0; q < queries; q++)
            {
                float* number = numbers + (q * stride), coefficient = coefficients + (q * scratch.CoefficientStride), target = sums + (q * sumStride);
                var sum = add ? TLanes.Load(target) : TLanes.Zero;
                for (var i = 0; i < count; i += TLanes.Count)
                {
                    var x = TLanes.Load(number + i);
                    TLanes.Store(x * TLanes.Load(scales + i), coefficient + i);
                    sum = TLanes.MultiplyAdd(x, TLanes.Load(scales + middleOffset + i), sum);
                }

                TLanes.Store(sum, target);
            }
        }

        // A lane of one-bit codes holds 32: codes beyond the channels are 0, but 0 times what lies here must not be NaN.
        for (var q = 0; q < queries; q++, coefficients += scratch.CoefficientStride)
        {
            for (var i = count; i % CodePlanes.OneBitCodes != 0; i += TLanes.Count)
                TLanes.Store(TLanes.Zero, coefficients + i);
        }
    }

    private static void FoldFour(
        float* numbers, int stride, float* scales, int middleOffset, int count, float* coefficients, int coefficientStride, float* sums, int sumStride, bool add)
    {
        float* n1 = numbers + stride, n2 = n1 + stride, n3 = n2 + stride;
        float* c1 = coefficients + coefficientStride, c2 = c1 + coefficientStride, c3 = c2 + coefficientStride;
        float* t1 = sums + sumStride, t2 = t1 + sumStride, t3 = t2 + sumStride;
        TLanes s0 = TLanes.Zero, s1 = TLanes.Zero, s2 = TLanes.Zero, s3 = TLanes.Zero;
        if (add)
            (s0, s1, s2, s3) = (TLanes.Load(sums), TLanes.Load(t1), TLanes.Load(t2), TLanes.Load(t3));
        for (var i = 0; i < count; i += TLanes.Count)
        {
            TLanes scale = TLanes.Load(scales + i), middle = TLanes.Load(scales + middleOffset + i);
            TLanes x0 = TLanes.Load(numbers + i), x1 = TLanes.Load(n1 + i), x2 = TLanes.Load(n2 + i), x3 = TLanes.Load(n3 + i);
            TLanes.Store(x0 * scale, coefficients + i);
            TLanes.Store(x1 * scale, c1 + i);
            TLanes.Store(x2 * scale, c2 + i);
            TLanes.Store(x3 * scale, c3 + i);
            s0 = TLanes.MultiplyAdd(x0, middle, s0);
            s1 = TLanes.MultiplyAdd(x1, middle, s1);
            s2 = TLanes.MultiplyAdd(x2, middle, s2);
            s3 = TLanes.MultiplyAdd(x3, middle, s3);
        }

        TLanes.Store(s0, sums);
        TLanes.Store(s1, t1);
        TLanes.Store(s2, t2);
        TLanes.Store(s3, t3);
    }

    // Sets to −∞ the scores of tokens that a query does not see: later than itself among the fresh ones, or out of its window.
    private static void Mask(in AttentionQueries queries, in KvRun run, int first, int tokens, int row, int count, float* scores)
    {
        for (var i = 0; i < count; i++, scores += MaxTileTokens)
        {
            var position = queries.Position + ((row + i) / queries.Group);
            var lowest = (long)position - queries.SlidingWindow + 1;
            var positions = (int*)run.Positions;
            for (var t = 0; t < tokens; t++)
            {
                var token = positions == null ? run.FirstPosition + first + t : positions[first + t];
                if (token > position || token < lowest)
                    scores[t] = float.NegativeInfinity;
            }
        }
    }

    // Turns scores plus bias into unnormalised probabilities against the highest score so far; padding becomes 0. All rows' highest scores are found first: the chains of
    // operations that lead to them are long and do not wait for each other.
    private static void SoftMax(float* scores, float* bias, int tokens, int padded, int row, int count, in State state)
    {
        var highest = stackalloc float[4];
        for (var i = 0; i < count; i++)
        {
            var rowScores = scores + (i * MaxTileTokens);
            for (var t = tokens; t < padded; t++)
                rowScores[t] = float.NegativeInfinity;
            var largest = TLanes.Load(rowScores);
            for (var t = TLanes.Count; t < padded; t += TLanes.Count)
                largest = TLanes.Max(largest, TLanes.Load(rowScores + t));
            highest[i] = TLanes.Largest(largest) + bias[i];
        }

        for (var i = 0; i < count; i++)
        {
            if (!(highest[i] <= state.Highest[row + i])) // NaN raises too, and makes everything NaN
                state.Raise(row + i, highest[i]);
        }

        for (var i = 0; i < count; i++, row++, scores += MaxTileTokens)
        {
            if (float.IsNegativeInfinity(state.Highest[row]))
            {
                new Span<float>(scores, padded).Clear(); // nothing seen yet; −∞ − −∞ would be NaN
                continue;
            }

            var shift = TLanes.Broadcast(state.Highest[row] - bias[i]);
            var sums = state.Sums + (row * VectorFloats);
            var sum = TLanes.Load(sums);
            for (var t = 0; t < padded; t += TLanes.Count)
            {
                var p = VectorMath.Exp(TLanes.Load(scores + t) - shift);
                TLanes.Store(p, scores + t);
                sum += p;
            }

            TLanes.Store(sum, sums);
        }
    }

    private static void WriteOutput(in AttentionQueries queries, int kvHead, int row, in State state)
    {
        switch (queries.Type)
        {
            case NumberType.Float32: WriteOutput<Float32Numbers>(queries, kvHead, row, state); break;
            case NumberType.BFloat16: WriteOutput<BFloat16Numbers>(queries, kvHead, row, state); break;
            default: WriteOutput<Float16Numbers>(queries, kvHead, row, state); break;
        }
    }

    private static void WriteOutput<TNumbers>(in AttentionQueries queries, int kvHead, int row, in State state) where TNumbers : struct, INumbers
    {
        var (query, head) = (row / queries.Group, (kvHead * queries.Group) + (row % queries.Group));
        var target = (byte*)queries.Outputs + ((((nint)query * queries.KvHeads * queries.Group) + head) * queries.HeadDim * TNumbers.Bytes);
        var output = state.Output + ((nint)row * state.Channels);
        var factor = 1 / TLanes.Sum(TLanes.Load(state.Sums + (row * VectorFloats)));
        for (var group = 0; group < state.Groups; group++)
        {
            var bias = TLanes.Sum(TLanes.Load(state.Bias + (((row * state.Groups) + group) * VectorFloats)));
            var end = Math.Min(queries.HeadDim, PageLayout.GroupStart(group) + PageLayout.GroupChannels);
            for (var c = PageLayout.GroupStart(group); c < end; c++, target += TNumbers.Bytes)
                TNumbers.Write((output[c] + bias) * factor, target);
        }
    }

    /// <summary>The memory of a state: what the queries have gathered so far, relative to each one's highest score.</summary>
    private readonly struct State
    {
        public State(float* memory, in AttentionQueries queries)
        {
            (Rows, Channels, Groups) = (PaddedRows(queries.Rows), AttentionKernel.Channels(queries.HeadDim), AttentionKernel.Groups(queries.HeadDim));
            Output = memory;
            Bias = Output + ((nint)Rows * Channels);
            Sums = Bias + (Rows * Groups * VectorFloats);
            Highest = Sums + (Rows * VectorFloats);
        }

        public int Rows { get; }

        public int Channels { get; }

        public int Groups { get; }

        /// <summary>float [rows][channels]: Σ exp(score − highest)·value, without the groups' bias.</summary>
        public float* Output { get; }

        /// <summary>float [rows][groups][16]: partial sums of Σ exp(score − highest)·middle.</summary>
        public float* Bias { get; }

        /// <summary>float [rows][16]: partial sums of Σ exp(score − highest).</summary>
        public float* Sums { get; }

        /// <summary>float [rows]: −∞ while nothing was seen.</summary>
        public float* Highest { get; }

        public void Clear()
        {
            new Span<float>(Output, Rows * (Channels + (VectorFloats * (Groups + 1)))).Clear();
            new Span<float>(Highest, Rows).Fill(float.NegativeInfinity);
        }

        /// <summary>Makes everything relative to a higher score.</summary>
        public void Raise(int row, float highest)
        {
            if (!float.IsNegativeInfinity(Highest[row]))
                Scale(row, MathF.Exp(Highest[row] - highest));
            Highest[row] = highest;
        }

        /// <summary>Adds another state's row times a factor.</summary>
        public void Add(int row, in State other, float factor)
        {
            var f = TLanes.Broadcast(factor);
            Add(Output + ((nint)row * Channels), other.Output + ((nint)row * Channels), Channels, f);
            Add(Bias + (row * Groups * VectorFloats), other.Bias + (row * Groups * VectorFloats), Groups * VectorFloats, f);
            Add(Sums + (row * VectorFloats), other.Sums + (row * VectorFloats), VectorFloats, f);
        }

        private void Scale(int row, float factor)
        {
            var f = TLanes.Broadcast(factor);
            Scale(Output + ((nint)row * Channels), Channels, f);
            Scale(Bias + (row * Groups * VectorFloats), Groups * VectorFloats, f);
            Scale(Sums + (row * VectorFloats), VectorFloats, f);
        }

        private static void Add(float* target, float* source, int count, TLanes factor)
        {
            for (var i = 0; i < count; i += TLanes.Count)
                TLanes.Store(TLanes.MultiplyAdd(TLanes.Load(source + i), factor, TLanes.Load(target + i)), target + i);
        }

        private static void Scale(float* target, int count, TLanes factor)
        {
            for (var i = 0; i < count; i += TLanes.Count)
                TLanes.Store(TLanes.Load(target + i) * factor, target + i);
        }
    }
}
