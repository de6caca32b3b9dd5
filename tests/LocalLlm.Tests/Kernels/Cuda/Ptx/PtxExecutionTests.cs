using LocalLlm.Attention;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Kernels.Cuda;
using LocalLlm.KvCache;
using LocalLlm.Quantization;
using LocalLlm.Tests.Kernels.Cpu;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Kernels.Cuda.Ptx;

/// <summary>What compilers make of the kernels computes what it should: their PTX, interpreted.</summary>
public class PtxExecutionTests
{
    private static readonly Lazy<PtxModules> Nvrtc = new(() =>
    {
        var compiler = new KernelCompiler(NvRtc.Find(), new KernelTarget(90, IsPtx: true));
        return new PtxModules(kernel => System.Text.Encoding.ASCII.GetString(compiler.Compile(kernel)));
    });

    public PtxExecutionTests() => LibTorch.EnsureLoaded();

    [Theory]
    [InlineData(KvCacheKind.Dense, ScalarType.BFloat16)]
    [InlineData(KvCacheKind.PartialLogQuant, ScalarType.BFloat16)]
    [InlineData(KvCacheKind.StreamingQuant, ScalarType.BFloat16)]
    [InlineData(KvCacheKind.Kivi, ScalarType.Float16)]
    [InlineData(KvCacheKind.PartialLogQuant, ScalarType.Float32)]
    public void Trial_PtxOfClang_Passes(KvCacheKind kind, ScalarType type) => RunTrial(PtxModules.Clang, kind, type);

    [Fact]
    public void Trial_PtxOfAnOlderClang_Passes() => RunTrial(PtxModules.ClangOf(14), KvCacheKind.PartialLogQuant, ScalarType.BFloat16);

    [Theory]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float32)]
    public void Trial_PtxOfNvrtc_Passes(ScalarType type) => RunTrial(RequireNvrtc(), KvCacheKind.PartialLogQuant, type);

    public static TheoryData<bool, int, int, int> Specialisations()
    {
        var data = new TheoryData<bool, int, int, int>();
        foreach (var isNvrtc in new[] { false, true })
        {
            foreach (var (queries, headDim, rows) in new[]
                { (3, 64, 8), (6, 64, 16), (20, 64, 64), (3, 112, 8), (7, 128, 16), (17, 128, 64), (2, 192, 8), (8, 256, 16), (9, 256, 32) })
                data.Add(isNvrtc, queries, headDim, rows);
        }

        return data;
    }

    // Groups of two query heads; 2-bit pages with slow keys of 3 bits, or 4 bits and scales of fp16.
    [Theory]
    [MemberData(nameof(Specialisations))]
    public void TileAttention_EverySpecialisation_EqualsDoublePrecision(bool isNvrtc, int queries, int headDim, int rows)
    {
        var launcher = new PtxLauncher(isNvrtc ? RequireNvrtc() : PtxModules.Clang);
        var device = new LaunchedDevice(launcher, bytes => new GuardedMemory(bytes), () => { });
        foreach (var layout in new[] { new PageLayout(32, headDim, slowKeyBits: 3), new PageLayout(32, headDim, 4, 4, KvScaleFormat.Half) })
        {
            var type = layout.KeyBits == 4 ? NumberType.Float16 : NumberType.BFloat16;
            using var test = new AttentionCase(layout, 1, 2, queries, type, seed: headDim + queries, NumberType.Float32, device.Allocate);
            test.AddRun(32, packedKeys: true, packedValues: true);
            test.AddRun(19, packedKeys: false, packedValues: false);
            test.AddRun(queries, packedKeys: false, packedValues: false, isFresh: true);
            var plan = new AttentionPlan(layout);
            plan.Add(test.Request(), [.. test.Runs]);
            test.ClearOutputs();

            device.Attend(plan, isDescending: false, NumberType.Float32);

            test.Compare(TileAttentionTests.Tolerance);
        }

        launcher.Launches.Keys.ShouldContain(new CudaKernel("tile_attention", rows, headDim switch { <= 64 => 64, <= 128 => 128, _ => 256 }));
    }

    private static void RunTrial(PtxModules modules, KvCacheKind kind, ScalarType type)
    {
        using var queue = new CudaQueue(new PtxLauncher(modules), CPU);

        KernelTrial.Run(queue, new() { Kind = kind, Window = 32 }, new KvShape(1, 1, 64, type, CPU), queryHeads: 2);
    }

    private static PtxModules RequireNvrtc()
    {
        try
        {
            return Nvrtc.Value;
        }
        catch (LocalLlmException e)
        {
            Assert.Skip(e.Message);
            return null!;
        }
    }
}
