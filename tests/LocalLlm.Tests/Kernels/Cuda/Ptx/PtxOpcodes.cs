namespace LocalLlm.Tests.Kernels.Cuda.Ptx;

/// <summary>The instructions that the interpreter knows, and their operands.</summary>
internal static class PtxOpcodes
{
    /// <summary>
    /// By mnemonic, without the width of its type where any will do. A letter for the result and for each operand says how wide it is: w as the type, W twice that,
    /// i 32 bits, h 16, p a predicate; - stands for no result.
    /// </summary>
    private static readonly Dictionary<string, (PtxOp Op, string Operands)> Known = Build();

    /// <summary>Finds an instruction.</summary>
    /// <returns>What it does, its operands, and the width and signedness of its type.</returns>
    public static (PtxOp Op, string Operands, int Bits, bool IsSigned)? Find(string mnemonic)
    {
        var dot = mnemonic.LastIndexOf('.');
        var (kind, bits) = Type(mnemonic[(dot + 1)..]);
        if (!Known.TryGetValue(mnemonic, out var found) && (bits == 0 || !Known.TryGetValue($"{mnemonic[..dot]}.{kind}", out found)))
            return null;
        return found.Op == PtxOp.MultiplyHigh && bits > 32 ? null : (found.Op, found.Operands, bits, kind == 's');
    }

    /// <summary>The kind of a type, one of b, u, s and f, and its width: 0 where it is no type.</summary>
    public static (char Kind, int Bits) Type(string name)
    {
        if (name == "pred")
            return ('b', 1);
        return name.Length > 1 && "busf".Contains(name[0]) && int.TryParse(name[1..], out var bits) && bits is 8 or 16 or 32 or 64 ? (name[0], bits) : ('?', 0);
    }

    /// <summary>The orders of a comparison: bit 0 less, 1 equal, 2 greater, 3 unordered; 0 where it is none.</summary>
    public static int Orders(string comparison, char kind) => (comparison, kind) switch
    {
        ("lt", not 'b') or ("lo", 'u') => 1,
        ("eq", _) => 2,
        ("le", not 'b') or ("ls", 'u') => 3,
        ("gt", not 'b') or ("hi", 'u') => 4,
        ("ne", _) => 5,
        ("ge", not 'b') or ("hs", 'u') => 6,
        ("num", 'f') => 7,
        ("nan", 'f') => 8,
        ("ltu", 'f') => 9,
        ("equ", 'f') => 10,
        ("leu", 'f') => 11,
        ("gtu", 'f') => 12,
        ("neu", 'f') => 13,
        ("geu", 'f') => 14,
        _ => 0,
    };

    private static Dictionary<string, (PtxOp, string)> Build()
    {
        var known = new Dictionary<string, (PtxOp, string)>(StringComparer.Ordinal);
        Add("add.s add.u", PtxOp.Add, "www");
        Add("sub.s sub.u", PtxOp.Subtract, "www");
        Add("mul.lo.s mul.lo.u", PtxOp.Multiply, "www");
        Add("mul.hi.s mul.hi.u", PtxOp.MultiplyHigh, "www");
        Add("mul.wide.s mul.wide.u", PtxOp.MultiplyWide, "Www");
        Add("mad.lo.s mad.lo.u", PtxOp.MultiplyAdd, "wwww");
        Add("mad.wide.s mad.wide.u", PtxOp.MultiplyAddWide, "WwwW");
        Add("div.s div.u", PtxOp.Divide, "www");
        Add("rem.s rem.u", PtxOp.Remainder, "www");
        Add("min.s min.u", PtxOp.Min, "www");
        Add("max.s max.u", PtxOp.Max, "www");
        Add("abs.s", PtxOp.Absolute, "ww");
        Add("neg.s", PtxOp.Negate, "ww");
        Add("and.b", PtxOp.And, "www");
        Add("or.b", PtxOp.Or, "www");
        Add("xor.b", PtxOp.Xor, "www");
        Add("not.b", PtxOp.Not, "ww");
        Add("shl.b", PtxOp.ShiftLeft, "wwi");
        Add("shr.b shr.u shr.s", PtxOp.ShiftRight, "wwi");
        Add("bfe.u bfe.s", PtxOp.ExtractBits, "wwii");
        Add("bfi.b", PtxOp.InsertBits, "wwwii");
        Add("popc.b", PtxOp.CountBits, "iw");
        Add("prmt.b32", PtxOp.Permute, "iiii");
        Add("lop3.b32", PtxOp.Logic, "iiiii");
        Add("selp.b selp.u selp.s selp.f32", PtxOp.Select, "wwwp");
        Add("add.f32 add.rn.f32", PtxOp.AddFloat, "www"); // without .rn the driver may fuse them, with it not
        Add("sub.f32 sub.rn.f32", PtxOp.SubtractFloat, "www");
        Add("mul.f32 mul.rn.f32", PtxOp.MultiplyFloat, "www");
        Add("fma.rn.f32", PtxOp.FusedMultiplyAdd, "wwww");
        Add("div.rn.f32", PtxOp.DivideFloat, "www");
        Add("rcp.rn.f32", PtxOp.Reciprocal, "ww");
        Add("sqrt.rn.f32", PtxOp.SquareRoot, "ww");
        Add("ex2.approx.ftz.f32", PtxOp.PowerOfTwo, "ww");
        Add("neg.f32", PtxOp.NegateFloat, "ww");
        Add("abs.f32", PtxOp.AbsoluteFloat, "ww");
        Add("min.f32", PtxOp.MinFloat, "www");
        Add("max.f32", PtxOp.MaxFloat, "www");
        Add("min.NaN.f32", PtxOp.MinOrNaN, "www");
        Add("max.NaN.f32", PtxOp.MaxOrNaN, "www");
        Add("fma.rn.bf16x2", PtxOp.FusedMultiplyAddBfloat16Pair, "iiii");
        Add("cvt.rn.f32.s cvt.rn.f32.u", PtxOp.IntegerToFloat, "iw");
        Add("cvt.rzi.s16.f32 cvt.rzi.u16.f32", PtxOp.FloatToInteger, "hi");
        Add("cvt.rzi.s32.f32 cvt.rzi.u32.f32", PtxOp.FloatToInteger, "ii");
        Add("cvt.rn.f16.f32", PtxOp.FloatToHalf, "hi");
        Add("cvt.f32.f16", PtxOp.HalfToFloat, "ih");
        Add("cvt.rni.f32.f32", PtxOp.RoundFloat, "ii");
        Add("cvt.rn.f16x2.f32", PtxOp.PackHalf, "iii");
        Add("cvt.rn.bf16x2.f32", PtxOp.PackBfloat16, "iii");
        Add("cvta.shared.u64 cvta.local.u64 cvta.global.u64", PtxOp.ToGeneric, "ww");
        Add("cvta.to.shared.u64 cvta.to.local.u64 cvta.to.global.u64", PtxOp.FromGeneric, "ww");
        Add("shfl.sync.bfly.b32", PtxOp.Shuffle, "iiiii");
        Add("vote.sync.any.pred", PtxOp.VoteAny, "ppi");
        Add("bar.warp.sync", PtxOp.WarpBarrier, "-i");
        Add("bar.sync barrier.sync", PtxOp.BlockBarrier, "-i");
        Add("ret", PtxOp.Return, "-");
        return known;

        void Add(string mnemonics, PtxOp op, string operands)
        {
            foreach (var mnemonic in mnemonics.Split(' '))
                known.Add(mnemonic, (op, operands));
        }
    }
}
