using LocalLlm.Batching;
using static TorchSharp.torch;

namespace LocalLlm.Attention;

/// <summary>Attends over the caches of a batch and the fresh tokens, then appends the fresh tokens.</summary>
internal interface IAttentionBackend
{
    /// <summary>Causal grouped-query attention of one layer: for every slice attends over its cache and its fresh rows, then appends them.</summary>
    /// <param name="layer">The layer, from 0.</param>
    /// <param name="q">[T, Hq, D] after rotary embedding.</param>
    /// <param name="k">[T, Hkv, D] after rotary embedding.</param>
    /// <param name="v">[T, Hkv, D].</param>
    /// <param name="scale">Factor of q·k, usually 1/√D.</param>
    /// <param name="slidingWindow">Attend to the last so many positions only; null for all.</param>
    /// <param name="batch">The step.</param>
    /// <returns>[T, Hq, D], the type of <paramref name="q"/>.</returns>
    Tensor Attend(int layer, Tensor q, Tensor k, Tensor v, double scale, int? slidingWindow, StepBatch batch);

    /// <summary>
    /// To be called once after the last layer: sets the <see cref="StepSlice.Fault"/> of every slice
    /// whose appends went wrong without anyone having waited for it.
    /// </summary>
    /// <param name="batch">The step.</param>
    void Complete(StepBatch batch);
}
