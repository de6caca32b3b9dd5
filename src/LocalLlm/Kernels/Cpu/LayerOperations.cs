using System.Runtime.CompilerServices;

namespace LocalLlm.Kernels.Cpu;

/// <summary>
/// What a decoder layer does between its matrix products, row by row: the same arithmetic and the same roundings as the torch operations that they take the place
/// of, without a torch call for each. Rows are dealt to the team's threads where there are many.
/// </summary>
internal abstract unsafe class LayerOperations
{
    /// <summary>The fastest of this processor.</summary>
    public static LayerOperations Best { get; } = For(SimdPaths.Best);

    /// <summary>The operations of a path.</summary>
    /// <exception cref="NotSupportedException">This processor does not have it.</exception>
    public static LayerOperations For(SimdPath path) => SimdPaths.Require(path) switch
    {
        SimdPath.Vector512 => new LayerOperations<Lanes512>(),
        SimdPath.Vector256 => new LayerOperations<Lanes256>(),
        _ => new LayerOperations<Lanes128>(),
    };

    /// <summary>RMSNorm (arXiv 1910.07467): output = round(x / √(mean x² + ε)) · weight, rounded. With <paramref name="added"/>, first x = round(x + added).</summary>
    /// <param name="type">The type of all.</param>
    /// <param name="x">[rows][<paramref name="xStride"/>], of which <paramref name="width"/> count; changed where there is something to add.</param>
    /// <param name="xStride">Elements from one row to the next.</param>
    /// <param name="added">[rows][width], contiguous, or null.</param>
    /// <param name="weight">[width].</param>
    /// <param name="output">[rows][<paramref name="outputStride"/>]; may be <paramref name="x"/>.</param>
    /// <param name="outputStride">Elements from one row to the next.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="width">Numbers of a row.</param>
    /// <param name="epsilon">ε.</param>
    public abstract void Norm(
        NumberType type, byte* x, nint xStride, byte* added, byte* weight, byte* output, nint outputStride, int rows, int width, float epsilon);

    /// <summary>Rotary embedding in the half-split form, in place: channels i and i + R/2 of a head turn by the angle i of the row's position.</summary>
    /// <param name="type">The type of the heads.</param>
    /// <param name="x">[rows][<paramref name="stride"/>], a row's first <paramref name="heads"/> heads of <paramref name="headDim"/> channels.</param>
    /// <param name="stride">Elements from one row to the next.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="heads">Heads of a row.</param>
    /// <param name="headDim">D.</param>
    /// <param name="rotaryDim">R, at most D.</param>
    /// <param name="cosine">float [rows][R/2].</param>
    /// <param name="sine">float [rows][R/2].</param>
    public abstract void Rotate(NumberType type, byte* x, nint stride, int rows, int heads, int headDim, int rotaryDim, float* cosine, float* sine);

    /// <summary>SwiGLU (arXiv 2002.05202): output = round(round(gate / (1 + e^−gate)) · up).</summary>
    /// <param name="type">The type of all.</param>
    /// <param name="gateUp">[rows][2·<paramref name="width"/>], the gates first.</param>
    /// <param name="output">[rows][width], contiguous.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="width">I.</param>
    public abstract void SwiGlu(NumberType type, byte* gateUp, byte* output, int rows, int width);

    /// <summary>x = round(x + added).</summary>
    /// <param name="type">The type of both.</param>
    /// <param name="x">[count].</param>
    /// <param name="added">[count].</param>
    /// <param name="count">Numbers.</param>
    public abstract void Add(NumberType type, byte* x, byte* added, nint count);
}

/// <inheritdoc/>
internal sealed unsafe class LayerOperations<TLanes> : LayerOperations
    where TLanes : unmanaged, ILanes<TLanes>
{
    /// <inheritdoc/>
    public override void Norm(
        NumberType type, byte* x, nint xStride, byte* added, byte* weight, byte* output, nint outputStride, int rows, int width, float epsilon)
    {
        switch (type)
        {
            case NumberType.Float32: Norm<Float32Numbers>(x, xStride, added, weight, output, outputStride, rows, width, epsilon); break;
            case NumberType.BFloat16: Norm<BFloat16Numbers>(x, xStride, added, weight, output, outputStride, rows, width, epsilon); break;
            default: Norm<Float16Numbers>(x, xStride, added, weight, output, outputStride, rows, width, epsilon); break;
        }
    }

    /// <inheritdoc/>
    public override void Rotate(NumberType type, byte* x, nint stride, int rows, int heads, int headDim, int rotaryDim, float* cosine, float* sine)
    {
        switch (type)
        {
            case NumberType.Float32: Rotate<Float32Numbers>(x, stride, rows, heads, headDim, rotaryDim, cosine, sine); break;
            case NumberType.BFloat16: Rotate<BFloat16Numbers>(x, stride, rows, heads, headDim, rotaryDim, cosine, sine); break;
            default: Rotate<Float16Numbers>(x, stride, rows, heads, headDim, rotaryDim, cosine, sine); break;
        }
    }

    /// <inheritdoc/>
    public override void SwiGlu(NumberType type, byte* gateUp, byte* output, int rows, int width)
    {
        switch (type)
        {
            case NumberType.Float32: SwiGlu<Float32Numbers>(gateUp, output, rows, width); break;
            case NumberType.BFloat16: SwiGlu<BFloat16Numbers>(gateUp, output, rows, width); break;
            default: SwiGlu<Float16Numbers>(gateUp, output, rows, width); break;
        }
    }

    /// <inheritdoc/>
    public override void Add(NumberType type, byte* x, byte* added, nint count)
    {
        switch (type)
        {
            case NumberType.Float32: Add<Float32Numbers>(x, added, count); break;
            case NumberType.BFloat16: Add<BFloat16Numbers>(x, added, count); break;
            default: Add<Float16Numbers>(x, added, count); break;
        }
    }

    private static void Norm<T>(byte* x, nint xStride, byte* added, byte* weight, byte* output, nint outputStride, int rows, int width, float epsilon)
        where T : struct, INumbers
    {
        for (var row = 0; row < rows; row++, x += xStride * T.Bytes, output += outputStride * T.Bytes)
        {
            if (added != null)
            {
                Add<T>(x, added, width);
                added += (nint)width * T.Bytes;
            }

            var (sums, rest) = (TLanes.Zero, 0f);
            var i = 0;
            for (; i <= width - TLanes.Count; i += TLanes.Count)
            {
                var number = T.Load<TLanes>(x + (i * T.Bytes));
                sums = TLanes.MultiplyAdd(number, number, sums);
            }

            for (; i < width; i++)
                rest += T.Read(x + (i * T.Bytes)) * T.Read(x + (i * T.Bytes));
            var inverse = 1 / MathF.Sqrt(((TLanes.Sum(sums) + rest) / width) + epsilon);
            var factor = TLanes.Broadcast(inverse);
            for (i = 0; i <= width - TLanes.Count; i += TLanes.Count)
                T.Store(T.Round(T.Load<TLanes>(x + (i * T.Bytes)) * factor) * T.Load<TLanes>(weight + (i * T.Bytes)), output + (i * T.Bytes));
            for (; i < width; i++)
                T.Write(T.Round(T.Read(x + (i * T.Bytes)) * inverse) * T.Read(weight + (i * T.Bytes)), output + (i * T.Bytes));
        }
    }

    private static void Rotate<T>(byte* x, nint stride, int rows, int heads, int headDim, int rotaryDim, float* cosine, float* sine)
        where T : struct, INumbers
    {
        var half = rotaryDim / 2;
        for (var row = 0; row < rows; row++, x += stride * T.Bytes, cosine += half, sine += half)
        {
            for (var head = 0; head < heads; head++)
            {
                var first = x + ((nint)head * headDim * T.Bytes);
                var second = first + (half * T.Bytes);
                var i = 0;
                for (; i <= half - TLanes.Count; i += TLanes.Count)
                {
                    TLanes a = T.Load<TLanes>(first + (i * T.Bytes)), b = T.Load<TLanes>(second + (i * T.Bytes)), c = TLanes.Load(cosine + i), s = TLanes.Load(sine + i);
                    T.Store((a * c) - (b * s), first + (i * T.Bytes));
                    T.Store(TLanes.MultiplyAdd(b, c, a * s), second + (i * T.Bytes));
                }

                for (; i < half; i++)
                {
                    var (a, b) = (T.Read(first + (i * T.Bytes)), T.Read(second + (i * T.Bytes)));
                    T.Write((a * cosine[i]) - (b * sine[i]), first + (i * T.Bytes));
                    T.Write((b * cosine[i]) + (a * sine[i]), second + (i * T.Bytes));
                }
            }
        }
    }

    private static void SwiGlu<T>(byte* gateUp, byte* output, int rows, int width) where T : struct, INumbers
    {
        var one = TLanes.Broadcast(1);
        for (var row = 0; row < rows; row++, gateUp += 2 * (nint)width * T.Bytes, output += (nint)width * T.Bytes)
        {
            var up = gateUp + ((nint)width * T.Bytes);
            var i = 0;
            for (; i <= width - TLanes.Count; i += TLanes.Count)
            {
                // e^−|g| never overflows: the logistic function of g is 1 / (1 + e) where g ≥ 0, else e / (1 + e).
                var g = T.Load<TLanes>(gateUp + (i * T.Bytes));
                var e = VectorMath.Exp(TLanes.Zero - TLanes.Abs(g));
                var logistic = TLanes.Choose(g, one, e) / (one + e);
                T.Store(T.Round(g * logistic) * T.Load<TLanes>(up + (i * T.Bytes)), output + (i * T.Bytes));
            }

            for (; i < width; i++)
            {
                var g = T.Read(gateUp + (i * T.Bytes));
                T.Write(T.Round(g / (1 + MathF.Exp(-g))) * T.Read(up + (i * T.Bytes)), output + (i * T.Bytes));
            }
        }
    }

    private static void Add<T>(byte* x, byte* added, nint count) where T : struct, INumbers
    {
        nint i = 0;
        for (; i <= count - TLanes.Count; i += TLanes.Count)
            T.Store(T.Load<TLanes>(x + (i * T.Bytes)) + T.Load<TLanes>(added + (i * T.Bytes)), x + (i * T.Bytes));
        for (; i < count; i++)
            T.Write(T.Read(x + (i * T.Bytes)) + T.Read(added + (i * T.Bytes)), x + (i * T.Bytes));
    }
}
