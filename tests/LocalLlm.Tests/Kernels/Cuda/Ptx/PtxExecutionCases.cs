using LocalLlm.Attention;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Kernels.Cuda;
using LocalLlm.KvCache;
using LocalLlm.Quantization;
using LocalLlm.Tests.Kernels.Cpu;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Kernels.Cuda.Ptx;

/// <summary>What a compiler makes of the kernels computes what it should: its PTX, interpreted.</summary>
public abstract class PtxExecutionCases
{
    protected PtxExecutionCases() => LibTorch.EnsureLoaded();

    private protected abstract PtxModules Modules { get; }

    [Theory]
    [InlineData(KvCacheKind.Dense, ScalarType.BFloat16)]
    [InlineData(KvCacheKind.PartialLogQuant, ScalarType.BFloat16)]
    [InlineData(KvCacheKind.StreamingQuant, ScalarType.BFloat16)]
    [InlineData(KvCacheKind.Kivi, ScalarType.Float16)]
    [InlineData(KvCacheKind.PartialLogQuant, ScalarType.Float32)]
    public void Trial_CompiledKernels_Passes(KvCacheKind kind, ScalarType type)
    {
        using var queue = new CudaQueue(new PtxLauncher(Modules), CPU);

        KernelTrial.Run(queue, new() { Kind = kind, Window = 32 }, new KvShape(1, 1, 64, type, CPU), queryHeads: 2);
    }

    // Groups of two query heads; 2-bit pages with slow keys of 3 bits in bf16, 4 bits and scales of fp16 in fp16.
    [Theory]
    [InlineData(3, 64, 8)]
    [InlineData(6, 64, 16)]
    [InlineData(20, 64, 64)]
    [InlineData(3, 112, 8)]
    [InlineData(7, 128, 16)]
    [InlineData(17, 128, 64)]
    [InlineData(2, 192, 8)]
    [InlineData(8, 256, 16)]
    [InlineData(9, 256, 32)]
    public void TileAttention_EverySpecialisation_EqualsDoublePrecision(int queries, int headDim, int rows)
    {
        var launcher = new PtxLauncher(Modules);
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
}
