using LocalLlm.Interop;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>Keeps NaN and infinity out of a cache, where they would spoil every later token.</summary>
internal static class FiniteCheck
{
    /// <summary>Throws if a key or a value is NaN or infinite.</summary>
    /// <param name="layer">The layer, for the message.</param>
    /// <param name="position">Position of the first token, for the message.</param>
    /// <param name="k">[n, Hkv, D].</param>
    /// <param name="v">[n, Hkv, D].</param>
    /// <exception cref="LocalLlmException">One is; the message names the layer, the token, the head and the channel.</exception>
    public static void Require(int layer, int position, Tensor k, Tensor v)
    {
        using var scope = NewDisposeScope();
        // One number to wait for. A finite sum proves that all summands are finite; another may also be an overflow, so it is looked into.
        var sum = k.sum(ScalarType.Float32).add_(v.sum(ScalarType.Float32), Scalars.One);
        if (float.IsFinite(sum.item<float>()))
            return;
        RequireAll(layer, position, k, "key");
        RequireAll(layer, position, v, "value");
    }

    private static void RequireAll(int layer, int position, Tensor tensor, string name)
    {
        var wrong = tensor.isfinite().logical_not().nonzero();
        if (wrong.shape[0] == 0)
            return;
        var first = wrong[0].to(ScalarType.Int64).cpu().data<long>().ToArray();
        var value = tensor[first[0], first[1], first[2]].to(ScalarType.Float32).item<float>();
        throw Failure(layer, position, name, value, first[0], first[1], first[2], $"; {wrong.shape[0]} of {tensor.NumberOfElements} are not finite");
    }

    /// <summary>The error of a number that is not finite.</summary>
    /// <param name="layer">The layer.</param>
    /// <param name="position">Position of the first token of the append.</param>
    /// <param name="name">"key" or "value".</param>
    /// <param name="value">The number.</param>
    /// <param name="token">Its token, counted from the first of the append.</param>
    /// <param name="head">Its KV head.</param>
    /// <param name="channel">Its channel.</param>
    /// <param name="more">What else is to be said of it, after a semicolon.</param>
    public static LocalLlmException Failure(int layer, int position, string name, float value, long token, long head, long channel, string more = "") =>
        new($"Layer {layer}: a {name} is {value} (token {position + token}, KV head {head}, channel {channel}{more}). "
            + "The step is abandoned and this sequence's cache with it. "
            + $"If activations overflow, raise {nameof(LlmEngineOptions)}.{nameof(LlmEngineOptions.WeightType)} to {nameof(WeightType.Float32)} or "
            + $"{nameof(WeightType.BFloat16)}; else the model's weights are damaged.");
}
