namespace LocalLlm.Tests.Kernels.Cuda.Ptx;

/// <summary>What an instruction does, whatever its width; see the PTX ISA.</summary>
internal enum PtxOp : byte
{
    Move, Pack, Unpack, Load, Store, AtomicMin, Prefetch, ToGeneric, FromGeneric, Branch, Return, BlockBarrier, WarpBarrier, Shuffle, VoteAny, MultiplyTile,
    Add, Subtract, Multiply, MultiplyHigh, MultiplyWide, MultiplyAdd, MultiplyAddWide, Divide, Remainder, Min, Max, Absolute, Negate,
    And, Or, Xor, Not, ShiftLeft, ShiftRight, ExtractBits, InsertBits, CountBits, Permute, Logic, Select, Compare, CompareFloat,
    AddFloat, SubtractFloat, MultiplyFloat, FusedMultiplyAdd, DivideFloat, Reciprocal, SquareRoot, PowerOfTwo, NegateFloat, AbsoluteFloat,
    MinFloat, MaxFloat, MinOrNaN, MaxOrNaN, FusedMultiplyAddBfloat16Pair,
    Convert, IntegerToFloat, FloatToInteger, FloatToHalf, HalfToFloat, RoundFloat, PackHalf, PackBfloat16,
}

/// <summary>Where an address lies.</summary>
internal enum PtxSpace : byte
{
    Generic, Global, Shared, Local, Param,
}

/// <summary>
/// A decoded instruction. Every operand is the index of a register: immediates, symbols and special registers have registers of their own, which no instruction
/// writes.
/// </summary>
internal struct PtxInstruction
{
    /// <summary>What it does.</summary>
    public PtxOp Op;

    /// <summary>The space of its address.</summary>
    public PtxSpace Space;

    /// <summary>The width of its type; of a conversion, of what it converts.</summary>
    public int Bits;

    /// <summary>Whether its type, or that of what it converts, is signed.</summary>
    public bool IsSigned;

    /// <summary>The orders for which a comparison holds: bit 0 less, 1 equal, 2 greater, 3 unordered.</summary>
    public int Orders;

    /// <summary>The bits of its result's register.</summary>
    public ulong Mask;

    /// <summary>The predicate without which it is skipped; -1 where there is none.</summary>
    public int Guard;

    /// <summary>Whether it is skipped with the predicate.</summary>
    public bool IsGuardNegated;

    /// <summary>The result, and the operands.</summary>
    public int D, A, B, C, E;

    /// <summary>What is added to the address in A.</summary>
    public long Offset;

    /// <summary>Where a branch goes.</summary>
    public int Target;

    /// <summary>The registers of a vector, or those of an mma: d, a, b, c.</summary>
    public int[]? Vector;

    /// <summary>Its source.</summary>
    public string Text;
}
