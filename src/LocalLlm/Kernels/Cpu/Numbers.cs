using System.Runtime.CompilerServices;

namespace LocalLlm.Kernels.Cpu;

/// <summary>How a type of number is read and written; see <see cref="NumberType"/>. Writing rounds to nearest, ties to even.</summary>
internal unsafe interface INumbers
{
    /// <summary>Bytes of a number.</summary>
    static abstract int Bytes { get; }

    /// <summary>Reads one number into each lane.</summary>
    static abstract TLanes Load<TLanes>(byte* source) where TLanes : unmanaged, ILanes<TLanes>;

    /// <summary>Writes one number from each lane.</summary>
    static abstract void Store<TLanes>(TLanes lanes, byte* target) where TLanes : unmanaged, ILanes<TLanes>;

    /// <summary>Rounds each lane to what the type holds.</summary>
    static abstract TLanes Round<TLanes>(TLanes lanes) where TLanes : unmanaged, ILanes<TLanes>;

    /// <summary>Reads one number.</summary>
    static abstract float Read(byte* source);

    /// <summary>Writes one number.</summary>
    static abstract void Write(float value, byte* target);

    /// <summary>Rounds a number to what the type holds.</summary>
    static abstract float Round(float value);
}

/// <summary><see cref="NumberType.BFloat16"/>.</summary>
internal readonly unsafe struct BFloat16Numbers : INumbers
{
    /// <inheritdoc/>
    public static int Bytes => 2;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Load<TLanes>(byte* source) where TLanes : unmanaged, ILanes<TLanes> => TLanes.LoadBFloat16((ushort*)source);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<TLanes>(TLanes lanes, byte* target) where TLanes : unmanaged, ILanes<TLanes> => TLanes.StoreBFloat16(lanes, (ushort*)target);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Round<TLanes>(TLanes lanes) where TLanes : unmanaged, ILanes<TLanes> => TLanes.RoundToBFloat16(lanes);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Read(byte* source) => BitConverter.UInt32BitsToSingle((uint)*(ushort*)source << 16);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(float value, byte* target) => *(ushort*)target = (ushort)(BitConverter.SingleToUInt32Bits(Round(value)) >> 16);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Round(float value)
    {
        // Half a unit less one, plus the last bit that stays: a carry exactly where rounding goes up. A NaN would carry into infinity or -0.
        var bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? float.NaN : BitConverter.UInt32BitsToSingle((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000);
    }
}

/// <summary><see cref="NumberType.Float16"/>.</summary>
internal readonly unsafe struct Float16Numbers : INumbers
{
    /// <inheritdoc/>
    public static int Bytes => 2;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Load<TLanes>(byte* source) where TLanes : unmanaged, ILanes<TLanes> => TLanes.LoadFloat16((ushort*)source);

    /// <inheritdoc/>
    public static void Store<TLanes>(TLanes lanes, byte* target) where TLanes : unmanaged, ILanes<TLanes>
    {
        var numbers = stackalloc float[TLanes.Count];
        TLanes.Store(lanes, numbers);
        for (var i = 0; i < TLanes.Count; i++)
            ((Half*)target)[i] = (Half)numbers[i];
    }

    /// <inheritdoc/>
    public static TLanes Round<TLanes>(TLanes lanes) where TLanes : unmanaged, ILanes<TLanes>
    {
        var numbers = stackalloc float[TLanes.Count];
        TLanes.Store(lanes, numbers);
        for (var i = 0; i < TLanes.Count; i++)
            numbers[i] = (float)(Half)numbers[i];
        return TLanes.Load(numbers);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Read(byte* source) => (float)*(Half*)source;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(float value, byte* target) => *(Half*)target = (Half)value;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Round(float value) => (float)(Half)value;
}

/// <summary><see cref="NumberType.Float32"/>.</summary>
internal readonly unsafe struct Float32Numbers : INumbers
{
    /// <inheritdoc/>
    public static int Bytes => 4;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Load<TLanes>(byte* source) where TLanes : unmanaged, ILanes<TLanes> => TLanes.Load((float*)source);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<TLanes>(TLanes lanes, byte* target) where TLanes : unmanaged, ILanes<TLanes> => TLanes.Store(lanes, (float*)target);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Round<TLanes>(TLanes lanes) where TLanes : unmanaged, ILanes<TLanes> => lanes;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Read(byte* source) => *(float*)source;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(float value, byte* target) => *(float*)target = value;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Round(float value) => value;
}
