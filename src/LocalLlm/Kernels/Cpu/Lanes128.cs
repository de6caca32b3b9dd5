using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace LocalLlm.Kernels.Cpu;

/// <summary>Four lanes, in operations that every processor has or the runtime emulates.</summary>
internal readonly unsafe struct Lanes128(Vector128<float> value) : ILanes<Lanes128>
{
    private readonly Vector128<float> value = value;

    public static int Count => Vector128<float>.Count;

    public static Lanes128 Zero => new(Vector128<float>.Zero);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Broadcast(float value) => new(Vector128.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Load(float* source) => new(Vector128.Load(source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 LoadBFloat16(ushort* source) => new((Widen(source) << 16).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 LoadFloat16(ushort* source)
    {
        // Shifted to float32's place the exponent lacks 112: added once for a number, twice for infinity and NaN. A subnormal half has no leading
        // 1; taking one more step of the exponent gives it one, and subtracting that 1 is exact.
        var bits = Widen(source);
        var magnitude = (bits & Vector128.Create(0x7FFFu)) << 13;
        var number = magnitude + Vector128.Create(112u << 23);
        var special = number + Vector128.Create(112u << 23);
        var subnormal = ((number + Vector128.Create(1u << 23)).AsSingle() - Vector128.Create(113u << 23).AsSingle()).AsUInt32();
        var result = Vector128.ConditionalSelect(Vector128.LessThan(magnitude.AsInt32(), Vector128.Create(1 << 23)).AsUInt32(), subnormal, number);
        result = Vector128.ConditionalSelect(Vector128.GreaterThan(magnitude.AsInt32(), Vector128.Create((31 << 23) - 1)).AsUInt32(), special, result);
        return new((result | ((bits & Vector128.Create(0x8000u)) << 16)).AsSingle());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 LoadBits(uint* source) => new(Vector128.Load(source).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 LoadBytes(byte* source) => new(Vector128.ConvertToSingle(Widen(source)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 LoadSignedBytes(sbyte* source) => new(Vector128.ConvertToSingle(Widen(source)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 LoadScaleBytes(byte* source, int bias) => new(((Widen(source) + Vector128.Create(bias)) << 20).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Lanes128 value, float* target) => value.value.Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreBFloat16(Lanes128 value, ushort* target)
    {
        var upper = RoundToBFloat16(value).value.AsUInt32() >> 16;
        Vector128.Narrow(upper, upper).GetLower().Store(target);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 RoundToBFloat16(Lanes128 value)
    {
        // Half a unit less one, plus the last bit that stays: a carry exactly where rounding goes up. A NaN would carry into infinity or -0.
        var bits = value.value.AsUInt32();
        var rounded = (bits + Vector128.Create(0x7FFFu) + ((bits >> 16) & Vector128<uint>.One)) & Vector128.Create(0xFFFF0000u);
        return new(Vector128.ConditionalSelect(Vector128.Equals(value.value, value.value), rounded.AsSingle(), Vector128.Create(float.NaN)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 operator +(Lanes128 a, Lanes128 b) => new(a.value + b.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 operator -(Lanes128 a, Lanes128 b) => new(a.value - b.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 operator *(Lanes128 a, Lanes128 b) => new(a.value * b.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 operator /(Lanes128 a, Lanes128 b) => new(a.value / b.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 MultiplyAdd(Lanes128 a, Lanes128 b, Lanes128 c) => new(Vector128.MultiplyAddEstimate(a.value, b.value, c.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Max(Lanes128 a, Lanes128 b) => new(Vector128.MaxNative(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Abs(Lanes128 value) => new(Vector128.Abs(value.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Choose(Lanes128 sign, Lanes128 other, Lanes128 negative) =>
        new(Vector128.ConditionalSelect(Vector128.LessThan(sign.value, Vector128<float>.Zero), negative.value, other.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 ScaleByPowerOfTwo(Lanes128 value, Lanes128 exponent)
    {
        var power = ((Vector128.ConvertToInt32(exponent.value) + Vector128.Create(127)) << 23).AsSingle();
        return new(Vector128.AndNot(value.value * power, Vector128.LessThan(exponent.value, Vector128.Create(-126f))));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Lanes128 value) => Vector128.Sum(value.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreSums(Lanes128 a, Lanes128 b, Lanes128 c, Lanes128 d, float* target)
    {
        // A transposition by halves: lane i of the result is the sum of vector i.
        var (ac, bd) = (Pairs(a.value, c.value), Pairs(b.value, d.value)); // a a c c, b b d d
        var even = Vector128.Shuffle(ac, Vector128.Create(0, 2, 0, 2)) + Vector128.Shuffle(ac, Vector128.Create(1, 3, 1, 3)); // a c a c
        var odd = Vector128.Shuffle(bd, Vector128.Create(0, 2, 0, 2)) + Vector128.Shuffle(bd, Vector128.Create(1, 3, 1, 3)); // b d b d
        Vector128.ConditionalSelect(
            Vector128.Create(-1, 0, -1, 0).AsSingle(), Vector128.Shuffle(even, Vector128.Create(0, 0, 1, 1)), Vector128.Shuffle(odd, Vector128.Create(0, 0, 1, 1)))
            .Store(target);

        static Vector128<float> Pairs(Vector128<float> first, Vector128<float> second)
        {
            var lower = Vector128.Create(first.GetLower(), second.GetLower());
            return lower + Vector128.Create(first.GetUpper(), second.GetUpper());
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Largest(Lanes128 value)
    {
        var pairs = Vector128.Max(value.value, Vector128.Shuffle(value.value, Vector128.Create(2, 3, 0, 1)));
        return Vector128.Max(pairs, Vector128.Shuffle(pairs, Vector128.Create(1, 0, 3, 2))).ToScalar();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 ShiftRight(Lanes128 bits, [ConstantExpected] byte count) => new((bits.value.AsUInt32() >> count).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 TwoBits(Lanes128 bits) => new(Vector128.ConvertToSingle(bits.value.AsInt32() & Vector128.Create(3)) - Vector128.Create(1.5f));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 OneBit(Lanes128 bits) => new(Vector128.ConvertToSingle(bits.value.AsInt32() & Vector128<int>.One) - Vector128.Create(0.5f));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<uint> Widen(ushort* source) => Vector128.WidenLower(Vector128.CreateScalarUnsafe(*(ulong*)source).AsUInt16());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<int> Widen(byte* source) =>
        Vector128.WidenLower(Vector128.WidenLower(Vector128.CreateScalarUnsafe(*(uint*)source).AsByte())).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<int> Widen(sbyte* source) =>
        Vector128.WidenLower(Vector128.WidenLower(Vector128.CreateScalarUnsafe(*(uint*)source).AsSByte()));
}
