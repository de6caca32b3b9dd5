namespace LocalLlm.Tests.Kernels.Cuda.Ptx;

/// <summary>Single instructions, against results that follow from the PTX ISA.</summary>
public unsafe class PtxMachineTests
{
    [Theory]
    // The first operand becomes the upper half. Nearest, of two the even one; subnormals are kept.
    [InlineData("cvt.rn.bf16x2.f32 %r0, 0f3F800000, 0f40000000;", 0x3F804000)]
    [InlineData("cvt.rn.bf16x2.f32 %r0, 0f3F808000, 0f3F818000;", 0x3F803F82)]
    [InlineData("cvt.rn.bf16x2.f32 %r0, 0f3F808001, 0f7F7FFFFF;", 0x3F817F80)]
    [InlineData("cvt.rn.bf16x2.f32 %r0, 0f00008000, 0f00018000;", 0x00000002)]
    [InlineData("cvt.rn.bf16x2.f32 %r0, 0fFFC00001, 0f80000000;", 0x7FFF8000)]
    [InlineData("cvt.rn.f16x2.f32 %r0, 0f3F800000, 0f40000000;", 0x3C004000)]
    [InlineData("cvt.rn.f16x2.f32 %r0, 0f477FF000, 0f477FEFFF;", 0x7C007BFF)]
    [InlineData("cvt.rn.f16x2.f32 %r0, 0f33000000, 0f33000001;", 0x00000001)] // 2^-25 is half of the least
    [InlineData("cvt.rn.f16.f32 %h0, 0f3F801000; cvt.u32.u16 %r0, %h0;", 0x3C00)]
    [InlineData("cvt.rn.f16.f32 %h0, 0f3F803000; cvt.u32.u16 %r0, %h0;", 0x3C02)]
    [InlineData("mov.u16 %h0, 1; cvt.f32.f16 %f0, %h0; mov.b32 %r0, %f0;", 0x33800000)]
    [InlineData("cvt.rni.f32.f32 %f0, 0f40200000; mov.b32 %r0, %f0;", 0x40000000)] // 2.5
    [InlineData("cvt.rni.f32.f32 %f0, 0f40600000; mov.b32 %r0, %f0;", 0x40800000)] // 3.5
    [InlineData("cvt.rni.f32.f32 %f0, 0fBF000000; mov.b32 %r0, %f0;", 0x80000000)] // -0.5
    [InlineData("cvt.rzi.s32.f32 %r0, 0fBFF33333;", 0xFFFFFFFF)] // -1.9
    [InlineData("cvt.rzi.s32.f32 %r0, 0f4F32D05E;", 0x7FFFFFFF)] // 3e9
    [InlineData("cvt.rzi.s32.f32 %r0, 0f7FC00000;", 0)]
    [InlineData("cvt.rzi.u32.f32 %r0, 0f4F32D05E;", 0xB2D05E00)]
    [InlineData("cvt.rzi.u16.f32 %h0, 0f4788B800; cvt.u32.u16 %r0, %h0;", 0xFFFF)] // 70000
    [InlineData("cvt.rzi.u32.f32 %r0, 0fBF800000;", 0)]
    [InlineData("cvt.rn.f32.s32 %f0, 16777217; mov.b32 %r0, %f0;", 0x4B800000)]
    [InlineData("cvt.rn.f32.s32 %f0, -3; mov.b32 %r0, %f0;", 0xC0400000)]
    [InlineData("cvt.rn.f32.u32 %f0, -1; mov.b32 %r0, %f0;", 0x4F800000)]
    [InlineData("mov.u32 %r1, 0x180; cvt.s32.s8 %r0, %r1;", 0xFFFFFF80)]
    [InlineData("mov.u32 %r1, -2; cvt.s64.s32 %d1, %r1; shr.u64 %d1, %d1, 32; cvt.u32.u64 %r0, %d1;", 0xFFFFFFFF)]
    [InlineData("mov.u32 %r1, -2; cvt.u64.u32 %d1, %r1; shr.u64 %d1, %d1, 32; cvt.u32.u64 %r0, %d1;", 0)]
    public void Convert_EveryKind_RoundsAsTheIsaSays(string code, uint expected) => One(code).ShouldBe(expected);

    [Theory]
    [InlineData("mov.u32 %r1, 0x33221100; mov.u32 %r2, 0x77665544; prmt.b32 %r0, %r1, %r2, 0x5410;", 0x55441100)]
    [InlineData("mov.u32 %r1, 0x33221100; mov.u32 %r2, 0x77665544; prmt.b32 %r0, %r1, %r2, 0x7632;", 0x77663322)]
    [InlineData("mov.u32 %r1, 0x000001F0; prmt.b32 %r0, %r1, 0, 0x1908;", 0x0100F0FF)] // the sign of byte 0, byte 0, the sign of byte 1, byte 1
    [InlineData("mov.u32 %r1, 0xF0F0F0F0; mov.u32 %r2, 0xFF00FF00; lop3.b32 %r0, %r1, %r2, 0xAAAAAAAA, 0xEA;", 0xFAAAFAAA)] // (a & b) | c
    [InlineData("mov.u32 %r1, 0xF0F0F0F0; mov.u32 %r2, 0xFF00FF00; lop3.b32 %r0, %r1, %r2, 0xAAAAAAAA, 0xF8;", 0xFAF0FAF0)] // a | (b & c)
    [InlineData("bfe.u32 %r0, 0x12345678, 8, 8;", 0x56)]
    [InlineData("bfe.u32 %r0, 0x12345678, 28, 8;", 0x1)]
    [InlineData("bfe.s32 %r0, 0xF000, 12, 4;", 0xFFFFFFFF)]
    [InlineData("bfe.s32 %r0, 0x80000000, 28, 8;", 0xFFFFFFF8)]
    [InlineData("bfe.s32 %r0, -1, 3, 0;", 0)]
    [InlineData("bfi.b32 %r0, 0xABC, 0x11111111, 8, 8;", 0x1111BC11)]
    [InlineData("bfi.b32 %r0, -1, 0, 28, 8;", 0xF0000000)]
    [InlineData("mul.hi.u32 %r0, -1, 1431655766;", 0x55555555)]
    [InlineData("mul.hi.s32 %r0, -1, 1431655766;", 0xFFFFFFFF)]
    [InlineData("mul.lo.s32 %r0, 0x10001, 0x10001;", 0x00020001)]
    [InlineData("mad.lo.s32 %r0, 65536, 65536, -5;", 0xFFFFFFFB)]
    [InlineData("mul.wide.s32 %d1, -2, 3; shr.u64 %d1, %d1, 4; cvt.u32.u64 %r0, %d1;", 0xFFFFFFFF)]
    [InlineData("mul.wide.u32 %d1, -2, 3; shr.u64 %d1, %d1, 32; cvt.u32.u64 %r0, %d1;", 2)]
    [InlineData("mul.wide.s16 %r0, -2, 3;", 0xFFFFFFFA)]
    [InlineData("mul.wide.u16 %r0, -2, 3;", 0x0002FFFA)]
    [InlineData("mad.wide.s32 %d1, -2, 3, -1; cvt.u32.u64 %r0, %d1;", 0xFFFFFFF9)]
    [InlineData("shl.b32 %r0, -1, 32;", 0)]
    [InlineData("shl.b32 %r0, -1, 31;", 0x80000000)]
    [InlineData("shr.u32 %r0, -1, 33;", 0)]
    [InlineData("shr.s32 %r0, 0x80000000, 99;", 0xFFFFFFFF)]
    [InlineData("mov.u16 %h0, -16; shr.s16 %h0, %h0, 2; cvt.u32.u16 %r0, %h0;", 0xFFFC)]
    [InlineData("popc.b32 %r0, 0xF0F00001;", 9)]
    [InlineData("div.s32 %r0, -7, 2;", 0xFFFFFFFD)]
    [InlineData("rem.s32 %r0, -7, 2;", 0xFFFFFFFF)]
    [InlineData("div.u32 %r0, -7, 2;", 0x7FFFFFFC)]
    [InlineData("min.s32 %r0, -1, 1;", 0xFFFFFFFF)]
    [InlineData("max.u32 %r0, -1, 1;", 0xFFFFFFFF)]
    [InlineData("max.s32 %r0, -1, 1;", 1)]
    [InlineData("abs.s32 %r0, -9;", 9)]
    [InlineData("mov.u16 %h0, 5; not.b16 %h0, %h0; cvt.u32.u16 %r0, %h0;", 0xFFFA)]
    [InlineData("setp.lt.s32 %p0, -1, 1; selp.b32 %r0, 7, 8, %p0;", 7)]
    [InlineData("setp.lt.u32 %p0, -1, 1; selp.b32 %r0, 7, 8, %p0;", 8)]
    [InlineData("setp.ge.s16 %p0, -1, 0; not.pred %p1, %p0; selp.b32 %r0, 7, 8, %p1;", 7)]
    [InlineData("mov.u32 %r1, 0x12345678; mov.b32 {%h0, %h1}, %r1; mov.b32 %r0, {%h1, %h0};", 0x56781234)]
    [InlineData("mov.u32 %r1, 0x12345678; {.reg .b16 tmp;mov.b32 {tmp, %h1}, %r1;} cvt.u32.u16 %r0, %h1;", 0x1234)]
    public void WholeNumbers_EveryInstruction_ComputesAsTheIsaSays(string code, uint expected) => One(code).ShouldBe(expected);

    [Theory]
    [InlineData("max.f32 %f0, 0f7FC00000, 0f3F800000;", 0x3F800000)]
    [InlineData("min.f32 %f0, 0f3F800000, 0f7FC00000;", 0x3F800000)]
    [InlineData("max.f32 %f0, 0f80000000, 0f00000000;", 0)]
    [InlineData("min.f32 %f0, 0f00000000, 0f80000000;", 0x80000000)]
    [InlineData("min.f32 %f0, 0fFFC00000, 0f7FC00000;", 0x7FFFFFFF)]
    [InlineData("min.NaN.f32 %f0, 0f3F800000, 0f7FC00000;", 0x7FFFFFFF)]
    [InlineData("add.rn.f32 %f0, 0f3F800000, 0f33800000;", 0x3F800000)] // 1 + 2^-24
    [InlineData("add.rn.f32 %f0, 0f3F800001, 0f33800000;", 0x3F800002)]
    [InlineData("sub.rn.f32 %f0, 0f7F800000, 0f7F800000;", 0x7FFFFFFF)]
    [InlineData("mul.rn.f32 %f0, 0f00800000, 0f3F000000;", 0x00400000)] // a subnormal product is kept
    [InlineData("fma.rn.f32 %f0, 0f3F800800, 0f3F800800, 0fBF801000;", 0x33800000)] // (1 + 2^-12)² - (1 + 2^-11)
    [InlineData("div.rn.f32 %f0, 0f3F800000, 0f40400000;", 0x3EAAAAAB)]
    [InlineData("rcp.rn.f32 %f0, 0f40400000;", 0x3EAAAAAB)]
    [InlineData("sqrt.rn.f32 %f0, 0f40000000;", 0x3FB504F3)]
    [InlineData("ex2.approx.ftz.f32 %f0, 0f40400000;", 0x41000000)]
    [InlineData("ex2.approx.ftz.f32 %f0, 0fC2FC0000;", 0x00800000)] // 2^-126
    [InlineData("ex2.approx.ftz.f32 %f0, 0fC2FE0000;", 0)] // 2^-127
    [InlineData("ex2.approx.ftz.f32 %f0, 0fFF800000;", 0)]
    [InlineData("ex2.approx.ftz.f32 %f0, 0f80000001;", 0x3F800000)]
    [InlineData("ex2.approx.ftz.f32 %f0, 0f7FC00000;", 0x7FFFFFFF)]
    [InlineData("neg.f32 %f0, 0f00000000;", 0x80000000)]
    [InlineData("setp.lt.f32 %p0, 0f7FC00000, 0f3F800000; selp.f32 %f0, 0f3F800000, 0f00000000, %p0;", 0)]
    [InlineData("setp.geu.f32 %p0, 0f7FC00000, 0f3F800000; selp.f32 %f0, 0f3F800000, 0f00000000, %p0;", 0x3F800000)]
    [InlineData("setp.ne.f32 %p0, 0f7FC00000, 0f3F800000; selp.f32 %f0, 0f3F800000, 0f00000000, %p0;", 0)]
    [InlineData("setp.neu.f32 %p0, 0f7FC00000, 0f7FC00000; selp.f32 %f0, 0f3F800000, 0f00000000, %p0;", 0x3F800000)]
    [InlineData("setp.eq.f32 %p0, 0f80000000, 0f00000000; selp.f32 %f0, 0f3F800000, 0f00000000, %p0;", 0x3F800000)]
    [InlineData("setp.gt.f32 %p0, 0f40000000, 0f3F800000; selp.f32 %f0, 0f3F800000, 0f00000000, %p0;", 0x3F800000)]
    public void Float32_EveryInstruction_ComputesAsTheIsaSays(string code, uint expected) => One(code + " mov.b32 %r0, %f0;").ShouldBe(expected);

    // Halves of their own, rounded once. 1.5 + 2^-7 + 2^-8 lies between two numbers; minus 2^-100 it is nearer to the lower one.
    [Theory]
    [InlineData(0x43003F81, 0x3F803F81, 0xC3000000, 0x00003F82)]
    [InlineData(0x3F813F81, 0x3FC03FC0, 0x00008D80, 0x3FC23FC1)]
    [InlineData(0x3F813F81, 0x3FC03FC0, 0x0D80BF80, 0x3FC23F03)] // with 1 taken off nothing needs rounding: 0.5 + 2^-7 + 2^-8 is 0x3F03
    [InlineData(0x80007F80, 0x3F800000, 0x80003F80, 0x80007FFF)]
    public void FusedMultiplyAdd_PairsOfBfloat16_RoundEachOnce(uint a, uint b, uint c, uint expected) =>
        One($"mov.u32 %r1, {a}; mov.u32 %r2, {b}; mov.u32 %r3, {c}; fma.rn.bf16x2 %r0, %r1, %r2, %r3;").ShouldBe(expected);

    [Theory]
    [InlineData("setp.ne.s32 %p0, %r31, 0; @%p0 ret; st.shared.u32 [s+4], 0x8081; ld.shared.s8 %r0, [s+5];", 0xFFFFFF80)]
    [InlineData("setp.ne.s32 %p0, %r31, 0; @%p0 ret; st.shared.u32 [s+4], 0x8081; ld.shared.s8 %h0, [s+4]; cvt.u32.u16 %r0, %h0;", 0xFF81)]
    [InlineData("setp.ne.s32 %p0, %r31, 0; @%p0 ret; mov.u64 %d1, s; cvta.shared.u64 %d2, %d1; st.u32 [%d2+8], 5; ld.shared.u32 %r0, [%d1+8];", 5)]
    [InlineData("setp.ne.s32 %p0, %r31, 0; @%p0 ret; st.shared.v4.u32 [s+16], {1, 2, 3, 4}; ld.shared.v2.u32 {%r1, %r0}, [s+16];", 2)]
    [InlineData("mov.u64 %d1, l; cvta.local.u64 %d2, %d1; st.local.u32 [%d1], %r31; ld.u32 %r0, [%d2];", 0)]
    [InlineData("ld.shared.u32 %r0, [s];", 0xFFFFFFFF)]
    [InlineData("setp.ne.s32 %p0, %r31, 0; @%p0 ret; mov.b64 %d1, result; ld.param.u64 %d2, [%d1]; st.global.u8 [%d2+3], 0x42; ld.global.nc.u32 %r0, [%d2];", 0x42000000)]
    [InlineData("setp.ne.s32 %p0, %r31, 0; @%p0 ret; st.global.u32 [%d0], 7; atom.min.s32 %r1, [%d0], -3; ld.global.s32 %r2, [%d0]; add.s32 %r0, %r1, %r2;", 4)]
    [InlineData("mov.u32 %r0, 3; setp.eq.s32 %p0, %tid.x, 0; @%p0 bra END; mov.u32 %r0, 4; END: @!%p0 mov.u32 %r0, 5;", 3)]
    [InlineData("mov.u32 %r0, 0; LOOP: add.s32 %r0, %r0, 3; setp.lt.s32 %p0, %r0, 10; @%p0 bra.uni LOOP;", 12)]
    public void Memory_EverySpace_IsFound(string code, uint expected) => One(code).ShouldBe(expected);

    [Fact]
    public void Shuffle_Butterfly_ReadsTheOtherLane()
    {
        Warp("mul.lo.s32 %r1, %r31, 3; shfl.sync.bfly.b32 %r0, %r1, 5, 31, -1;").ShouldBe(Lanes(lane => (uint)(3 * (lane ^ 5))));
        // Segments of eight lanes: where the other lane lies beyond, a lane gets its own number, and the predicate says so.
        Warp("shfl.sync.bfly.b32 %r1|%p0, %r31, 8, 0x1807, -1; selp.b32 %r0, 100, %r1, %p0;").ShouldBe(Lanes(lane => lane % 16 < 8 ? (uint)lane : 100));
    }

    [Fact]
    public void Vote_Any_IsOfAllLanes()
    {
        Warp("setp.eq.s32 %p0, %r31, 9; vote.sync.any.pred %p1, %p0, -1; selp.b32 %r0, 1, 2, %p1;").ShouldBe(Lanes(_ => 1));
        Warp("setp.eq.s32 %p0, %r31, 32; vote.sync.any.pred %p1, %p0, -1; selp.b32 %r0, 1, 2, %p1;").ShouldBe(Lanes(_ => 2));
    }

    [Fact]
    public void Barrier_OfTheWarp_ShowsWhatItsThreadsWrote() => Warp(
        "setp.ne.s32 %p0, %r31, 3; @!%p0 st.shared.u32 [s], %r31; bar.warp.sync -1; ld.shared.u32 %r0, [s];").ShouldBe(Lanes(_ => 3));

    [Fact]
    public void Shuffle_AfterReads_LetsAThreadOverwriteThem() => Warp(
        "ld.shared.u32 %r1, [s]; shfl.sync.bfly.b32 %r0, %r1, 1, 31, -1; setp.ne.s32 %p0, %r31, 3; @!%p0 st.shared.u32 [s], %r31;").ShouldBe(Lanes(_ => uint.MaxValue));

    [Fact]
    public void Barrier_OfTheBlock_ShowsWhatOtherThreadsWrote() => Warp(
        "mul.wide.u32 %d1, %r31, 4; mov.u64 %d2, s; add.s64 %d1, %d2, %d1; st.shared.u32 [%d1], %r31; bar.sync 0; ld.shared.u32 %r0, [s+76];").ShouldBe(Lanes(_ => 19));

    // A[row][k] = row + 16k and B[k][column] = k - 3·column, where the PTX ISA says that lanes hold them.
    [Theory]
    [InlineData("bf16", false)]
    [InlineData("f16", true)]
    public void Mma_Fragments_LieAsTheIsaSays(string type, bool isHalf)
    {
        var input = new uint[32 * 6];
        for (var lane = 0; lane < 32; lane++)
        {
            var (group, inGroup) = (lane >> 2, lane % 4);
            for (var i = 0; i < 8; i++)
            {
                var row = i is 0 or 1 or 4 or 5 ? group : group + 8;
                var k = (inGroup * 2) + (i & 1) + (i < 4 ? 0 : 8);
                input[(lane * 6) + (i / 2)] |= Number(A(row, k)) << (i % 2 * 16);
            }

            for (var i = 0; i < 4; i++)
                input[(lane * 6) + 4 + (i / 2)] |= Number(B((inGroup * 2) + (i & 1) + (i < 2 ? 0 : 8), group)) << (i % 2 * 16);
        }

        var output = Run(
            "mul.wide.u32 %d1, %r31, 24; add.s64 %d1, %d7, %d1; ld.global.v2.u32 {%r1, %r2}, [%d1]; ld.global.v2.u32 {%r3, %r4}, [%d1+8]; "
            + "ld.global.v2.u32 {%r5, %r6}, [%d1+16]; mov.f32 %f1, 0f3F800000; mov.f32 %f2, 0f40000000; mov.f32 %f3, 0f40400000; mov.f32 %f4, 0f40800000; "
            + $"mma.sync.aligned.m16n8k16.row.col.f32.{type}.{type}.f32 {{%f1, %f2, %f3, %f4}}, {{%r1, %r2, %r3, %r4}}, {{%r5, %r6}}, {{%f1, %f2, %f3, %f4}}; "
            + "mul.wide.u32 %d2, %r31, 16; add.s64 %d2, %d0, %d2; st.global.f32 [%d2], %f1; st.global.f32 [%d2+4], %f2; st.global.f32 [%d2+8], %f3; "
            + "st.global.f32 [%d2+12], %f4;", input);

        for (var lane = 0; lane < 32; lane++)
        {
            for (var i = 0; i < 4; i++)
            {
                var (row, column) = ((lane >> 2) + (i < 2 ? 0 : 8), (lane % 4 * 2) + (i & 1));
                BitConverter.UInt32BitsToSingle(output[(lane * 4) + i]).ShouldBe(i + 1 + Enumerable.Range(0, 16).Sum(k => A(row, k) * B(k, column)));
            }
        }

        static float A(int row, int k) => (row % 4) + (4 * k);
        static float B(int k, int column) => k - (3 * column);
        uint Number(float x) => isHalf ? BitConverter.HalfToUInt16Bits((Half)x) : BitConverter.SingleToUInt32Bits(x) >> 16;
    }

    [Theory]
    [InlineData("ld.shared.u32 %r0, [s+2];", "multiple of 4")]
    [InlineData("ld.shared.v4.u32 {%r0, %r1, %r2, %r3}, [s+8];", "multiple of 16")]
    [InlineData("ld.shared.u32 %r0, [s+128];", "outside of Shared")]
    [InlineData("mov.u64 %d1, s; ld.u32 %r0, [%d1];", "outside of Global")] // an address of shared memory is none of generic memory
    [InlineData("mov.u64 %d1, l; cvta.local.u64 %d1, %d1; ld.global.u32 %r0, [%d1];", "outside of Global")]
    [InlineData("ld.param.u64 %d1, [result+16];", "outside of Param")]
    [InlineData("setp.lt.u32 %p0, %r31, 7; @%p0 bra OTHER; bar.warp.sync -1; OTHER: bar.sync 0;", "different instructions")]
    [InlineData("setp.lt.u32 %p0, %r31, 7; @%p0 ret; shfl.sync.bfly.b32 %r0, %r31, 1, 31, -1;", "has ended")]
    [InlineData("shfl.sync.bfly.b32 %r0, %r31, 1, 31, 0xFFFF;", "not for all threads")]
    [InlineData("div.s32 %r0, %r31, 0;", "divides by zero")]
    [InlineData("st.shared.u32 [s], %r31;", "races")]
    [InlineData("setp.ne.s32 %p0, %r31, 3; @%p0 ld.shared.u32 %r0, [s]; @!%p0 st.shared.u32 [s], %r31;", "races")]
    [InlineData("setp.ne.s32 %p0, %r31, 3; @!%p0 st.shared.u8 [s+1], %r31; shfl.sync.bfly.b32 %r1, %r31, 1, 31, -1; ld.shared.u32 %r0, [s];", "races")]
    public void Run_WhatAGpuFaultsAt_IsAnError(string code, string message) =>
        Should.Throw<InvalidOperationException>(() => Warp(code)).Message.ShouldContain(message);

    [Theory]
    [InlineData("add.f64 %d1, %d1, %d2;", "unknown opcode")]
    [InlineData("add.s32 %r0, %d1, %r1;", "%d1 has 64 bits, not 32")]
    [InlineData("add.s32 %r0, %r1;", "operands")]
    [InlineData("setp.lo.s32 %p0, %r0, %r1;", "unknown comparison")]
    [InlineData("bra NOWHERE;", "NOWHERE")]
    [InlineData("ld.shared.v2.u32 %r0, [s];", "a vector of 2")]
    [InlineData("mov.u32 %tid.x, 3;", "cannot be written")]
    public void Parse_WhatIsNotKnown_IsAnErrorWithTheLine(string code, string message) =>
        Should.Throw<FormatException>(() => One(code)).Message.ShouldContain(message);

    private static uint[] Lanes(Func<int, uint> number) => [.. Enumerable.Range(0, 32).Select(number)];

    private static uint One(string code) => Warp(code)[0];

    private static uint[] Warp(string code) => Run(code + " mul.wide.u32 %d6, %r31, 4; add.s64 %d6, %d0, %d6; st.global.u32 [%d6], %r0;", [0])[..32];

    // Statements of one warp: %r31 is the thread, %d0 the address of 128 words of results, %d7 that of the input.
    private static uint[] Run(string code, uint[] input)
    {
        var lines = code.Replace("; ", ";\n", StringComparison.Ordinal).Replace("} ", "}\n", StringComparison.Ordinal).Replace(": ", ":\n", StringComparison.Ordinal);
        var module = new PtxModule($$"""
            .version 7.8
            .target sm_90
            .address_size 64
            .visible .entry test(
            .param .u64 result,
            .param .u64 input
            )
            .maxntid 32, 1, 1
            {
            .reg .pred %p<8>;
            .reg .b16 %h<8>;
            .reg .b32 %r<32>;
            .reg .f32 %f<8>;
            .reg .b64 %d<8>;
            .shared .align 16 .b8 s[128];
            .local .align 8 .b8 l[16];
            mov.u32 %r31, %tid.x;
            ld.param.u64 %d0, [result];
            ld.param.u64 %d7, [input];
            {{lines}}
            ret;
            }
            """);
        var output = new uint[128];
        fixed (uint* to = output, from = input)
        {
            ulong[] parameters = [(ulong)to, (ulong)from];
            PtxMachine.Run(module, (1, 1, 1), 32, System.Runtime.InteropServices.MemoryMarshal.AsBytes(parameters.AsSpan()));
        }

        return output;
    }
}
