using System.Runtime.InteropServices;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Quantization;

namespace LocalLlm.Benchmarks;

/// <summary>Random bf16 keys and values of a page, as rows of which each second one is taken, and room for the page.</summary>
internal sealed unsafe class PageRows : IDisposable
{
    private readonly PageLayout layout;
    private readonly bool clipSearch;
    private readonly nint memory;
    private readonly NumberRows keys;
    private readonly NumberRows values;

    public PageRows(PageLayout layout, bool clipSearch)
    {
        (this.layout, this.clipSearch) = (layout, clipSearch);
        var rows = 2 * layout.Tokens * layout.HeadDim;
        memory = (nint)NativeMemory.AlignedAlloc((nuint)((4 * rows) + layout.HeadBytes), 64);
        var random = new Random(1);
        var numbers = (ushort*)memory;
        for (var i = 0; i < 2 * rows; i++)
            numbers[i] = (ushort)(BitConverter.SingleToUInt32Bits((float)(random.NextDouble() + random.NextDouble() - random.NextDouble())) >> 16);
        keys = new NumberRows(numbers + layout.HeadDim, NumberType.BFloat16, 2 * layout.HeadDim);
        values = new NumberRows(numbers + rows + layout.HeadDim, NumberType.BFloat16, 2 * layout.HeadDim);
        Page = memory + (4 * rows);
    }

    /// <summary>Bytes of keys and values that become the page.</summary>
    public int InputBytes => 4 * layout.Tokens * layout.HeadDim;

    private nint Page { get; }

    public void Quantize()
    {
        if (!PageQuantizer.TryQuantize(layout, keys, values, Page, Page + layout.CodeBytes, clipSearch, out _))
            throw new InvalidOperationException("The numbers fit no page.");
    }

    /// <summary>Copies as many bytes, which no quantiser can beat.</summary>
    public void Copy() => Buffer.MemoryCopy((void*)memory, (void*)(memory + InputBytes), InputBytes, InputBytes);

    public void Dispose() => NativeMemory.AlignedFree((void*)memory);
}
