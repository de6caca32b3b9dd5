using System.Runtime.CompilerServices;
using static LocalLlm.Tests.Kernels.Cuda.Ptx.PtxNumbers;

namespace LocalLlm.Tests.Kernels.Cuda.Ptx;

/// <summary>The instructions of a thread alone.</summary>
internal sealed unsafe partial class PtxMachine
{
    // Runs a thread from an instruction to the next that it does not carry out alone; -1 where it ends.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private int RunThread(int thread, int at)
    {
        var r = RegistersOf(thread);
        for (; ; at++)
        {
            ref readonly var i = ref code[at];
            if (i.Guard >= 0 && (r[i.Guard] == 0) != i.IsGuardNegated)
                continue;
            switch (i.Op)
            {
                case PtxOp.Return:
                    return -1;
                case PtxOp.Branch:
                    at = i.Target - 1;
                    break;
                case PtxOp.BlockBarrier or PtxOp.WarpBarrier or PtxOp.Shuffle or PtxOp.VoteAny or PtxOp.MultiplyTile:
                    return at;
                case PtxOp.Load or PtxOp.Store:
                    Access(i, r, thread);
                    break;
                case PtxOp.AtomicMin:
                    var target = (int*)Find(i, r[i.A] + (ulong)i.Offset, sizeof(int), thread);
                    r[i.D] = (uint)*target;
                    *target = Math.Min(*target, (int)r[i.B]);
                    break;
                case PtxOp.Prefetch:
                    _ = Find(i, r[i.A] + (ulong)i.Offset, 1, thread);
                    break;
                case PtxOp.Pack:
                    var packed = 0UL;
                    for (var element = i.Vector!.Length - 1; element >= 0; element--)
                        packed = (packed << i.Bits) | r[i.Vector[element]];
                    r[i.D] = packed;
                    break;
                case PtxOp.Unpack:
                    for (var element = 0; element < i.Vector!.Length; element++)
                        r[i.Vector[element]] = (ulong)Integer(r[i.A] >> (element * i.Bits), i.Bits, isSigned: false);
                    break;
                case < PtxOp.AddFloat:
                    r[i.D] = WholeNumber(i, r);
                    break;
                default:
                    r[i.D] = FloatingPoint(i, r);
                    break;
            }
        }
    }

    private void Access(in PtxInstruction i, ulong* r, int thread)
    {
        var bytes = i.Bits / 8;
        var memory = Find(i, r[i.A] + (ulong)i.Offset, bytes * i.Vector!.Length, thread);
        foreach (var register in i.Vector)
        {
            if (i.Op == PtxOp.Store)
            {
                switch (bytes)
                {
                    case 1: *memory = (byte)r[register]; break;
                    case 2: *(ushort*)memory = (ushort)r[register]; break;
                    case 4: *(uint*)memory = (uint)r[register]; break;
                    default: *(ulong*)memory = r[register]; break;
                }
            }
            else
            {
                var value = bytes switch { 1 => *memory, 2 => *(ushort*)memory, 4 => *(uint*)memory, _ => *(ulong*)memory };
                r[register] = i.IsSigned ? (ulong)Integer(value, i.Bits, isSigned: true) & i.Mask : value;
            }

            memory += bytes;
        }
    }

    private ulong WholeNumber(in PtxInstruction i, ulong* r)
    {
        var (a, b) = (r[i.A], r[i.B]);
        switch (i.Op)
        {
            case PtxOp.Move: return a;
            case PtxOp.ToGeneric: return ToGeneric(i.Space, a);
            case PtxOp.FromGeneric: return a - ToGeneric(i.Space, 0);
            case PtxOp.Add: return (a + b) & i.Mask;
            case PtxOp.Subtract: return (a - b) & i.Mask;
            case PtxOp.Multiply: return (a * b) & i.Mask;
            case PtxOp.MultiplyAdd: return ((a * b) + r[i.C]) & i.Mask;
            case PtxOp.MultiplyHigh: return (ulong)((Signed(i, a) * Signed(i, b)) >> i.Bits) & i.Mask;
            case PtxOp.MultiplyWide: return (ulong)(Signed(i, a) * Signed(i, b)) & i.Mask;
            case PtxOp.MultiplyAddWide: return ((ulong)(Signed(i, a) * Signed(i, b)) + r[i.C]) & i.Mask;
            case PtxOp.Divide when b == 0: throw Fault(i, "divides by zero");
            case PtxOp.Remainder when b == 0: throw Fault(i, "divides by zero");
            case PtxOp.Divide: return (i.IsSigned ? (ulong)(Signed(i, a) / Signed(i, b)) : a / b) & i.Mask;
            case PtxOp.Remainder: return (i.IsSigned ? (ulong)(Signed(i, a) % Signed(i, b)) : a % b) & i.Mask;
            case PtxOp.Min: return IsLess(i, a, b) ? a : b;
            case PtxOp.Max: return IsLess(i, a, b) ? b : a;
            case PtxOp.Absolute: return (ulong)(Signed(i, a) < 0 ? -Signed(i, a) : Signed(i, a)) & i.Mask;
            case PtxOp.Negate: return (0 - a) & i.Mask;
            case PtxOp.And: return a & b;
            case PtxOp.Or: return a | b;
            case PtxOp.Xor: return a ^ b;
            case PtxOp.Not: return ~a & i.Mask;
            case PtxOp.ShiftLeft: return b >= (ulong)i.Bits ? 0 : (a << (int)b) & i.Mask;
            case PtxOp.ShiftRight when i.IsSigned: return (ulong)(Signed(i, a) >> (int)Math.Min(b, 63)) & i.Mask;
            case PtxOp.ShiftRight: return b >= (ulong)i.Bits ? 0 : a >> (int)b;
            case PtxOp.ExtractBits: return ExtractBits(a, (byte)b, (byte)r[i.C], i.Bits, i.IsSigned);
            case PtxOp.InsertBits: return InsertBits(a, b, (byte)r[i.C], (byte)r[i.E], i.Bits);
            case PtxOp.CountBits: return (ulong)CountBits(a);
            case PtxOp.Permute: return Permute((uint)a, (uint)b, (uint)r[i.C]);
            case PtxOp.Logic: return Logic((uint)a, (uint)b, (uint)r[i.C], (uint)r[i.E]);
            case PtxOp.Select: return r[i.C] != 0 ? a : b;
            case PtxOp.Compare: return (ulong)(i.Orders >> (a == b ? 1 : IsLess(i, a, b) ? 0 : 2)) & 1;
            case PtxOp.CompareFloat: return (ulong)(i.Orders >> Order(Float(a), Float(b))) & 1;
            default: throw Fault(i, "is no instruction of whole numbers");
        }
    }

    private ulong FloatingPoint(in PtxInstruction i, ulong* r)
    {
        var (a, b) = (Float(r[i.A]), Float(r[i.B]));
        switch (i.Op)
        {
            case PtxOp.AddFloat: return Bits(a + b);
            case PtxOp.SubtractFloat: return Bits(a - b);
            case PtxOp.MultiplyFloat: return Bits(a * b);
            case PtxOp.FusedMultiplyAdd: return Bits(MathF.FusedMultiplyAdd(a, b, Float(r[i.C])));
            case PtxOp.DivideFloat: return Bits(a / b);
            case PtxOp.Reciprocal: return Bits(1 / a);
            case PtxOp.SquareRoot: return Bits(MathF.Sqrt(a));
            case PtxOp.PowerOfTwo: return Bits(PowerOfTwo(a));
            case PtxOp.NegateFloat: return r[i.A] ^ 0x80000000;
            case PtxOp.AbsoluteFloat: return r[i.A] & 0x7FFFFFFF;
            case PtxOp.MinFloat: return Bits(MinNumber(a, b));
            case PtxOp.MaxFloat: return Bits(MaxNumber(a, b));
            case PtxOp.MinOrNaN: return Bits(MathF.Min(a, b));
            case PtxOp.MaxOrNaN: return Bits(MathF.Max(a, b));
            case PtxOp.FusedMultiplyAddBfloat16Pair: return FusedMultiplyAddBfloat16Pair((uint)r[i.A], (uint)r[i.B], (uint)r[i.C]);
            case PtxOp.Convert: return (ulong)Signed(i, r[i.A]) & i.Mask;
            case PtxOp.IntegerToFloat: return Bits(Signed(i, r[i.A])); // rounded once
            case PtxOp.FloatToInteger: return ToInteger(a, i.Mask == ushort.MaxValue ? 16 : 32, i.IsSigned) & i.Mask;
            case PtxOp.FloatToHalf: return ToHalf(a);
            case PtxOp.HalfToFloat: return Bits(PtxNumbers.Half(r[i.A]));
            case PtxOp.RoundFloat: return Bits(MathF.Round(a, MidpointRounding.ToEven));
            case PtxOp.PackHalf: return ((ulong)ToHalf(a) << 16) | ToHalf(b); // the first operand is the upper half
            case PtxOp.PackBfloat16: return ((ulong)ToBfloat16(a) << 16) | ToBfloat16(b);
            default: throw Fault(i, "is no instruction of floating-point numbers");
        }
    }

    private static long Signed(in PtxInstruction i, ulong value) => Integer(value, i.Bits, i.IsSigned);

    private static bool IsLess(in PtxInstruction i, ulong a, ulong b) => i.IsSigned ? Signed(i, a) < Signed(i, b) : a < b;
}
