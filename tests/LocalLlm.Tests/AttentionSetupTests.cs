using System.Runtime.InteropServices;
using LocalLlm.Attention;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cuda;
using LocalLlm.KvCache;
using LocalLlm.Tests.Kernels.Cuda;
using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.Tests;

/// <summary>Which backend an engine gets.</summary>
public class AttentionSetupTests
{
    public AttentionSetupTests() => LibTorch.EnsureLoaded();

    private static KvShape Gpu => new(2, 2, 64, ScalarType.Float32, new Device(DeviceType.CUDA, 0));

    private static LlmEngineOptions Broken(AttentionBackend backend) =>
        new() { AttentionBackend = backend, OpenKernels = _ => throw new LocalLlmException("the driver is too old.") };

    [Fact]
    public void Create_AutoOnAGpuThatCannotRunTheKernels_TakesTorchAndSaysWhy()
    {
        using var setup = AttentionSetup.Create(Broken(AttentionBackend.Auto), Gpu, 4, null);

        setup.Backend.ShouldBeOfType<TorchAttention>();
        setup.Queue.ShouldBeNull();
        setup.Warning.ShouldNotBeNull().ShouldContain("the driver is too old");
    }

    [Fact]
    public void Create_CudaThatCannotBeHad_SaysWhyAndWhatElseThereIs()
    {
        var error = Should.Throw<LocalLlmException>(() => AttentionSetup.Create(Broken(AttentionBackend.Cuda), Gpu, 4, null));

        error.Message.ShouldContain("cuda:0");
        error.Message.ShouldContain("the driver is too old");
        error.Message.ShouldContain("AttentionBackend = Auto");
        Should.Throw<LocalLlmException>(() => AttentionSetup.Create(new() { AttentionBackend = AttentionBackend.Cuda }, Gpu with { Device = CPU }, 4, null))
            .Message.ShouldContain("no CUDA device");
    }

    [Fact]
    public void Create_TorchOnAGpu_OpensNoKernels()
    {
        using var setup = AttentionSetup.Create(Broken(AttentionBackend.Torch), Gpu, 4, null);

        (setup.Backend.GetType(), setup.Warning).ShouldBe((typeof(TorchAttention), null));
    }

    [Fact]
    public void Create_KernelsThatRun_AreTried()
    {
        var launcher = new EmulatedLauncher();
        using var setup = AttentionSetup.Create(new() { AttentionBackend = AttentionBackend.Cuda, OpenKernels = _ => launcher }, Gpu with { Device = CPU }, 4, null);

        setup.Backend.ShouldBeOfType<CudaAttention>();
        launcher.Launches.Keys.ShouldBe(["append_rows", "remove_rows", "quantise_page", "decode_attention", "merge_attention"], ignoreOrder: true);
    }

    [Theory]
    [InlineData(KvCacheKind.Dense, ScalarType.BFloat16, 4)]
    [InlineData(KvCacheKind.PartialLogQuant, ScalarType.BFloat16, 14)]
    [InlineData(KvCacheKind.Kivi, ScalarType.Float16, 2)]
    [InlineData(KvCacheKind.LogEvict, ScalarType.Float32, 8)]
    public void Trial_KernelsThatAreRight_Passes(KvCacheKind kind, ScalarType type, int queryHeads)
    {
        using var queue = new CudaQueue(new EmulatedLauncher(), CPU);

        KernelTrial.Run(queue, new() { Kind = kind, Window = 32 }, Gpu with { Type = type, Device = CPU }, queryHeads);
    }

    [Theory]
    [InlineData("append_rows", ScalarType.Float32)]
    [InlineData("remove_rows", ScalarType.BFloat16)]
    [InlineData("quantise_page", ScalarType.BFloat16)]
    [InlineData("deal_values", ScalarType.BFloat16)]
    [InlineData("tile_attention", ScalarType.BFloat16)]
    [InlineData("decode_attention", ScalarType.Float32)]
    [InlineData("merge_attention", ScalarType.Float32)]
    public void Trial_AKernelThatDoesNothing_IsFound(string kernel, ScalarType type)
    {
        using var queue = new CudaQueue(new IdleLauncher(kernel), CPU);

        Should.Throw<LocalLlmException>(() => KernelTrial.Run(
            queue, new() { Kind = KvCacheKind.PartialLogQuant, Window = 32 }, Gpu with { Type = type, Device = CPU }, 4)).Message.ShouldContain("the kernels");
    }

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    public void Trial_KernelsThatSeeBeyondASlidingWindow_AreFound(ScalarType type)
    {
        using var queue = new CudaQueue(new ChangingLauncher(kernel => kernel, (ref AttentionArguments a) => a.Window = int.MaxValue), CPU);

        Should.Throw<LocalLlmException>(() => KernelTrial.Run(queue, new() { Window = 32 }, Gpu with { Type = type, Device = CPU }, 4))
            .Message.ShouldContain("differs from torch's");
    }

    [Fact]
    public void Trial_Float32_TriesEverySpecialisation()
    {
        var rows = new HashSet<int>();
        using var queue = new CudaQueue(new ChangingLauncher(kernel =>
        {
            rows.Add(kernel.Rows);
            return kernel;
        }, null), CPU);

        KernelTrial.Run(queue, new() { Window = 32 }, Gpu with { Type = ScalarType.Float32, Device = CPU }, Gpu.KvHeads);

        rows.ShouldBe([1, 2, 4, 8, 0], ignoreOrder: true);
    }

    [Fact]
    public void Create_TorchFailsInTheTrial_IsAnErrorOfTheKernels() => Should.Throw<LocalLlmException>(() => AttentionSetup.Create(
        new() { AttentionBackend = AttentionBackend.Cuda, OpenKernels = _ => new FailingLauncher() }, Gpu with { Device = CPU }, 4, null))
        .Message.ShouldContain("an illegal memory access");

    /// <summary>Fails as torch's operations do after an error on the GPU.</summary>
    private sealed class FailingLauncher : IKernelLauncher
    {
        public void Launch<T>(CudaKernel kernel, (int X, int Y, int Z) grid, int threads, in T arguments)
            where T : unmanaged => throw new TorchException("an illegal memory access was encountered");

        public void Upload(nint target, ReadOnlySpan<byte> bytes)
        {
        }

        public void Dispose()
        {
        }
    }

    private delegate void Change(ref AttentionArguments arguments);

    /// <summary>Launches kernels with other arguments.</summary>
    private sealed class ChangingLauncher(Func<CudaKernel, CudaKernel> choose, Change? change) : IKernelLauncher
    {
        private readonly EmulatedLauncher launcher = new();

        public void Launch<T>(CudaKernel kernel, (int X, int Y, int Z) grid, int threads, in T arguments)
            where T : unmanaged
        {
            var changed = arguments;
            if (change is not null && typeof(T) == typeof(AttentionArguments))
                change(ref System.Runtime.CompilerServices.Unsafe.As<T, AttentionArguments>(ref changed));
            launcher.Launch(choose(kernel), grid, threads, changed);
        }

        public void Upload(nint target, ReadOnlySpan<byte> bytes) => launcher.Upload(target, bytes);

        public void Dispose() => launcher.Dispose();
    }

    private sealed class TorchException(string message) : ExternalException(message);

    /// <summary>Leaves one kernel's work undone.</summary>
    private sealed class IdleLauncher(string idle) : IKernelLauncher
    {
        private readonly EmulatedLauncher launcher = new();

        public void Launch<T>(CudaKernel kernel, (int X, int Y, int Z) grid, int threads, in T arguments)
            where T : unmanaged
        {
            if (kernel.Name != idle)
                launcher.Launch(kernel, grid, threads, arguments);
        }

        public void Upload(nint target, ReadOnlySpan<byte> bytes) => launcher.Upload(target, bytes);

        public void Dispose() => launcher.Dispose();
    }
}
