using LocalLlm.Quantization;

namespace LocalLlm.KvCache;

/// <summary>What a kernel may find wrong with the keys or values of one write; it says so by an index.</summary>
/// <param name="Owner">Whose write it is: what was <see cref="CudaFaults.Owner"/> then.</param>
/// <param name="Layer">The layer.</param>
/// <param name="Position">Rows: the position of the first.</param>
/// <param name="Heads">Hkv.</param>
/// <param name="HeadDim">D.</param>
/// <param name="IsValue">Rows: whether they are values.</param>
/// <param name="Page">The layout of the pages that are made; null for rows.</param>
internal readonly record struct WriteFault(object? Owner, int Layer, int Position, int Heads, int HeadDim, bool IsValue, PageLayout? Page)
{
    /// <summary>The error that an index means: of append_rows, or of quantise_page.</summary>
    public LocalLlmException ToException(int index)
    {
        if (Page is not null)
        {
            var group = (index % (HeadDim + (Page.Tokens * Page.Groups))) - HeadDim; // pages count on
            var fault = group < 0
                ? new PageFault(true, -1, index, 0, 0)
                : new PageFault(false, group / Page.Groups, PageLayout.GroupStart(group % Page.Groups), 0, 0);
            return (fault with { IsRangeKnown = false }).ToException(Page, Layer);
        }

        var number = (index % 3) switch { 0 => float.NaN, 1 => float.PositiveInfinity, _ => float.NegativeInfinity };
        var (row, channel) = Math.DivRem(index / 3, HeadDim);
        return FiniteCheck.Failure(Layer, Position, IsValue ? "value" : "key", number, row / Heads, row % Heads, channel);
    }
}
