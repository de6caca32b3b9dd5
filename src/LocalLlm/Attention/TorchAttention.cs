using LocalLlm.Batching;
using LocalLlm.KvCache;
using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.Attention;

/// <summary>
/// The reference backend: torch operations only, the same on CPU and CUDA, all arithmetic in float32. For each segment of a slice it attends
/// to [fresh | rows | pages] part by part, merges the parts by their log-sum-exp, then appends the segment.
/// </summary>
internal sealed class TorchAttention : IAttentionBackend
{
    /// <summary>Scores of one part at most, so that memory does not grow with the context: 16 Mi floats, 64 MiB.</summary>
    private const long PartScores = 16 << 20;

    /// <summary>Tokens of one part at least, so that a long prefill chunk is not cut into crumbs.</summary>
    private const int SmallestPartTokens = 256;

    private readonly long partScores;

    /// <summary>Creates the backend.</summary>
    public TorchAttention()
        : this(PartScores)
    {
    }

    /// <summary>Creates the backend with another bound of the scores of one part, for tests.</summary>
    internal TorchAttention(long partScores) => this.partScores = partScores;

    /// <inheritdoc/>
    public Tensor Attend(int layer, Tensor q, Tensor k, Tensor v, double scale, int? slidingWindow, StepBatch batch)
    {
        using var scope = NewDisposeScope();
        var outputs = new List<Tensor>();
        foreach (var slice in batch.Slices)
        {
            for (var index = 0; index < slice.Plan.Segments.Count; index++)
            {
                using var segmentScope = NewDisposeScope();
                var segment = slice.Plan.Segments[index];
                if (slice.Fault is not null)
                {
                    outputs.Add(zeros([segment.Count, q.shape[1], q.shape[2]], q.dtype, q.device).MoveToOuterDisposeScope());
                    continue;
                }

                var start = slice.Start + segment.Start;
                var segmentK = k.narrow(0, start, segment.Count);
                var segmentV = v.narrow(0, start, segment.Count);
                var queries = new Queries(q.narrow(0, start, segment.Count), segmentK, scale, slice.Plan.Position + segment.Start, slidingWindow);
                outputs.Add(AttendSegment(queries, segmentK, segmentV, slice.Cache.View(layer)).MoveToOuterDisposeScope());
                slice.Append(layer, segmentK, segmentV, index);
            }
        }

        var output = outputs.Count == 1 ? outputs[0] : cat(outputs, 0);
        return output.MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public void Complete(StepBatch batch)
    {
        // Appends tell at once.
    }

    private Tensor AttendSegment(Queries queries, Tensor k, Tensor v, KvView view)
    {
        // The fresh part comes first: each query sees itself there, so no merge meets two parts in which it sees nothing.
        var state = AttentionState.Over(queries.Rows, HeadsFirst(k), HeadsFirst(v), queries.HiddenFresh());
        foreach (var part in Parts(view, queries))
        {
            using var partScope = NewDisposeScope();
            var (keys, values, positions) = part();
            var merged = state.Merge(AttentionState.Over(queries.Rows, keys, values, queries.Hidden(positions)));
            state = new AttentionState(merged.Output.MoveToOuterDisposeScope(), merged.LogSumExp.MoveToOuterDisposeScope());
        }

        return queries.Unpack(state.Output);

        static Tensor HeadsFirst(Tensor fresh) => fresh.transpose(0, 1).to(ScalarType.Float32);
    }

    // Each part is computed when it is asked for, inside its own dispose scope: keys and values [Hkv, T, D] float32, positions [T] or null.
    private IEnumerable<Func<(Tensor Keys, Tensor Values, Tensor? Positions)>> Parts(KvView view, Queries queries)
    {
        var partTokens = (int)Math.Clamp(partScores / queries.QueryHeadRows, SmallestPartTokens, int.MaxValue);
        var positions = view.RowPositions;
        // Consecutive positions: what no query sees any more is at the front, and need not even be masked.
        var firstRow = positions.Sparse.IsEmpty ? Math.Clamp(queries.FirstVisible - positions.RecentStart, 0, positions.Count) : 0;
        for (var start = firstRow; start < positions.Count; start += partTokens)
        {
            var (first, count) = (start, Math.Min(partTokens, positions.Count - start));
            yield return () => (
                view.Keys.narrow(1, first, count).to(ScalarType.Float32),
                RowValues(view).narrow(1, first, count).to(ScalarType.Float32),
                queries.IsWindowed ? tensor(positions.ToArray(), device: view.Keys.device).narrow(0, first, count) : null);
        }

        var pages = view.Pages;
        for (var start = 0; start < pages.Count;)
        {
            var (first, tokens) = (start, 0L);
            do
                tokens += pages[start].Tokens;
            while (++start < pages.Count && tokens + pages[start].Tokens <= partTokens);

            var run = pages.Skip(first).Take(start - first).ToList();
            yield return () =>
            {
                var (keys, values) = PageTensors.Dequantize(run[0].Layout, Joined(run, p => p.Codes), Joined(run, p => p.Scales));
                return (keys, values, queries.IsWindowed ? Joined(run, p => p.Positions).flatten() : null);
            };
        }

        static Tensor RowValues(KvView view)
        {
            if (view.PackedValues is not { } packed)
                return view.Values;
            var values = view.Values.to(ScalarType.Float32);
            var codes = PageTensors.DequantizeValues(packed.Layout, packed.Codes.unsqueeze(0), packed.Scales.unsqueeze(0));
            return cat([values.narrow(1, 0, packed.FirstRow), codes, values.narrow(1, packed.FirstRow, values.shape[1] - packed.FirstRow)], 1);
        }

        static Tensor Joined(List<KvPages> run, Func<KvPages, Tensor> part) => run.Count == 1 ? part(run[0]) : cat([.. run.Select(part)], 0);
    }

    /// <summary>The queries of one segment, the heads of a group as further rows of their KV head, so that KV heads are never repeated.</summary>
    private sealed class Queries
    {
        private readonly Tensor q;
        private readonly int kvHeads;
        private readonly int position;
        private readonly int? window;
        private readonly int count;

        /// <summary>Packs the queries.</summary>
        /// <param name="q">[n, Hq, D].</param>
        /// <param name="k">[n, Hkv, D].</param>
        /// <param name="scale">Factor of q·k.</param>
        /// <param name="position">Position of the first query.</param>
        /// <param name="window">Positions that a query sees, itself included; null for all.</param>
        public Queries(Tensor q, Tensor k, double scale, int position, int? window)
        {
            var (queryHeads, headDim) = (q.shape[1], q.shape[2]);
            (this.q, kvHeads, this.position, this.window, count) = (q, (int)k.shape[1], position, window, (int)q.shape[0]);
            if (queryHeads % kvHeads != 0)
                throw new ArgumentException($"{queryHeads} query heads cannot share {kvHeads} KV heads evenly.", nameof(q));
            QueryHeadRows = queryHeads * count;
            using var factor = scale.ToScalar(); // alive during the native call
            Rows = q.reshape(count, kvHeads, -1, headDim).permute(1, 2, 0, 3).to(ScalarType.Float32).mul(factor).reshape(kvHeads, -1, headDim);
        }

        /// <summary>[Hkv, g·n, D] float32, scaled.</summary>
        public Tensor Rows { get; }

        /// <summary>Hq·n: rows of scores over all heads.</summary>
        public long QueryHeadRows { get; }

        /// <summary>The lowest position that the first query sees.</summary>
        public int FirstVisible => window is { } w ? Math.Max(0, position - w + 1) : 0;

        /// <summary>True if the window hides some position of the sequence from some query.</summary>
        public bool IsWindowed => window is { } w && position + count > w;

        /// <summary>[n, n] bool: later tokens, and those out of the window; null for a single query.</summary>
        public Tensor? HiddenFresh()
        {
            if (count == 1)
                return null;
            var hidden = ones(count, count, ScalarType.Bool, q.device).triu(1);
            return window < count ? hidden.logical_or_(ones(count, count, ScalarType.Bool, q.device).tril(-window.Value)) : hidden;
        }

        /// <summary>[n, T] bool: committed tokens out of the window; null if all are seen.</summary>
        /// <param name="positions">[T] the tokens' positions; null if the window hides none.</param>
        public Tensor? Hidden(Tensor? positions)
        {
            if (positions is null)
                return null;
            var firstSeen = arange(position - window!.Value + 1, position - window.Value + 1 + count, ScalarType.Int32, q.device);
            return positions.unsqueeze(0).lt(firstSeen.unsqueeze(1));
        }

        /// <summary>[Hkv, g·n, D] back to [n, Hq, D] in the type of the queries.</summary>
        public Tensor Unpack(Tensor output) =>
            output.view(kvHeads, -1, count, q.shape[2]).permute(2, 0, 1, 3).reshape(count, -1, q.shape[2]).to(q.dtype);
    }
}
