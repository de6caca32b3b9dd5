using LocalLlm.Interop;
using LocalLlm.Kernels.Cuda;

namespace LocalLlm.Tests.Kernels.Cuda;

public class KernelCompilerTests
{
    private static readonly CudaKernel Kernel = new("decode_attention", 4, 128);
    private static readonly KernelTarget Target = new(80, IsPtx: false);

    /// <summary>All that the plans of attention ask for, and the others.</summary>
    private static IEnumerable<CudaKernel> Kernels =>
    [
        .. from rows in new[] { 1, 2, 4, 8 } from channels in new[] { 64, 128, 256 } select new CudaKernel("decode_attention", rows, channels),
        .. from rows in new[] { 8, 16, 64 } from channels in new[] { 64, 128 } select new CudaKernel("tile_attention", rows, channels),
        .. from rows in new[] { 8, 16, 32 } select new CudaKernel("tile_attention", rows, 256),
        new("merge_attention"),
        new("quantise_page"),
        new("append_rows"),
        new("remove_rows"),
        new("deal_values"),
    ];

    [Fact]
    public void Key_AnythingElse_IsAnother()
    {
        var sources = KernelCompiler.Sources.ToDictionary();
        var key = KernelCompiler.Key(Kernel, Target, (12, 8), sources);
        var changed = new Dictionary<string, string>(sources) { ["page.cuh"] = sources["page.cuh"] + " " };
        var renamed = sources.ToDictionary(s => s.Key == "page.cuh" ? "pages.cuh" : s.Key, s => s.Value);

        string[] others =
        [
            KernelCompiler.Key(Kernel with { Rows = 8 }, Target, (12, 8), sources),
            KernelCompiler.Key(Kernel with { Channels = 64 }, Target, (12, 8), sources),
            KernelCompiler.Key(Kernel with { Name = "merge_attention" }, Target, (12, 8), sources),
            KernelCompiler.Key(Kernel, Target with { Architecture = 90 }, (12, 8), sources),
            KernelCompiler.Key(Kernel, Target with { IsPtx = true }, (12, 8), sources),
            KernelCompiler.Key(Kernel, Target, (12, 9), sources),
            KernelCompiler.Key(Kernel, Target, (13, 8), sources),
            KernelCompiler.Key(Kernel, Target, (12, 8), changed),
            KernelCompiler.Key(Kernel, Target, (12, 8), renamed),
        ];

        others.Append(key).ShouldBeUnique();
        KernelCompiler.Key(Kernel, Target, (12, 8), new Dictionary<string, string>(sources.Reverse())).ShouldBe(key);
        key.ShouldStartWith("decode_attention-sm_80-");
    }

    [Fact]
    public void Options_PagesOnly_ForbidFusedMultiplyAdds()
    {
        KernelCompiler.Options(new CudaKernel("quantise_page"), Target).ShouldBe(["--gpu-architecture=sm_80", "--std=c++17", "--fmad=false"]);
        KernelCompiler.Options(Kernel, new KernelTarget(90, IsPtx: true)).ShouldBe(
            ["--gpu-architecture=compute_90", "--std=c++17", "-DROWS=4", "-DCHANNELS=128"]);
    }

    [Fact]
    public void Choose_CompilerTooNewForTheDevice_SaysSo() =>
        Should.Throw<LocalLlmException>(() => KernelTarget.Choose(86, [90, 100], "A GPU")).Message.ShouldContain("90, 100, and A GPU has 86");

    // NVRTC needs no GPU, so that this runs wherever a CUDA build of libtorch or a toolkit is.
    [Fact]
    public void Compile_EverySpecialisation_GivesACubin()
    {
        NvRtc nvrtc;
        try
        {
            LibTorch.EnsureLoaded();
            nvrtc = NvRtc.Find();
        }
        catch (LocalLlmException e)
        {
            Assert.Skip(e.Message);
            return;
        }

        foreach (var architecture in nvrtc.Architectures.Where(a => a is 80 or 86 or 90 or 120))
        {
            var compiler = new KernelCompiler(nvrtc, new KernelTarget(architecture, IsPtx: false));
            foreach (var kernel in Kernels)
                compiler.Compile(kernel).AsSpan(0, 4).SequenceEqual("\u007fELF"u8).ShouldBeTrue($"{kernel} for {architecture}");
        }
    }
}
