namespace LocalLlm.Kernels.Cpu;

/// <summary>An operation of <see cref="LayerOperations"/> over rows, cut into parts for a team. Reused; one caller at a time.</summary>
internal abstract unsafe class LayerWork : ParallelWork
{
    /// <summary>Numbers that one thread handles in less time than waking another takes.</summary>
    private const int AloneNumbers = 32 * 1024;

    private int rowsOfPart;

    /// <summary>The operations of the processor.</summary>
    protected static LayerOperations Operations => LayerOperations.Best;

    /// <summary>The type of the numbers.</summary>
    protected NumberType Type { get; set; }

    /// <summary>Rows.</summary>
    protected int Rows { get; set; }

    /// <summary>Numbers of a row.</summary>
    protected int Width { get; set; }

    /// <summary>Bytes of a number.</summary>
    protected int Bytes => Type == NumberType.Float32 ? 4 : 2;

    /// <summary>Runs it on all rows.</summary>
    public void Run(WorkerTeam team)
    {
        rowsOfPart = Math.Max(1, Math.Max(AloneNumbers / Width, Rows / (4 * team.Threads)));
        team.Run(this, (Rows + rowsOfPart - 1) / rowsOfPart);
    }

    /// <inheritdoc/>
    public sealed override void Execute(int item, int worker)
    {
        var first = item * rowsOfPart;
        Execute(first, Math.Min(rowsOfPart, Rows - first), worker);
    }

    /// <summary>Runs it on some rows.</summary>
    protected abstract void Execute(int first, int count, int worker);
}

/// <summary><see cref="LayerOperations.Norm"/>.</summary>
internal sealed unsafe class NormWork : LayerWork
{
    private nint x;
    private nint added;
    private nint weight;
    private nint output;
    private float epsilon;

    /// <summary>Sets the arguments of the next run; see <see cref="LayerOperations.Norm"/>. All are contiguous.</summary>
    public void Set(NumberType type, nint x, nint added, nint weight, nint output, int rows, int width, float epsilon)
    {
        (Type, Rows, Width) = (type, rows, width);
        (this.x, this.added, this.weight, this.output, this.epsilon) = (x, added, weight, output, epsilon);
    }

    /// <inheritdoc/>
    protected override void Execute(int first, int count, int worker)
    {
        var offset = (nint)first * Width * Bytes;
        Operations.Norm(
            Type, (byte*)x + offset, Width, added == 0 ? null : (byte*)added + offset, (byte*)weight, (byte*)output + offset, Width, count, Width, epsilon);
    }
}

/// <summary><see cref="LayerOperations.Norm"/> of some heads of each row, in place.</summary>
internal sealed unsafe class HeadNormWork : LayerWork
{
    private nint x;
    private nint stride;
    private nint weight;
    private int heads;
    private int headDim;
    private float epsilon;

    /// <summary>Sets the arguments of the next run: rows <paramref name="stride"/> numbers apart, of each the first <paramref name="heads"/> heads.</summary>
    public void Set(NumberType type, nint x, nint stride, nint weight, int rows, int heads, int headDim, float epsilon)
    {
        (Type, Rows, Width) = (type, rows, heads * headDim);
        (this.x, this.stride, this.weight, this.heads, this.headDim, this.epsilon) = (x, stride, weight, heads, headDim, epsilon);
    }

    /// <inheritdoc/>
    protected override void Execute(int first, int count, int worker)
    {
        for (var row = first; row < first + count; row++)
        {
            var start = (byte*)x + (row * stride * Bytes);
            Operations.Norm(Type, start, headDim, null, (byte*)weight, start, headDim, heads, headDim, epsilon);
        }
    }
}

/// <summary><see cref="LayerOperations.Rotate"/>.</summary>
internal sealed unsafe class RotateWork : LayerWork
{
    private nint x;
    private nint stride;
    private int heads;
    private int headDim;
    private int rotaryDim;
    private nint cosine;
    private nint sine;

    /// <summary>Sets the arguments of the next run; see <see cref="LayerOperations.Rotate"/>.</summary>
    public void Set(
        NumberType type, nint x, nint stride, int rows, int heads, int headDim, int rotaryDim, nint cosine, nint sine)
    {
        (Type, Rows, Width) = (type, rows, heads * headDim);
        (this.x, this.stride, this.heads, this.headDim, this.rotaryDim, this.cosine, this.sine) = (x, stride, heads, headDim, rotaryDim, cosine, sine);
    }

    /// <inheritdoc/>
    protected override void Execute(int first, int count, int worker)
    {
        var angles = (nint)first * (rotaryDim / 2);
        Operations.Rotate(
            Type, (byte*)x + (first * stride * Bytes), stride, count, heads, headDim, rotaryDim, (float*)cosine + angles, (float*)sine + angles);
    }
}

/// <summary><see cref="LayerOperations.SwiGlu"/>.</summary>
internal sealed unsafe class SwiGluWork : LayerWork
{
    private nint gateUp;
    private nint output;

    /// <summary>Sets the arguments of the next run; see <see cref="LayerOperations.SwiGlu"/>.</summary>
    public void Set(NumberType type, nint gateUp, nint output, int rows, int width)
    {
        (Type, Rows, Width) = (type, rows, width);
        (this.gateUp, this.output) = (gateUp, output);
    }

    /// <inheritdoc/>
    protected override void Execute(int first, int count, int worker) =>
        Operations.SwiGlu(Type, (byte*)gateUp + (2 * (nint)first * Width * Bytes), (byte*)output + ((nint)first * Width * Bytes), count, Width);
}
