using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace LocalLlm.Kernels.Cpu;

/// <summary>Rows of numbers in memory, not owned: one row for each token of a page.</summary>
internal readonly unsafe struct NumberRows
{
    /// <summary>Describes rows of which token t's begins <c>(rows is null ? t : rows[t]) · stride</c> numbers after the first.</summary>
    /// <param name="start">Number 0 of row 0; any alignment.</param>
    /// <param name="type">The numbers' type.</param>
    /// <param name="stride">Numbers from one row's begin to the next one's.</param>
    /// <param name="rows">The row of each token; null where token t is row t.</param>
    public NumberRows(void* start, NumberType type, long stride, int* rows = null)
    {
        (Type, Stride) = (type, stride);
        Start = (byte*)start;
        Rows = rows;
    }

    /// <summary>Number 0 of row 0.</summary>
    public byte* Start { get; }

    /// <summary>The numbers' type.</summary>
    public NumberType Type { get; }

    /// <summary>Numbers from one row's begin to the next one's.</summary>
    public long Stride { get; }

    /// <summary>The row of each token, or null.</summary>
    public int* Rows { get; }

    /// <summary>Bytes of a number.</summary>
    public int ElementBytes => Type == NumberType.Float32 ? 4 : 2;

    /// <summary>Number 0 of token <paramref name="token"/>'s row.</summary>
    public byte* Row(int token) => Start + (Rows == null ? token : Rows[token]) * Stride * ElementBytes;
}

/// <summary>
/// Loads numbers of one type as float32. Each implementation is a struct without fields, so that code over it is compiled for it alone.
/// </summary>
internal unsafe interface INumberLoader
{
    /// <summary>Bytes of a number.</summary>
    static abstract int ElementBytes { get; }

    /// <summary>Sixteen numbers; any alignment.</summary>
    static abstract Vector512<float> Load16(byte* source);

    /// <summary>Eight numbers, the upper lanes 0.</summary>
    static abstract Vector512<float> Load8(byte* source);
}

/// <summary>Loads IEEE singles.</summary>
internal readonly unsafe struct Float32Loader : INumberLoader
{
    public static int ElementBytes => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load16(byte* source) => Vector512.Load((float*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load8(byte* source) => Vector512.Create(Vector256.Load((float*)source), Vector256<float>.Zero);
}

/// <summary>Loads bfloat16 numbers.</summary>
internal readonly unsafe struct BFloat16Loader : INumberLoader
{
    public static int ElementBytes => 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load16(byte* source) => Widen(Vector256.Load((ushort*)source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load8(byte* source) => Widen(Vector256.Create(Vector128.Load((ushort*)source), Vector128<ushort>.Zero));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Widen(Vector256<ushort> bits) => (HalfLanes.Widen(bits) << 16).AsSingle();
}

/// <summary>Loads IEEE halves.</summary>
internal readonly unsafe struct Float16Loader : INumberLoader
{
    public static int ElementBytes => 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load16(byte* source) => HalfLanes.ToSingle(HalfLanes.Widen(Vector256.Load((ushort*)source)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load8(byte* source) =>
        HalfLanes.ToSingle(HalfLanes.Widen(Vector256.Create(Vector128.Load((ushort*)source), Vector128<ushort>.Zero)));
}
