using LocalLlm.Interop;

namespace LocalLlm.Tests.Interop;

public sealed class NvRtcSearchTests : IDisposable
{
    private readonly string root = Directory.CreateTempSubdirectory("nvrtc-search-").FullName;

    public void Dispose() => Directory.Delete(root, recursive: true);

    [Fact]
    public void Candidates_EveryPlace_InTheirOrder()
    {
        foreach (var file in new[]
        {
            "site/torch/lib/libnvrtc-672ee683.so.12", "site/torch/lib/libnvrtc-builtins.so.12.8", "site/torch/lib/libcaffe2_nvrtc.so",
            "site/torch/lib/libtorch_cpu.so",
            "site/nvidia/cuda_nvrtc/lib/libnvrtc.so.12", "site/nvidia/cuda_nvrtc/lib/libnvrtc.alt.so.12", "site/nvidia/cu13/lib/libnvrtc.so.13",
            "site/nvidia/cudnn/lib/libnvrtc.so.1", "toolkit/lib64/libnvrtc.so", "toolkit/lib64/libnvrtc.so.12.8.93",
            "toolkit/lib64/libnvrtc_static.a",
        })
        {
            Make(file);
        }

        NvRtcSearch.Candidates([In("site/torch/lib"), In("none")], In("toolkit"), isWindows: false).ShouldBe(
        [
            In("site/torch/lib/libnvrtc-672ee683.so.12"), In("site/nvidia/cuda_nvrtc/lib/libnvrtc.so.12"), In("site/nvidia/cu13/lib/libnvrtc.so.13"),
            In("toolkit/lib64/libnvrtc.so.12.8.93"), In("toolkit/lib64/libnvrtc.so"), "libnvrtc.so.13", "libnvrtc.so.12",
            "libnvrtc.so.11.2", "libnvrtc.so",
        ]);
    }

    [Fact]
    public void Candidates_Windows_InTheirOrder()
    {
        foreach (var file in new[]
        {
            "torch/lib/nvrtc64_120_0.dll", "torch/lib/nvrtc64_120_0.alt.dll", "torch/lib/nvrtc-builtins64_128.dll",
            "nvidia/cu13/bin/x86_64/nvrtc64_130_0.dll",
            "toolkit/bin/nvrtc64_112_0.dll",
        })
        {
            Make(file);
        }

        NvRtcSearch.Candidates([In("torch/lib")], In("toolkit"), isWindows: true).ShouldBe(
        [
            In("torch/lib/nvrtc64_120_0.dll"), In("nvidia/cu13/bin/x86_64/nvrtc64_130_0.dll"), In("toolkit/bin/nvrtc64_112_0.dll"),
            "nvrtc64_130_0.dll", "nvrtc64_120_0.dll", "nvrtc64_112_0.dll",
        ]);
    }

    [Fact]
    public void Builtins_BesideTheLibrary_AreFound()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "names of Linux");
        Make("lib/libnvrtc-builtins.alt.so.12.8");
        Make("lib/libnvrtc-builtins.so.12.8");

        NvRtcSearch.Builtins(In("lib/libnvrtc.so.12")).ShouldBe(In("lib/libnvrtc-builtins.so.12.8"));
        NvRtcSearch.Builtins("libnvrtc.so.12").ShouldBeNull();
    }

    [Fact]
    public void Open_NothingThatLoads_TellsAllThatWasTriedAndTheWayOut()
    {
        Make("lib/libnvrtc.so.12"); // empty

        var message = Should.Throw<LocalLlmException>(() => NvRtc.Open([In("lib/libnvrtc.so.12"), "libnvrtc-of-nobody.so"])).Message;

        message.ShouldContain(In("lib/libnvrtc.so.12"));
        message.ShouldContain("libnvrtc-of-nobody.so");
        message.ShouldContain("CUDA_PATH");
        message.ShouldContain("AttentionBackend = Torch works without it");
    }

    private string In(string path) => Path.Combine([root, .. path.Split('/')]);

    private void Make(string path)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(In(path))!);
        File.WriteAllBytes(In(path), []);
    }
}
