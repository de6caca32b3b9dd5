using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Kernels.Cuda;
using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.Benchmarks.Gpu;

/// <summary>Random bf16 keys and values in a GPU's memory that become pages, of several heads by one launch.</summary>
internal sealed class GpuPages : IDisposable
{
    private readonly List<Tensor> owned = [];
    private readonly IKernelLauncher launcher;
    private readonly QuantiseArguments arguments;
    private readonly int heads;

    public GpuPages(GpuTarget target, PageLayout layout, int heads, bool clipSearch)
    {
        (launcher, this.heads) = (target.Launcher, heads);
        var (rowBytes, headBytes) = (2 * layout.HeadDim, 2 * layout.HeadDim * layout.Tokens);
        Bytes = (long)heads * ((2 * headBytes) + layout.HeadBytes);
        var (codes, scales) = (Take((long)heads * layout.CodeBytes, ScalarType.Byte), Take((long)heads * layout.ScaleBytes, ScalarType.Byte));
        arguments = new QuantiseArguments
        {
            Layout = new DevicePageLayout(layout),
            Keys = Rows(),
            Values = Rows(),
            KeyHeadBytes = headBytes,
            KeyRowBytes = rowBytes,
            ValueHeadBytes = headBytes,
            ValueRowBytes = rowBytes,
            KeyCodes = codes,
            ValueCodes = codes + layout.ValueOffset,
            KeyScales = scales,
            ValueScales = scales + (layout.ValueScaleIndex * layout.ScaleElementBytes),
            CodeHeadBytes = layout.CodeBytes,
            ScaleHeadBytes = layout.ScaleBytes,
            Fault = Own(full(1, int.MaxValue, ScalarType.Int32, target.Device)),
            Type = NumberType.BFloat16,
            ClipSearch = clipSearch ? 1 : 0,
        };

        nint Take(long count, ScalarType type) => Own(empty(count, type, target.Device));

        nint Rows() => Own(randn(heads, layout.Tokens, layout.HeadDim, dtype: ScalarType.BFloat16, device: target.Device));
    }

    /// <summary>Bytes of rows that are read and of pages that are written.</summary>
    public long Bytes { get; }

    /// <summary>Whether all groups could be packed, once <see cref="Quantise"/> has ended.</summary>
    public bool IsGood => owned.Single(t => t.dtype == ScalarType.Int32).item<int>() == int.MaxValue;

    public void Quantise() =>
        launcher.Launch(new CudaKernel("quantise_page"), (arguments.Blocks, heads, 1), QuantiseArguments.Threads, arguments);

    public void Dispose() => owned.ForEach(t => t.Dispose());

    private nint Own(Tensor tensor)
    {
        owned.Add(tensor.DetachFromDisposeScope());
        return TensorMemory.Address(tensor);
    }
}
