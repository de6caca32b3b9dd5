using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace LocalLlm.Kernels.Cpu;

/// <summary>
/// IEEE halves in vector lanes, by integer operations: .NET has no vector conversion for them. Right for subnormal numbers too, in whatever mode the
/// processor treats those of float32.
/// </summary>
internal static class HalfLanes
{
    /// <summary>The bits of infinity; greater ones are NaN.</summary>
    public const int Infinity = 0x7C00;

    // What the exponents' biases differ by, 127 − 15.
    private const int Bias = 112;

    /// <summary>Sixteen 16-bit lanes as 32-bit ones.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Widen(Vector256<ushort> bits) =>
        Vector512.Create(Vector256.WidenLower(bits), Vector256.WidenUpper(bits)).AsInt32();

    /// <summary>The numbers of halves' bits, each in the lower 16 of a lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> ToSingle(Vector512<int> bits)
    {
        var size = bits & Vector512.Create(0x7FFF);
        var normal = (size << 13) + Vector512.Create(Bias << 23);
        // A subnormal half is a count of 2⁻²⁴: put below the leading one of 2⁻¹⁴, which is then taken away.
        var least = Vector512.Create((Bias + 1) << 23);
        var subnormal = (((size << 13) + least).AsSingle() - least.AsSingle()).AsInt32();
        var single = Vector512.ConditionalSelect(Vector512.LessThan(size, Vector512.Create(0x400)), subnormal, normal);
        single |= Vector512.GreaterThanOrEqual(size, Vector512.Create(Infinity)) & Vector512.Create(0x7F800000);
        return (single | (bits & Vector512.Create(0x8000)) << 16).AsSingle();
    }

    /// <summary>The bits of the halves next to numbers, ties to even, beyond their range infinity; undefined for NaN.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> FromSingle(Vector512<float> numbers)
    {
        var size = numbers.AsInt32() & Vector512.Create(0x7FFFFFFF);
        var odd = Vector512.ShiftRightLogical(size, 13) & Vector512<int>.One;
        var normal = Vector512.Min(
            Vector512.ShiftRightLogical(size + Vector512.Create(0xFFF) + odd, 13) - Vector512.Create(Bias << 10), Vector512.Create(Infinity));
        // The last place of one half is 2⁻²⁴: the addition rounds to whole counts of it.
        var half = Vector512.Create(0.5f);
        var subnormal = (size.AsSingle() + half).AsInt32() - half.AsInt32();
        var bits = Vector512.ConditionalSelect(Vector512.LessThan(size, Vector512.Create((Bias + 1) << 23)), subnormal, normal);
        return bits | Vector512.ShiftRightLogical(numbers.AsInt32(), 16) & Vector512.Create(0x8000);
    }
}
