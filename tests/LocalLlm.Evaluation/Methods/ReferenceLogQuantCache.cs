using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.Evaluation.Methods;

/// <summary>
/// LogQuant as its authors' code runs it while decoding, simulated: what attention would read is held in full precision, and changed where
/// that code would have changed it. Whenever 2W recent tokens are there, everything but the last W tokens is read back and quantised again,
/// in groups of 64 consecutive numbers of [heads, tokens, channels] with an integer zero point; the sparse set is kept in full precision
/// beside its codes.
/// </summary>
/// <remarks>
/// Two differences: a group of equal numbers, where that code divides by zero, keeps them; and a zero point beyond 8 bits does not wrap.
/// </remarks>
internal sealed class ReferenceLogQuantCache : IKvCache
{
    private const int GroupNumbers = 64;
    private const int MaxCode = 3;

    private readonly KvShape shape;
    private readonly int window;
    private readonly DenseKvCache tokens;

    /// <summary>Creates an empty cache.</summary>
    /// <param name="shape">What the model fixes.</param>
    /// <param name="window">W, even.</param>
    public ReferenceLogQuantCache(KvShape shape, int window)
        : this(shape, window, new DenseKvCache(shape))
    {
    }

    private ReferenceLogQuantCache(KvShape shape, int window, DenseKvCache tokens)
    {
        if (window < 2 || window % 2 != 0)
            throw new ArgumentOutOfRangeException(nameof(window), window, "W must be even.");
        (this.shape, this.window, this.tokens) = (shape, window, tokens);
    }

    /// <inheritdoc/>
    public int Length => tokens.Length;

    /// <inheritdoc/>
    public IEnumerable<KvUnit> Units => tokens.Units;

    /// <summary>Bytes that the authors' cache would hold, rows at 16 bits.</summary>
    public long Bytes => BitsAt(shape, window, Length) / 8;

    /// <summary>
    /// Bits that the authors' cache holds: the history's codes with a 16-bit scale and an 8-bit zero point for each group, the sparse set
    /// once more at 16 bits, and the recent tokens.
    /// </summary>
    public static long BitsAt(KvShape shape, int window, int length)
    {
        var head = (long)shape.KvHeads * shape.HeadDim; // numbers of a token in one of a layer's two tensors
        var tensors = 2L * shape.Layers;
        if (length < 2 * window)
            return tensors * 16 * head * length;
        var history = (long)((length / window) - 1) * window;
        var groups = ((head * history) + GroupNumbers - 1) / GroupNumbers;
        return tensors * ((2 * head * history) + (24 * groups) + (16 * head * (window + length - history)));
    }

    /// <summary>Positions of the sparse set of a cache whose last compaction was at a length, a multiple of W from 2W on.</summary>
    public static int[] SparsePositions(int window, int length)
    {
        var sparse = Enumerable.Range(0, window).ToArray();
        for (var at = 3 * window; at <= length; at += window)
        {
            var older = sparse.Concat(Enumerable.Range(at - (2 * window), window));
            sparse = [.. older.Where((_, row) => row % 2 == 0)];
        }

        return sparse;
    }

    /// <summary>Numbers after quantisation to 2 bits with an integer zero point and back, in groups of 64 consecutive ones.</summary>
    public static Tensor Requantize(Tensor numbers)
    {
        using var scope = NewDisposeScope();
        var flat = numbers.to(ScalarType.Float32).reshape(-1);
        var whole = flat.NumberOfElements / GroupNumbers * GroupNumbers;
        var parts = new List<Tensor>();
        if (whole > 0)
            parts.Add(OfGroups(flat.narrow(0, 0, whole).view(-1, GroupNumbers)).reshape(-1));
        if (whole < flat.NumberOfElements)
            parts.Add(OfGroups(flat.narrow(0, whole, flat.NumberOfElements - whole).view(1, -1)).reshape(-1));
        return cat(parts, 0).view(numbers.shape).to(numbers.dtype).MoveToOuterDisposeScope();

        static Tensor OfGroups(Tensor groups)
        {
            using var maxCode = (TorchSharp.Scalar)(float)MaxCode;
            using var zero = (TorchSharp.Scalar)0f;
            using var one = (TorchSharp.Scalar)1f;
            var (low, high) = (groups.amin([1], keepdim: true), groups.amax([1], keepdim: true));
            var isFlat = high.eq(low);
            var scale = high.sub(low).div(maxCode).masked_fill(isFlat, one);
            var zeroPoint = low.neg().div(scale).round();
            var codes = groups.div(scale).round().add(zeroPoint).clamp(zero, maxCode);
            return where(isFlat, groups, codes.sub(zeroPoint).mul(scale));
        }
    }

    /// <inheritdoc/>
    public AppendPlan PlanAppend(int count)
    {
        var whole = tokens.PlanAppend(count);
        var segments = new List<AppendSegment>();
        for (var start = 0; start < count;)
        {
            var at = whole.Position + start;
            var next = Math.Max(2, (at / window) + 1) * window; // the token that fills it attends first
            var size = Math.Min(next - at, count - start);
            segments.Add(new AppendSegment(start, size));
            start += size;
        }

        return whole with { Segments = segments };
    }

    /// <inheritdoc/>
    public KvView View(int layer) => tokens.View(layer);

    /// <inheritdoc/>
    public PageLayout? AddRuns(int layer, bool withPositions, List<KvRun> runs) => tokens.AddRuns(layer, withPositions, runs);

    /// <inheritdoc/>
    public void Append(int layer, Tensor k, Tensor v, AppendPlan plan, int segment)
    {
        tokens.Append(layer, k, v, plan, segment);
        var end = plan.Position + plan.Segments[segment].Start + plan.Segments[segment].Count;
        if (end < 2 * window || end % window != 0)
            return;
        using var scope = NewDisposeScope();
        var sparse = tensor(Array.ConvertAll(SparsePositions(window, end), p => (long)p), device: shape.Device);
        var view = tokens.View(layer);
        foreach (var rows in new[] { view.Keys, view.Values })
        {
            var history = rows.narrow(1, 0, end - window);
            var kept = history.index_select(1, sparse);
            history.copy_(Requantize(history));
            history.index_copy_(1, sparse, kept);
        }
    }

    /// <inheritdoc/>
    public void Commit(AppendPlan plan) => tokens.Commit(plan);

    /// <inheritdoc/>
    public void EndPrompt() => tokens.EndPrompt();

    /// <inheritdoc/>
    public IKvCache Fork(int length) => CanTruncate(length)
        ? new ReferenceLogQuantCache(shape, window, (DenseKvCache)tokens.Fork(length))
        : throw new InvalidOperationException($"A cache of {Length} tokens cannot be truncated to {length}.");

    /// <inheritdoc/>
    public long ForkBytes(int length, int grownTo) => tokens.ForkBytes(length, grownTo);

    /// <inheritdoc/>
    public long GrowthBytes(int length) => tokens.GrowthBytes(length);

    /// <inheritdoc/>
    public void Reserve(int length) => tokens.Reserve(length);

    /// <inheritdoc/>
    public bool CanTruncate(int length) =>
        length == 0 || (length <= Length && length > 0 && Math.Max(1, length / window) == Math.Max(1, Length / window));

    /// <inheritdoc/>
    public void Truncate(int length)
    {
        if (!CanTruncate(length))
        {
            throw new InvalidOperationException(
                $"A cache of {Length} tokens cannot be truncated to {length}: its history was quantised again since then.");
        }

        tokens.Truncate(length);
    }

    /// <inheritdoc/>
    public void Dispose() => tokens.Dispose();
}
