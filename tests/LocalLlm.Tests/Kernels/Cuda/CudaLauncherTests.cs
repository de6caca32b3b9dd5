using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Kernels.Cuda;
using LocalLlm.Quantization;
using LocalLlm.Tests.Kernels.Cpu;

namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>The calls to NVIDIA's driver and compiler, against a stand-in of the same names and signatures.</summary>
public sealed class CudaLauncherTests : IDisposable
{
    private static readonly CudaKernel Attend = new("decode_attention", 2, 64);

    private readonly string folder = Path.Combine(Path.GetTempPath(), $"kernels-{Guid.NewGuid():N}");

    public void Dispose()
    {
        if (Directory.Exists(folder))
            Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public void Launch_AttentionThroughTheDriver_EqualsDoublePrecision()
    {
        using var launcher = Open(CudaStub.Configure());
        var device = new LaunchedDevice(launcher, bytes => new GuardedMemory(bytes), () => { });
        var layout = new PageLayout(32, 72, 2, 3, slowKeyBits: 3);
        using var test = new AttentionCase(layout, 2, 2, 3, NumberType.Float32, seed: 3);
        test.AddRun(32 * 20, packedKeys: true, packedValues: true);
        test.AddRun(3, packedKeys: false, packedValues: false, isFresh: true);
        var plan = new AttentionPlan(layout);
        plan.Add(test.Request(), [.. test.Runs]);
        test.ClearOutputs();

        device.Attend(plan, isDescending: false);

        test.Compare(1e-5);
        CudaStub.Notes.Where(n => n.StartsWith("launch", StringComparison.Ordinal)).ShouldBe(
            ["launch decode_attention 3 2 1 of 128", "launch merge_attention 6 2 1 of 128"]);
        CudaStub.Notes.Count(n => n.StartsWith("copy", StringComparison.Ordinal)).ShouldBe(3);
    }

    [Fact]
    public void Launch_AgainAndByAnotherLauncher_CompilesEachSpecialisationOnce()
    {
        var stub = CudaStub.Configure();
        using (var launcher = Open(stub))
        {
            foreach (var kernel in new[] { Attend, Attend, Attend with { Rows = 4 }, Attend })
                launcher.Launch(kernel, (0, 1, 1), 128, new AttentionArguments());
        }

        using (var launcher = Open(stub))
            launcher.Launch(Attend, (0, 1, 1), 128, new AttentionArguments());

        var notes = CudaStub.Notes;
        notes.Count(n => n == "compile").ShouldBe(2);
        notes.Count(n => n == "load").ShouldBe(3);
        notes.Count(n => n == "unload").ShouldBe(3);
        notes.Count(n => n == "retain").ShouldBe(2);
        notes.Count(n => n == "release").ShouldBe(2);
    }

    [Fact]
    public void Upload_MoreThanARingHolds_WaitsForTheHalfThatIsWrittenAnew()
    {
        var (driver, _) = CudaStub.Configure();
        using var context = new CudaContext(driver, 0);
        using var scope = context.Enter();
        using var target = new GuardedMemory(1000);
        var bytes = Enumerable.Range(0, 1000).Select(i => (byte)(i % 251)).ToArray();

        using (var ring = new StagingRing(driver, halfBytes: 64))
        {
            ring.Copy(target.Address, []);
            ring.Copy(target.Address, bytes.AsSpan(0, 40));
            ring.Copy(target.Address + 40, bytes.AsSpan(40, 100));
            ring.Copy(target.Address + 140, bytes.AsSpan(140, 60));
        }

        target.Span[..200].ToArray().ShouldBe(bytes[..200]);
        CudaStub.Notes[2..].ShouldBe(
            ["pin", "copy 40", "copy 24", "record 1", "wait 2", "copy 64", "record 2", "wait 1", "copy 12", "copy 52", "record 1", "wait 2", "copy 8", "record 2", "wait 2", "unpin"]);
    }

    [Fact]
    public void Launcher_Disposed_GivesItsPinnedMemoryBack()
    {
        using var target = new GuardedMemory(8);
        using (var launcher = Open(CudaStub.Configure()))
            launcher.Upload(target.Address, [1, 2, 3]);

        target.Span[..3].ToArray().ShouldBe([1, 2, 3]);
        CudaStub.Notes.Where(n => n.EndsWith("pin", StringComparison.Ordinal)).ShouldBe(["pin", "unpin"]);
    }

    [Fact]
    public void Open_CompilerNewerThanTheDriver_SaysSoAndIsPassedOver()
    {
        CudaStub.Configure();

        var message = Should.Throw<LocalLlmException>(() => NvRtc.Open([CudaStub.Path], newestMajor: 11)).Message;

        message.ShouldContain($"{CudaStub.Path}: it is of CUDA 12, and the driver of CUDA 11 loads no newer code");
        NvRtc.Open(["libnvrtc-of-nobody.so", CudaStub.Path], newestMajor: 12).Version.Major.ShouldBe(12);
    }

    [Theory]
    [InlineData(80, "--gpu-architecture=sm_80")]
    [InlineData(90, "--gpu-architecture=sm_90")]
    [InlineData(89, "--gpu-architecture=compute_80")] // the compiler does not know it: the driver ends the work
    [InlineData(120, "--gpu-architecture=compute_90")]
    public void Launch_DeviceOfACapability_AsksForItsCode(int capability, string option)
    {
        using (var launcher = Open(CudaStub.Configure(capability)))
            launcher.Launch(Attend, (0, 1, 1), 128, new AttentionArguments());

        var code = File.ReadAllText(Directory.EnumerateFiles(folder, "decode_attention-*").ShouldHaveSingleItem());
        code.ShouldContain(option + "\n");
        code.ShouldContain("-DROWS=2\n-DCHANNELS=64\n");
        code.ShouldContain("page.cuh\n");
    }

    [Fact]
    public void Launch_DriverRefuses_SaysErrorKernelAndGrid()
    {
        using var launcher = Open(CudaStub.Configure(launchResult: 701));

        var message = Should.Throw<LocalLlmException>(() => launcher.Launch(Attend, (7, 8, 1), 128, new AttentionArguments())).Message;

        message.ShouldContain("CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES: too many resources");
        message.ShouldContain("decode_attention (rows 2, channels 64)");
        message.ShouldContain("7 x 8 x 1 blocks of 128");
    }

    [Fact]
    public void Launch_SourceDoesNotCompile_ShowsTheCompilersLog()
    {
        using var launcher = Open(CudaStub.Configure(compileResult: 6));

        var message = Should.Throw<LocalLlmException>(() => launcher.Launch(Attend, (1, 1, 1), 128, new AttentionArguments())).Message;

        message.ShouldContain("decode_attention.cu does not compile (NVRTC_ERROR_COMPILATION; NVRTC 12.8");
        message.ShouldEndWith("page.cuh(7): error: expected a \";\"");
        message.ShouldContain("AttentionBackend = Torch");
    }

    [Fact]
    public void Open_DeviceTooOldOrMissing_SaysSo()
    {
        var stub = CudaStub.Configure(capability: 75);

        var message = Should.Throw<LocalLlmException>(() => Open(stub)).Message;

        message.ShouldContain("8.0 or newer");
        message.ShouldContain("Stub 40 has 7.5");
        CudaStub.Notes[^1].ShouldBe("release");
        Should.Throw<LocalLlmException>(() => new CudaContext(stub.Driver, 9)).Message.ShouldContain("cuDeviceGet(9) failed");
    }

    [Fact]
    public void Context_AskedForItsGpu_TellsWhatTheDriverSays()
    {
        var (driver, _) = CudaStub.Configure(capability: 86);
        using var context = new CudaContext(driver, 1);

        context.Name.ShouldBe("Stub 41");
        context.ComputeCapability.ShouldBe(86);
        context.Multiprocessors.ShouldBe(132);
        context.FreeBytes.ShouldBe(5L << 32);
        driver.Version.ShouldBe(12080);
    }

    [Fact]
    public void Driver_LibraryOfAnotherKind_SaysWhatItLacks() =>
        Should.Throw<LocalLlmException>(() => new CudaDriver(System.Runtime.InteropServices.NativeLibrary.GetMainProgramHandle()))
            .Message.ShouldContain("has no cuGetErrorName");

    [Fact]
    public void Launch_Disposed_Throws()
    {
        var launcher = Open(CudaStub.Configure());
        launcher.Dispose();
        launcher.Dispose();

        Should.Throw<ObjectDisposedException>(() => launcher.Launch(Attend, (1, 1, 1), 128, new AttentionArguments()));
        Should.Throw<ObjectDisposedException>(() => launcher.Upload(0, [1]));
    }

    private CudaLauncher Open((CudaDriver Driver, NvRtc Compiler) stub) =>
        new(stub.Driver, stub.Compiler, 0, new KernelCache(folder, message => throw new InvalidOperationException(message)));
}
