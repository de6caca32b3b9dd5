using LocalLlm.Interop;
using LocalLlm.Kernels.Cuda;

namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>The first GPU, with memory that it shares with the tests.</summary>
internal static unsafe class GpuDevice
{
    private static readonly Lazy<(LaunchedDevice? Device, CudaContext? Context, string Reason)> Opened = new(Open);

    /// <summary>The GPU; skips the calling test, and says why, where there is none.</summary>
    public static IKernelDevice Require()
    {
        var (device, _, reason) = Opened.Value;
        if (device is null)
            Assert.Skip(reason);
        return device;
    }

    private static (LaunchedDevice? Device, CudaContext? Context, string Reason) Open()
    {
        try
        {
            LibTorch.EnsureLoaded();
            var context = new CudaContext(CudaDriver.Instance, 0);
            var launcher = CudaLauncher.Open(0, message => TestContext.Current.TestOutputHelper?.WriteLine(message));
            return (new LaunchedDevice(launcher, bytes => new SharedMemory(context, bytes), () => Synchronize(context)), context, "");
        }
        catch (LocalLlmException e)
        {
            return (null, null, $"needs an NVIDIA GPU and NVRTC. {e.Message}");
        }
    }

    private static void Synchronize(CudaContext context)
    {
        using var scope = context.Enter();
        Check(context, ((delegate* unmanaged<int>)context.Driver.Export("cuCtxSynchronize"))());
    }

    private static void Check(CudaContext context, int result)
    {
        if (result != 0)
            throw new InvalidOperationException(context.Driver.Describe(result));
    }

    /// <summary>Memory that both the CPU and the GPU reach; the CPU only while no kernel runs.</summary>
    private sealed class SharedMemory : ITestMemory
    {
        private readonly CudaContext context;
        private readonly int bytes;

        public SharedMemory(CudaContext context, int bytes)
        {
            (this.context, this.bytes) = (context, bytes);
            nint address;
            using var scope = context.Enter();
            Check(context, ((delegate* unmanaged<nint*, nuint, uint, int>)context.Driver.Export("cuMemAllocManaged"))(&address, (nuint)bytes, 1));
            Address = address;
        }

        public nint Address { get; }

        public Span<byte> Span => new((void*)Address, bytes);

        public void Dispose()
        {
            using var scope = context.Enter();
            Check(context, ((delegate* unmanaged<nint, int>)context.Driver.Export("cuMemFree_v2"))(Address));
        }
    }
}
