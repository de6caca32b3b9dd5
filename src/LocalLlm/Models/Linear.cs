using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace LocalLlm.Models;

/// <summary>A linear layer, x · Wᵀ + bias: by the row kernels for few rows on a CPU, by torch otherwise. It owns neither tensor.</summary>
internal sealed class Linear
{
    private readonly Tensor weight;
    private readonly Tensor? bias;
    private readonly RowKernels? kernels;
    private readonly NumberType type;
    private readonly nint weightAddress;
    private readonly nint biasAddress;
    private readonly int outputs;
    private readonly int inputs;

    /// <summary>Creates the layer.</summary>
    /// <param name="weight">[N, K]: bfloat16, float16 or float32. Contiguous where there are kernels.</param>
    /// <param name="bias">[N], of the weight's type; or null.</param>
    /// <param name="kernels">Null for torch alone, as on a GPU.</param>
    public Linear(Tensor weight, Tensor? bias, RowKernels? kernels)
    {
        (this.weight, this.bias, this.kernels) = (weight, bias, kernels);
        if (kernels is null)
            return;
        (outputs, inputs) = (checked((int)weight.shape[0]), checked((int)weight.shape[1]));
        type = NumberTypes.Of(weight.dtype);
        weightAddress = TensorMemory.Contiguous(weight);
        if (bias is not null && (bias.dtype != weight.dtype || bias.numel() != outputs))
            throw new ArgumentException($"The bias is {bias.dtype} of {bias.numel()} numbers; the weight is {weight.dtype} with {outputs} rows.", nameof(bias));
        biasAddress = bias is null ? 0 : TensorMemory.Contiguous(bias);
    }

    /// <summary>x: [T, K] of the weight's type and device -> [T, N].</summary>
    public Tensor Apply(Tensor x)
    {
        var rows = x.size(0);
        if (kernels is null || rows > kernels.MaxRows || rows == 0)
            return linear(x, weight, bias);

        if (x.dtype != weight.dtype || x.Dimensions != 2 || x.size(1) != inputs)
            throw new ArgumentException($"The layer takes [T, {inputs}] {weight.dtype}; got [{string.Join(", ", x.shape)}] {x.dtype}.", nameof(x));
        using var copy = x.is_contiguous() ? null : x.contiguous();
        var y = empty(rows, outputs, weight.dtype);
        kernels.Multiply(type, TensorMemory.Address(copy ?? x), (int)rows, weightAddress, outputs, inputs, biasAddress, TensorMemory.Address(y));
        GC.KeepAlive(x);
        GC.KeepAlive(copy);
        return y;
    }
}
