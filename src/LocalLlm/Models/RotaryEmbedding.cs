using LocalLlm.Loading;
using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.Models;

/// <summary>
/// Rotary position embedding (arXiv 2104.09864) in the half-split form of Hugging Face: channel i of a head turns together with channel i + R/2,
/// R being the rotated channels. Angles, cosines and sines are computed in double precision, the rotation in float32.
/// </summary>
internal sealed class RotaryEmbedding : IDisposable
{
    private readonly int rotaryDim;
    private readonly double attentionFactor;
    private readonly Tensor inverseFrequencies;
    private readonly Scalar plus;
    private readonly Scalar minus;

    /// <summary>Creates the rotation for contexts of up to <paramref name="contextTokens"/>; see <see cref="RotaryFrequencies.Compute"/>.</summary>
    public RotaryEmbedding(RopeConfig config, int contextTokens, Device device)
    {
        rotaryDim = config.RotaryDim;
        (var frequencies, attentionFactor) = RotaryFrequencies.Compute(config, contextTokens);
        using var scope = NewDisposeScope();
        inverseFrequencies = tensor(frequencies, ScalarType.Float64).to(device).DetachFromDisposeScope();
        (plus, minus) = (1f, -1f);
    }

    /// <summary>Cosine and sine of the angles at some positions.</summary>
    /// <param name="positions">[T] int64.</param>
    /// <returns>Two tensors [T, 1, R/2] float32, LongRoPE's and YaRN's attention factor multiplied in.</returns>
    public (Tensor Cosine, Tensor Sine) At(Tensor positions)
    {
        using var scope = NewDisposeScope();
        var angles = positions.to(ScalarType.Float64).view(-1, 1, 1) * inverseFrequencies;   // [T, 1, R/2]
        var (cosine, sine) = (angles.cos(), angles.sin());
        if (attentionFactor != 1)
            (cosine, sine) = (cosine * attentionFactor, sine * attentionFactor);
        return (cosine.to(ScalarType.Float32).MoveToOuterDisposeScope(), sine.to(ScalarType.Float32).MoveToOuterDisposeScope());
    }

    /// <summary>Rotates heads.</summary>
    /// <param name="x">[T, N, D].</param>
    /// <param name="cosine">[T, 1, R/2] float32.</param>
    /// <param name="sine">[T, 1, R/2] float32.</param>
    /// <returns>[T, N, D], contiguous, the type of <paramref name="x"/>.</returns>
    public Tensor Rotate(Tensor x, Tensor cosine, Tensor sine)
    {
        using var scope = NewDisposeScope();
        var half = rotaryDim / 2;
        var first = x.narrow(-1, 0, half).to(ScalarType.Float32);        // [T, N, R/2]
        var second = x.narrow(-1, half, half).to(ScalarType.Float32);    // [T, N, R/2]
        var turnedFirst = (first * cosine).addcmul_(second, sine, minus).to(x.dtype);
        var turnedSecond = (second * cosine).addcmul_(first, sine, plus).to(x.dtype);
        var headDim = x.shape[^1];
        var turned = headDim == rotaryDim
            ? cat([turnedFirst, turnedSecond], -1)
            : cat([turnedFirst, turnedSecond, x.narrow(-1, rotaryDim, headDim - rotaryDim)], -1);
        return turned.MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        inverseFrequencies.Dispose();
        plus.Dispose();
        minus.Dispose();
    }
}
