using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace LocalLlm.Models;

/// <summary>A linear layer, x · Wᵀ + bias: by the row kernels or by torch, whose last bits differ. It owns neither tensor.</summary>
internal sealed class Linear
{
    private const int LeastTorchRows = 16;

    private readonly Tensor weight;
    private readonly Tensor? bias;
    private readonly RowMatmul? kernels;
    private readonly NumberType type;
    private readonly nint weightAddress;
    private readonly nint biasAddress;
    private readonly int outputs;
    private readonly int inputs;

    /// <summary>Creates the layer.</summary>
    /// <param name="weight">[N, K]: bfloat16, float16 or float32. Contiguous where there are kernels.</param>
    /// <param name="bias">[N], of the weight's type; or null.</param>
    /// <param name="kernels">Null for torch alone, as on a GPU.</param>
    public Linear(Tensor weight, Tensor? bias, RowMatmul? kernels)
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

    /// <summary>The fastest way for so many rows. x: [T, K] of the weight's type and device -> [T, N].</summary>
    public Tensor Apply(Tensor x)
    {
        var rows = x.size(0);
        return kernels is null || rows > RowMatmul.MaxRows || rows == 0 ? linear(x, weight, bias) : ApplyKernels(x);
    }

    /// <summary>
    /// The way that depends on what a row is and not on how many there are, so that a sequence's numbers do not depend on its neighbours. Generated tokens, few in a
    /// step, by the kernels; prompts by the kernels too in float32, where they are as fast as torch, and by torch in narrower types, for which it has faster
    /// instructions. A fixed rule: two loads of a model give the same bits. On a GPU, where there are no kernels, <see cref="Apply(Tensor)"/>.
    /// </summary>
    /// <param name="x">[T, K], the rows of generated tokens before those of prompts.</param>
    /// <param name="generatedRows">Rows of generated tokens.</param>
    /// <returns>[T, N].</returns>
    public Tensor Apply(Tensor x, int generatedRows)
    {
        var rows = (int)x.size(0);
        if (kernels is null || rows == 0)
            return Apply(x);
        if (generatedRows == rows || type == NumberType.Float32)
            return ApplyKernels(x);
        if (generatedRows == 0)
            return ApplyTorch(x);

        // The kernels for the first rows, torch for the others.
        var y = empty(rows, outputs, weight.dtype);
        using var scope = NewDisposeScope();
        MultiplyInto(x.narrow(0, 0, generatedRows), y);
        y.narrow(0, generatedRows, rows - generatedRows).copy_(ApplyTorch(x.narrow(0, generatedRows, rows - generatedRows)));
        return y;
    }

    // However many rows there are: block by block.
    private Tensor ApplyKernels(Tensor x)
    {
        var y = empty(x.size(0), outputs, weight.dtype);
        MultiplyInto(x, y);
        return y;
    }

    // torch takes other ways for very few rows; filled up to this many, a row's result was the same in every batch.
    private Tensor ApplyTorch(Tensor x)
    {
        var rows = x.size(0);
        if (rows >= LeastTorchRows)
            return linear(x, weight, bias);
        using var scope = NewDisposeScope();
        var filled = zeros([LeastTorchRows, inputs], x.dtype);
        filled.narrow(0, 0, rows).copy_(x);
        return linear(filled, weight, bias).narrow(0, 0, rows).MoveToOuterDisposeScope();
    }

    private void MultiplyInto(Tensor x, Tensor y)
    {
        if (x.dtype != weight.dtype || x.Dimensions != 2 || x.size(1) != inputs)
            throw new ArgumentException($"The layer takes [T, {inputs}] {weight.dtype}; got [{string.Join(", ", x.shape)}] {x.dtype}.", nameof(x));
        using var copy = x.is_contiguous() ? null : x.contiguous();
        var (source, target, elementBytes) = (TensorMemory.Address(copy ?? x), TensorMemory.Address(y), (int)weight.ElementSize);
        var rows = (int)x.size(0);
        for (var row = 0; row < rows; row += RowMatmul.MaxRows)
        {
            kernels!.Multiply(
                type, source + ((nint)row * inputs * elementBytes), Math.Min(RowMatmul.MaxRows, rows - row), weightAddress, outputs, inputs, biasAddress,
                target + ((nint)row * outputs * elementBytes));
        }

        GC.KeepAlive(x);
        GC.KeepAlive(y);
        GC.KeepAlive(copy);
    }
}
