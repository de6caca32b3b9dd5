using static TorchSharp.torch;

namespace LocalLlm.Models;

/// <summary>What a decoder layer does between its matrix products and attention. Both implementations round alike.</summary>
internal interface ILayerFunctions : IDisposable
{
    /// <summary>
    /// RMSNorm (arXiv 1910.07467) over the last dimension, after adding to <paramref name="x"/> in place: computed in float32, rounded, then weighted, as Hugging Face
    /// does.
    /// </summary>
    /// <param name="x">[T, W], contiguous; the residual stream.</param>
    /// <param name="added">[T, W], contiguous; null for nothing.</param>
    /// <param name="weight">[W].</param>
    /// <returns>[T, W].</returns>
    Tensor AddNorm(Tensor x, Tensor? added, Tensor weight);

    /// <summary>RMSNorm of some heads in place.</summary>
    /// <param name="heads">[T, N, D], contiguous.</param>
    /// <param name="first">The first head.</param>
    /// <param name="count">Heads.</param>
    /// <param name="weight">[D].</param>
    void NormHeads(Tensor heads, int first, int count, Tensor weight);

    /// <summary>Rotary embedding of the first heads; see <see cref="RotaryEmbedding"/>.</summary>
    /// <param name="heads">[T, N, D], contiguous; may be changed.</param>
    /// <param name="count">Heads to rotate.</param>
    /// <param name="cosine">[T, 1, R/2] float32.</param>
    /// <param name="sine">[T, 1, R/2] float32.</param>
    /// <returns>[T, <paramref name="count"/>, D]; a token's heads lie together.</returns>
    Tensor Rotate(Tensor heads, int count, Tensor cosine, Tensor sine);

    /// <summary>SwiGLU (arXiv 2002.05202).</summary>
    /// <param name="gateUp">[T, 2·I], the gates first; may be changed.</param>
    /// <returns>[T, I].</returns>
    Tensor SwiGlu(Tensor gateUp);
}
