namespace LocalLlm.Kernels.Cpu;

/// <summary>
/// A vector of 32-bit lanes: <see cref="Lanes512"/> (AVX-512), <see cref="Lanes256"/> (AVX2 and FMA) or <see cref="Lanes128"/> (anything else,
/// ARM64 among it). A kernel is written once over this interface; the just-in-time compiler makes one version for each width.
/// </summary>
internal unsafe interface ILanes<TSelf> where TSelf : unmanaged, ILanes<TSelf>
{
    /// <summary>Lanes of a vector: 16, 8 or 4.</summary>
    static abstract int Count { get; }

    /// <summary>All lanes 0.</summary>
    static abstract TSelf Zero { get; }

    /// <summary>The same number in all lanes.</summary>
    static abstract TSelf Broadcast(float value);

    /// <summary>Reads <see cref="Count"/> floats, aligned or not.</summary>
    static abstract TSelf Load(float* source);

    /// <summary>Reads <see cref="Count"/> IEEE halves; subnormal numbers, infinities and NaN keep their values.</summary>
    static abstract TSelf LoadFloat16(ushort* source);

    /// <summary>Reads <see cref="Count"/> bfloat16 numbers.</summary>
    static abstract TSelf LoadBFloat16(ushort* source);

    /// <summary>Reads <see cref="Count"/> 32-bit patterns of packed codes, for <see cref="ShiftRight"/> and the two conversions below.</summary>
    static abstract TSelf LoadBits(uint* source);

    /// <summary>Reads <see cref="Count"/> bytes as whole numbers 0 to 255.</summary>
    static abstract TSelf LoadBytes(byte* source);

    /// <summary>Reads <see cref="Count"/> signed bytes as whole numbers −128 to 127.</summary>
    static abstract TSelf LoadSignedBytes(sbyte* source);

    /// <summary>Reads <see cref="Count"/> bytes b as the floats whose bits are (b + <paramref name="bias"/>) shifted left by 20: 8 bits of exponent and mantissa.</summary>
    static abstract TSelf LoadScaleBytes(byte* source, int bias);

    /// <summary>Writes <see cref="Count"/> floats.</summary>
    static abstract void Store(TSelf value, float* target);

    /// <summary>Writes <see cref="Count"/> bfloat16 numbers, rounded to nearest, ties to even; NaN stays NaN.</summary>
    static abstract void StoreBFloat16(TSelf value, ushort* target);

    /// <summary>Each lane rounded to bfloat16, to nearest, ties to even; NaN stays NaN.</summary>
    static abstract TSelf RoundToBFloat16(TSelf value);

    static abstract TSelf operator +(TSelf a, TSelf b);

    static abstract TSelf operator -(TSelf a, TSelf b);

    static abstract TSelf operator *(TSelf a, TSelf b);

    static abstract TSelf operator /(TSelf a, TSelf b);

    /// <summary>a·b + c, fused where the processor can.</summary>
    static abstract TSelf MultiplyAdd(TSelf a, TSelf b, TSelf c);

    /// <summary>The larger number of each lane.</summary>
    static abstract TSelf Max(TSelf a, TSelf b);

    /// <summary>The absolute value of each lane.</summary>
    static abstract TSelf Abs(TSelf value);

    /// <summary>The lanes of <paramref name="negative"/> where <paramref name="sign"/> is below 0, else those of <paramref name="other"/>.</summary>
    static abstract TSelf Choose(TSelf sign, TSelf other, TSelf negative);

    /// <summary>value · 2^exponent for whole exponents of at most 0; 0 where that is below what a float holds. NaN stays NaN.</summary>
    static abstract TSelf ScaleByPowerOfTwo(TSelf value, TSelf exponent);

    /// <summary>The sum of the lanes.</summary>
    static abstract float Sum(TSelf value);

    /// <summary>Writes the sums of the lanes of four vectors: fewer operations than four sums.</summary>
    static abstract void StoreSums(TSelf a, TSelf b, TSelf c, TSelf d, float* target);

    /// <summary>The largest lane.</summary>
    static abstract float Largest(TSelf value);

    /// <summary>Shifts every lane's bits to the right.</summary>
    static abstract TSelf ShiftRight(TSelf bits, [System.Diagnostics.CodeAnalysis.ConstantExpected] byte count);

    /// <summary>The lowest two bits of each lane as a number, less 1.5.</summary>
    static abstract TSelf TwoBits(TSelf bits);

    /// <summary>The lowest bit of each lane as a number, less 0.5.</summary>
    static abstract TSelf OneBit(TSelf bits);
}
