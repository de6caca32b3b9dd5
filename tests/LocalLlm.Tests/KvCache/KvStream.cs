using LocalLlm.Attention;
using LocalLlm.Batching;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Tests.KvCache;

/// <summary>Random queries, keys and values of a sequence, all layers, and the steps that feed them to a cache.</summary>
internal sealed class KvStream
{
    private readonly float[][] q; // per layer [tokens][Hq][D]
    private readonly float[][] k; // per layer [tokens][Hkv][D]
    private readonly float[][] v;

    // The tensors are tiny; threads that wait for each other on a busy machine would take most of the time.
    static KvStream()
    {
        LibTorch.EnsureLoaded();
        set_num_threads(1);
    }

    public KvStream(KvShape shape, int queryHeads, int tokens, int seed, double keyOffset = 1)
    {
        (Shape, QueryHeads, Tokens) = (shape, queryHeads, tokens);
        var random = new Random(seed);
        // Each channel of the keys has its own mean, as real keys do.
        q = Layers(_ => Floats(tokens * queryHeads * shape.HeadDim, _ => 0));
        k = Layers(_ =>
        {
            var means = Floats(shape.KvHeads * shape.HeadDim, _ => 0);
            return Floats(tokens * shape.KvHeads * shape.HeadDim, i => keyOffset * means[i % means.Length]);
        });
        v = Layers(_ => Floats(tokens * shape.KvHeads * shape.HeadDim, _ => 0));

        float[][] Layers(Func<int, float[]> create) => [.. Enumerable.Range(0, shape.Layers).Select(create)];

        float[] Floats(int count, Func<int, double> mean)
        {
            var numbers = new float[count];
            for (var i = 0; i < count; i++)
            {
                var normal = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
                numbers[i] = Rounded(mean(i) + normal);
            }

            return numbers;
        }

        float Rounded(double x) => shape.Type switch
        {
            ScalarType.BFloat16 => BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits((float)x) & unchecked((int)0xFFFF0000)),
            ScalarType.Float16 => (float)(Half)x,
            _ => (float)x,
        };
    }

    private KvStream(KvStream other) =>
        (q, k, v, Shape, QueryHeads, Tokens) = (other.q, other.k, other.v, other.Shape, other.QueryHeads, other.Tokens);

    public KvShape Shape { get; private init; }

    public int QueryHeads { get; }

    public int Tokens { get; }

    public double Scale => 1 / Math.Sqrt(Shape.HeadDim);

    public int Group => QueryHeads / Shape.KvHeads;

    public ReadOnlySpan<float> Query(int layer, int token, int queryHead) => q[layer].AsSpan((token * QueryHeads + queryHead) * Shape.HeadDim, Shape.HeadDim);

    public float[] Key(int layer, int token, int kvHead) => k[layer].AsSpan((token * Shape.KvHeads + kvHead) * Shape.HeadDim, Shape.HeadDim).ToArray();

    public float[] Value(int layer, int token, int kvHead) => v[layer].AsSpan((token * Shape.KvHeads + kvHead) * Shape.HeadDim, Shape.HeadDim).ToArray();

    public Tensor Keys(int layer, int start, int count) => Rows(k[layer], Shape.KvHeads, start, count);

    public Tensor Values(int layer, int start, int count) => Rows(v[layer], Shape.KvHeads, start, count);

    public Tensor Queries(int layer, int start, int count) => Rows(q[layer], QueryHeads, start, count);

    /// <summary>The same numbers on another device.</summary>
    public KvStream On(Device device) => new(this) { Shape = Shape with { Device = device } };

    /// <summary>Appends the next tokens without attention, in chunks of the given sizes.</summary>
    public void Append(IKvCache cache, params IEnumerable<int> chunks)
    {
        foreach (var count in chunks)
        {
            using var scope = NewDisposeScope();
            var plan = cache.PlanAppend(count);
            for (var layer = 0; layer < Shape.Layers; layer++)
            {
                for (var s = 0; s < plan.Segments.Count; s++)
                {
                    var segment = plan.Segments[s];
                    cache.Append(layer, Keys(layer, plan.Position + segment.Start, segment.Count), Values(layer, plan.Position + segment.Start, segment.Count), plan, s);
                }
            }

            cache.Commit(plan);
        }
    }

    /// <summary>One step of one sequence through a backend; returns each layer's output as [count][Hq][D] floats.</summary>
    public float[][] Step(IAttentionBackend backend, IKvCache cache, int count, int? slidingWindow = null)
    {
        using var scope = NewDisposeScope();
        var plan = cache.PlanAppend(count);
        var start = plan.Position;
        var ids = zeros(count, ScalarType.Int64, Shape.Device);
        var batch = new StepBatch(ids, ids + start, ids, [new StepSlice(cache, 0, count, plan)]);
        var outputs = new float[Shape.Layers][];
        for (var layer = 0; layer < Shape.Layers; layer++)
        {
            var output = backend.Attend(
                layer, Queries(layer, start, count), Keys(layer, start, count), Values(layer, start, count), Scale, slidingWindow, batch);
            output.dtype.ShouldBe(Shape.Type);
            output.shape.ShouldBe([count, QueryHeads, Shape.HeadDim]);
            outputs[layer] = Floats(output);
        }

        backend.Complete(batch);
        batch.Slices[0].Fault.ShouldBeNull();
        cache.Commit(plan);
        return outputs;
    }

    /// <summary>All tokens in chunks; returns each layer's output for all tokens.</summary>
    public float[][] Run(IAttentionBackend backend, IKvCache cache, IEnumerable<int> chunks, int? slidingWindow = null)
    {
        var outputs = Enumerable.Range(0, Shape.Layers).Select(_ => new List<float>()).ToArray();
        foreach (var count in chunks)
        {
            foreach (var (all, step) in outputs.Zip(Step(backend, cache, count, slidingWindow)))
                all.AddRange(step);
        }

        return [.. outputs.Select(o => o.ToArray())];
    }

    public static float[] Floats(Tensor tensor)
    {
        using var scope = NewDisposeScope();
        return tensor.to(ScalarType.Float32).cpu().contiguous().data<float>().ToArray();
    }

    public static void ShouldBeClose(float[] actual, float[] expected, double tolerance)
    {
        actual.Length.ShouldBe(expected.Length);
        for (var i = 0; i < actual.Length; i++)
        {
            if (!(Math.Abs(actual[i] - expected[i]) <= tolerance))
                throw new ShouldAssertException($"Element {i} is {actual[i]}, expected {expected[i]} within {tolerance}.");
        }
    }

    private Tensor Rows(float[] numbers, int heads, int start, int count)
    {
        var width = heads * Shape.HeadDim;
        return tensor(numbers.AsSpan(start * width, count * width).ToArray()).view(count, heads, Shape.HeadDim).to(Shape.Type).to(Shape.Device);
    }
}
