using LocalLlm.Interop;
using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Evaluation;

/// <summary>Random keys and values of a sequence, and their appends to a cache.</summary>
internal sealed class RandomAppends
{
    private readonly KvShape shape;
    private readonly float[][] keys;   // per layer [tokens][Hkv][D]
    private readonly float[][] values;

    public RandomAppends(KvShape shape, int tokens, int seed)
    {
        LibTorch.EnsureLoaded();
        this.shape = shape;
        var random = new Random(seed);
        (keys, values) = (Layers(), Layers());

        float[][] Layers() =>
            [.. Enumerable.Range(0, shape.Layers).Select(_ => Numbers(tokens * shape.KvHeads * shape.HeadDim))];

        float[] Numbers(int count) => [.. Enumerable.Range(0, count).Select(_ => (4 * random.NextSingle()) - 2)];
    }

    /// <summary>A number of a token's key.</summary>
    public float Key(int layer, int head, int token, int channel) =>
        keys[layer][(((token * shape.KvHeads) + head) * shape.HeadDim) + channel];

    /// <summary>Appends the next <paramref name="count"/> tokens in one step.</summary>
    public void Append(IKvCache cache, int count)
    {
        using var scope = NewDisposeScope();
        using var noGradient = no_grad();
        var plan = cache.PlanAppend(count);
        for (var layer = 0; layer < shape.Layers; layer++)
        {
            for (var segment = 0; segment < plan.Segments.Count; segment++)
                cache.Append(layer, Part(keys[layer], plan, segment), Part(values[layer], plan, segment), plan, segment);
        }

        cache.Commit(plan);
    }

    private Tensor Part(float[] numbers, AppendPlan plan, int segment)
    {
        var token = shape.KvHeads * shape.HeadDim;
        var (start, count) = plan.Segments[segment];
        var part = numbers.AsSpan((plan.Position + start) * token, count * token).ToArray();
        return tensor(part).view(count, shape.KvHeads, shape.HeadDim).to(shape.Type);
    }
}
