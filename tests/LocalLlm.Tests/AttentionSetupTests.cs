using LocalLlm.Attention;
using LocalLlm.Interop;
using LocalLlm.Tests.Kernels.Cuda;
using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.Tests;

/// <summary>Which backend an engine gets.</summary>
public class AttentionSetupTests
{
    public AttentionSetupTests() => LibTorch.EnsureLoaded();

    private static LlmEngineOptions Broken(AttentionBackend backend) =>
        new() { AttentionBackend = backend, OpenKernels = _ => throw new LocalLlmException("the driver is too old.") };

    [Fact]
    public void Create_AutoOnAGpuThatCannotRunTheKernels_TakesTorchAndSaysWhy()
    {
        using var setup = AttentionSetup.Create(Broken(AttentionBackend.Auto), new Device(DeviceType.CUDA, 0), null);

        setup.Backend.ShouldBeOfType<TorchAttention>();
        setup.Queue.ShouldBeNull();
        setup.Warning.ShouldNotBeNull().ShouldContain("the driver is too old");
    }

    [Fact]
    public void Create_CudaThatCannotBeHad_SaysWhyAndWhatElseThereIs()
    {
        var error = Should.Throw<LocalLlmException>(() => AttentionSetup.Create(Broken(AttentionBackend.Cuda), new Device(DeviceType.CUDA, 0), null));

        error.Message.ShouldContain("cuda:0");
        error.Message.ShouldContain("the driver is too old");
        error.Message.ShouldContain("AttentionBackend = Auto");
        Should.Throw<LocalLlmException>(() => AttentionSetup.Create(new() { AttentionBackend = AttentionBackend.Cuda }, CPU, null))
            .Message.ShouldContain("no CUDA device");
    }

    [Fact]
    public void Create_TorchOnAGpu_OpensNoKernels()
    {
        using var setup = AttentionSetup.Create(Broken(AttentionBackend.Torch), new Device(DeviceType.CUDA, 0), null);

        (setup.Backend.GetType(), setup.Warning).ShouldBe((typeof(TorchAttention), null));
    }

    [Fact]
    public void Create_KernelsThatRun_AreTried()
    {
        var launcher = new EmulatedLauncher();
        using var setup = AttentionSetup.Create(new() { AttentionBackend = AttentionBackend.Cuda, OpenKernels = _ => launcher }, CPU, null);

        setup.Backend.ShouldBeOfType<CudaAttention>();
        launcher.Launches.ShouldContainKey("append_rows");
    }
}
