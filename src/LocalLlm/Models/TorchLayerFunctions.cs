using LocalLlm.Interop;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace LocalLlm.Models;

/// <summary>torch operations: the reference, on any device.</summary>
internal sealed class TorchLayerFunctions(RotaryEmbedding rotary, double normEpsilon) : ILayerFunctions
{
    private readonly Scalar epsilon = normEpsilon.ToScalar();

    /// <inheritdoc/>
    public Tensor AddNorm(Tensor x, Tensor? added, Tensor weight)
    {
        if (added is not null)
            x.add_(added, Scalars.One);
        return Norm(x, weight);
    }

    /// <inheritdoc/>
    public void NormHeads(Tensor heads, int first, int count, Tensor weight)
    {
        using var scope = NewDisposeScope();
        var part = heads.narrow(1, first, count);
        part.copy_(Norm(part, weight));
    }

    /// <inheritdoc/>
    public Tensor Rotate(Tensor heads, int count, Tensor cosine, Tensor sine)
    {
        using var part = heads.narrow(1, 0, count);
        return rotary.Rotate(part, cosine, sine);
    }

    /// <inheritdoc/>
    public Tensor SwiGlu(Tensor gateUp)
    {
        using var scope = NewDisposeScope();
        var width = gateUp.size(1) / 2;
        return silu(gateUp.narrow(1, 0, width)).mul_(gateUp.narrow(1, width, width)).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public void Dispose() => epsilon.Dispose();

    private Tensor Norm(Tensor x, Tensor weight)
    {
        using var scope = NewDisposeScope();
        var wide = x.to(ScalarType.Float32);
        var inverse = wide.square().mean([-1], keepdim: true).add_(epsilon, Scalars.One).rsqrt_();
        return wide.mul(inverse).to(x.dtype).mul_(weight).MoveToOuterDisposeScope();
    }
}
