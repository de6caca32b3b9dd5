using System.Globalization;
using LocalLlm.Batching;
using LocalLlm.KvCache;
using LocalLlm.KvCache.Policies;
using static TorchSharp.torch;

namespace LocalLlm.Attention;

/// <summary>
/// A small conversation of the model's shape through the CUDA kernels and through torch operations, both on the device: a kernel that does not compile, is refused or
/// computes something else is known when a model is loaded, and not in the middle of an answer.
/// </summary>
internal static class KernelTrial
{
    /// <summary>The most that an output may differ, as a share of the largest: many roundings of the type, and far less than any wrong order of numbers makes.</summary>
    private static double Tolerance(ScalarType type) => type == ScalarType.Float32 ? 1e-3 : 0.03;

    /// <summary>Query rows of a KV head in the steps that are tried: one for every size of block in which attention computes them.</summary>
    private static int[] BlockRows(ScalarType type) => type == ScalarType.Float32 ? [1, 2, 4, 8] : [1, 16, 64];

    /// <summary>Tries the kernels that caches of these options need.</summary>
    /// <param name="queue">Where the kernels' work goes.</param>
    /// <param name="options">The cache options, which are valid.</param>
    /// <param name="shape">Of the model's caches; one layer is tried of those whose pages have the same bits.</param>
    /// <param name="queryHeads">Hq, a multiple of the KV heads.</param>
    /// <exception cref="LocalLlmException">A kernel cannot be had, or its numbers are wrong.</exception>
    public static void Run(CudaQueue queue, KvCacheOptions options, KvShape shape, int queryHeads)
    {
        var boundary = new PageBits(options.BoundaryKeyBits, options.BoundaryKeyBits, options.BoundaryValueBits);
        IEnumerable<PageBits> ofLayers = Enumerable.Range(0, shape.Layers).Select(layer => PageBits.Of(options, shape, layer));
        foreach (var bits in (options.BoundaryLayers > 0 ? ofLayers.Append(boundary) : ofLayers).Distinct())
        {
            var alike = options with { KeyBits = bits.Key, SlowKeyBits = bits.SlowKey, ValueBits = bits.Value, BoundaryLayers = 0, MemoryBytes = null };
            RunLayer(queue, alike, shape with { Layers = 1, Bits = null }, queryHeads);
            if (KvCacheFactory.Policy(options) is not { KeepsEvicted: true })
                return; // there are no pages
        }
    }

    private static void RunLayer(CudaQueue queue, KvCacheOptions options, KvShape shape, int queryHeads)
    {
        using var scope = NewDisposeScope();
        var factory = new KvCacheFactory(options, shape, queue: queue);
        using var tried = factory.Create();
        using var reference = new KvCacheFactory(options, shape).Create();
        var past = PastTokens(KvCacheFactory.Policy(options));
        var counts = BlockRows(shape.Type).Select(rows => Math.Max(1, rows * shape.KvHeads / queryHeads)).Distinct();
        var steps = counts.SelectMany(count => new[] { (Count: count, Window: (int?)null), (count, past / 2) }).ToList();
        var tokens = past + steps.Sum(step => step.Count);
        var k = Numbers(0.3, tokens, shape.KvHeads, shape); // [tokens, Hkv, D]
        var v = Numbers(0.7, tokens, shape.KvHeads, shape);
        var q = Numbers(0.5, tokens, queryHeads, shape);

        Append(tried, k, v, past);
        try
        {
            factory.Operations.RequireWritten();
        }
        catch (LocalLlmException fault)
        {
            throw Misread(fault);
        }

        Append(reference, k, v, past);
        foreach (var (count, window) in steps)
        {
            var actual = Step(new CudaAttention(queue), tried, q, k, v, count, window);
            var expected = Step(new TorchAttention(), reference, q, k, v, count, window);
            // Where a number is NaN the comparison is false, as it should be.
            var error = (actual - expected).abs().max().item<float>() / expected.abs().max().item<float>();
            if (!(error <= Tolerance(shape.Type)))
            {
                throw new LocalLlmException(string.Create(CultureInfo.InvariantCulture,
                    $"the kernels' attention of {count} tokens over {past} in a cache of kind {options.Kind} differs from torch's by {error:G3} of the largest output, ")
                    + string.Create(CultureInfo.InvariantCulture, $"where {Tolerance(shape.Type)} is the most; please report this with the GPU's name."));
            }
        }
    }

    // So many that rows have left twice, where any ever leave.
    private static int PastTokens(ResidencyPolicy? policy) => policy is null ? 100 : policy.ReservedRows + policy.EvictedRows.Count + 1;

    // Noise in (-1, 1) that leaves torch's random numbers alone.
    private static Tensor Numbers(double phase, int tokens, int heads, KvShape shape) =>
        arange((long)tokens * heads * shape.HeadDim, ScalarType.Float32, shape.Device).mul(12.9898).add(phase).sin().mul(437.58).frac()
            .to_type(shape.Type).view(tokens, heads, shape.HeadDim);

    private static void Append(IKvCache cache, Tensor k, Tensor v, int count)
    {
        var plan = cache.PlanAppend(count);
        for (var i = 0; i < plan.Segments.Count; i++)
        {
            var segment = plan.Segments[i];
            cache.Append(0, k.narrow(0, segment.Start, segment.Count), v.narrow(0, segment.Start, segment.Count), plan, i);
        }

        cache.Commit(plan);
    }

    // The outputs of the next tokens, [count, Hq, D] in float32.
    private static Tensor Step(IAttentionBackend backend, IKvCache cache, Tensor q, Tensor k, Tensor v, int count, int? window)
    {
        var plan = cache.PlanAppend(count);
        var at = plan.Position;
        var ids = arange(at, at + count, ScalarType.Int64, q.device);
        var batch = new StepBatch(ids, ids, ids, [new StepSlice(cache, 0, count, plan)]);
        // Scores with a deviation of about 2, so that single tokens decide.
        var scale = 6 / Math.Sqrt(q.size(2));
        var output = backend.Attend(0, q.narrow(0, at, count), k.narrow(0, at, count), v.narrow(0, at, count), scale, window, batch);
        backend.Complete(batch);
        if (batch.Slices[0].Fault is { } fault)
            throw Misread(fault);
        cache.Commit(plan);
        return output.to_type(ScalarType.Float32);
    }

    private static LocalLlmException Misread(LocalLlmException fault) =>
        new($"the kernels take numbers that are finite and fit a page for others: {fault.Message}", fault);
}
