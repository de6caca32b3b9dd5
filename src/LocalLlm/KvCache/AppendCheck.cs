using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>The contract of <see cref="IKvCache"/>'s step, the same for all caches: plan, append every segment to every layer, commit.</summary>
internal static class AppendCheck
{
    /// <summary>Throws unless k and v fit the shape and the segment is the layer's next one.</summary>
    public static void Require(KvShape shape, int layer, Tensor k, Tensor v, AppendPlan plan, int segment, int layerLength)
    {
        var (start, count) = plan.Segments[segment];
        if (plan.Position + start != layerLength)
        {
            throw new InvalidOperationException($"Layer {layer} holds {layerLength} tokens; segment {segment} of the plan starts at "
                + $"{plan.Position + start}. Every segment is appended once to each layer, in order.");
        }

        Require(k, nameof(k));
        Require(v, nameof(v));

        void Require(Tensor tensor, string name)
        {
            if (tensor.dtype != shape.Type || !tensor.shape.AsSpan().SequenceEqual([count, shape.KvHeads, shape.HeadDim]))
            {
                throw new ArgumentException($"Layer {layer}: {name} is {tensor.dtype} [{string.Join(", ", tensor.shape)}]; the cache takes "
                    + $"{shape.Type} [{count}, {shape.KvHeads}, {shape.HeadDim}] for this segment.", name);
            }
        }
    }

    /// <summary>Throws unless all layers hold the plan's tokens and the plan follows <paramref name="length"/>.</summary>
    public static void RequireAllAppended(AppendPlan plan, int length, int[] layerLengths)
    {
        if (plan.Position != length)
            throw new InvalidOperationException($"The plan was made for a cache of {plan.Position} tokens; this one has {length}.");
        var layer = Array.FindIndex(layerLengths, l => l != length + plan.Count);
        if (layer >= 0)
            throw new InvalidOperationException($"Layer {layer} holds {layerLengths[layer]} tokens; the commit needs {length + plan.Count} in all.");
    }

    /// <summary>Throws while a step is under way: some layer has tokens that are not committed.</summary>
    public static void RequireWholeSteps(int length, int[] layerLengths)
    {
        var layer = Array.FindIndex(layerLengths, l => l != length);
        if (layer >= 0)
            throw new InvalidOperationException($"A step is under way: layer {layer} holds {layerLengths[layer]} tokens, {length} are committed.");
    }
}
