using LocalLlm.Attention;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Kernels.Cuda;
using LocalLlm.KvCache;
using LocalLlm.Tests.Kernels.Cuda;
using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Attention;

/// <summary>A backend by name with the caches that fit it, for tests that hold for every backend.</summary>
internal sealed class TestBackend : IDisposable
{
    public const string Torch = "torch";
    public const string Cpu = "CPU kernels";

    /// <summary>The CUDA kernels on the CPU, compiled as C++.</summary>
    public const string Emulated = "CUDA kernels, emulated";

    public const string Cuda = "CUDA kernels";

    private readonly WorkerTeam? team;
    private readonly CudaQueue? queue;

    private TestBackend(Device device, IAttentionBackend backend, WorkerTeam? team, CudaQueue? queue) =>
        (Device, Attention, this.team, this.queue) = (device, backend, team, queue);

    /// <summary>All backends.</summary>
    public static TheoryData<string> All => [Torch, .. Kernels.Select(k => (string)k.Data)];

    /// <summary>Those of kernels.</summary>
    public static TheoryData<string> Kernels => [Cpu, Emulated, Cuda];

    /// <summary>Where its caches lie.</summary>
    public Device Device { get; }

    /// <summary>The backend.</summary>
    public IAttentionBackend Attention { get; }

    /// <summary>Where work for a GPU goes.</summary>
    public CudaQueue Queue => queue.ShouldNotBeNull();

    /// <summary>Makes a backend; skips the calling test where this machine cannot run it.</summary>
    /// <param name="name">One of the names above.</param>
    /// <param name="mostStateBytes">Of the CUDA kernels: see <see cref="CudaAttention"/>.</param>
    public static TestBackend Open(string name, long mostStateBytes = 256 << 20)
    {
        LibTorch.EnsureLoaded();
        if (name == Torch)
            return new TestBackend(CPU, new TorchAttention(), null, null);
        if (name == Cpu)
        {
            var team = new WorkerTeam(2);
            return new TestBackend(CPU, new CpuAttention(team), team, null);
        }

        if (name == Cuda && !cuda.is_available())
            Assert.Skip("needs an NVIDIA GPU and a CUDA build of libtorch");
        var device = name == Cuda ? new Device(DeviceType.CUDA, 0) : CPU;
        var queue = new CudaQueue(name == Cuda ? CudaLauncher.Open(Math.Max(0, device.index), _ => { }) : new EmulatedLauncher(), device);
        return new TestBackend(device, new CudaAttention(queue, mostStateBytes), null, queue);
    }

    /// <summary>A shape on the backend's device.</summary>
    public KvShape On(KvShape shape) => shape with { Device = Device };

    /// <summary>Caches that fit the backend, on its device.</summary>
    public KvCacheFactory Factory(KvCacheOptions options, KvShape shape, KvPool? pool = null) =>
        new(options, On(shape), team is not null, pool, queue);

    public void Dispose()
    {
        (Attention as IDisposable)?.Dispose();
        team?.Dispose();
        queue?.Dispose();
    }
}
