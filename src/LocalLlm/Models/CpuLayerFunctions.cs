using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Models;

/// <summary>The CPU kernels: one call in place of five to ten torch operations, each of which costs microseconds in a decode step.</summary>
/// <param name="team">The threads; borrowed.</param>
/// <param name="normEpsilon">ε of RMSNorm.</param>
internal sealed class CpuLayerFunctions(WorkerTeam team, float normEpsilon) : ILayerFunctions
{
    private readonly NormWork norm = new();
    private readonly HeadNormWork headNorm = new();
    private readonly RotateWork rotate = new();
    private readonly SwiGluWork swiGlu = new();

    /// <inheritdoc/>
    public Tensor AddNorm(Tensor x, Tensor? added, Tensor weight)
    {
        var output = empty(x.shape, x.dtype, x.device);
        norm.Set(NumberTypes.Of(x.dtype), Address(x), added is null ? 0 : Address(added), Address(weight), Address(output), (int)x.size(0), (int)x.size(1), normEpsilon);
        norm.Run(team);
        return output;
    }

    /// <inheritdoc/>
    public void NormHeads(Tensor heads, int first, int count, Tensor weight)
    {
        var (tokens, all, headDim) = ((int)heads.size(0), (int)heads.size(1), (int)heads.size(2));
        headNorm.Set(
            NumberTypes.Of(heads.dtype), Address(heads) + (nint)(first * headDim * heads.ElementSize), (nint)all * headDim, Address(weight), tokens, count, headDim, normEpsilon);
        headNorm.Run(team);
    }

    /// <inheritdoc/>
    public Tensor Rotate(Tensor heads, int count, Tensor cosine, Tensor sine)
    {
        rotate.Set(NumberTypes.Of(heads.dtype), Address(heads), (nint)heads.stride(0), (int)heads.size(0), count, (int)heads.size(2),
            2 * (int)cosine.size(-1), Address(cosine), Address(sine));
        rotate.Run(team);
        return heads.narrow(1, 0, count);
    }

    /// <inheritdoc/>
    public Tensor SwiGlu(Tensor gateUp)
    {
        var (rows, width) = ((int)gateUp.size(0), (int)gateUp.size(1) / 2);
        var output = empty([rows, width], gateUp.dtype, gateUp.device);
        swiGlu.Set(NumberTypes.Of(gateUp.dtype), Address(gateUp), Address(output), rows, width);
        swiGlu.Run(team);
        return output;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // The threads are borrowed, and nothing else is held.
    }

    private static nint Address(Tensor tensor) => TensorMemory.Contiguous(tensor);
}
