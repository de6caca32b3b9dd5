using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Models;

/// <summary>
/// What a layer does between its matrix products, on the CPU kernels: one call in place of five to ten torch operations, each of which costs a few microseconds in a
/// decode step. Many rows are dealt to the team's threads.
/// </summary>
/// <param name="team">The threads; borrowed.</param>
internal sealed class LayerKernels(WorkerTeam team)
{
    private readonly LayerOperations operations = LayerOperations.Best;
    private readonly NormWork normWork = new();
    private readonly RotateWork rotateWork = new();
    private readonly SwiGluWork swiGluWork = new();

    /// <summary>RMSNorm of each row, after adding <paramref name="added"/> to <paramref name="x"/> in place if it is given.</summary>
    /// <param name="x">[…, W], rows at equal distances; changed where there is something to add.</param>
    /// <param name="added">The same shape, contiguous; or null.</param>
    /// <param name="weight">[W].</param>
    /// <param name="epsilon">ε.</param>
    /// <returns>A contiguous tensor of the shape of <paramref name="x"/>.</returns>
    public Tensor Norm(Tensor x, Tensor? added, Tensor weight, float epsilon)
    {
        var output = empty(x.shape, x.dtype, x.device);
        var width = (int)x.size(-1);
        normWork.Set(operations, NumberTypes.Of(x.dtype), Address(x), (nint)x.stride(-2), added is null ? 0 : Address(added), Address(weight), Address(output),
            (int)(x.NumberOfElements / width), width, epsilon);
        normWork.Run(team);
        GC.KeepAlive(added);
        return output;
    }

    /// <summary>Rotates heads in place.</summary>
    /// <param name="heads">[T, N, D], a token's heads lying together.</param>
    /// <param name="count">Heads of a token to rotate, from the first on.</param>
    /// <param name="cosine">[T, 1, R/2] float32.</param>
    /// <param name="sine">[T, 1, R/2] float32.</param>
    public void Rotate(Tensor heads, int count, Tensor cosine, Tensor sine)
    {
        rotateWork.Set(operations, NumberTypes.Of(heads.dtype), Address(heads), (nint)heads.stride(0), (int)heads.size(0), count, (int)heads.size(2),
            2 * (int)cosine.size(-1), Address(cosine), Address(sine));
        rotateWork.Run(team);
    }

    /// <summary>SwiGLU.</summary>
    /// <param name="gateUp">[T, 2·I], contiguous.</param>
    /// <returns>[T, I].</returns>
    public Tensor SwiGlu(Tensor gateUp)
    {
        var (rows, width) = ((int)gateUp.size(0), (int)gateUp.size(1) / 2);
        var output = empty([rows, width], gateUp.dtype, gateUp.device);
        swiGluWork.Set(operations, NumberTypes.Of(gateUp.dtype), Address(gateUp), Address(output), rows, width);
        swiGluWork.Run(team);
        return output;
    }

    private static nint Address(Tensor tensor) => TensorMemory.Address(tensor);
}
