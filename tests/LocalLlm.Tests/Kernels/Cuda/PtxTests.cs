namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>The kernels' sources are in the assembly, and compile to PTX by clang without a CUDA toolkit.</summary>
public class PtxTests
{
    [Fact]
    public void Sources_AreAllEmbedded()
    {
        var folder = RepositoryRoot.Require("src", "LocalLlm", "Kernels", "Cuda");
        var files = Directory.EnumerateFiles(folder).Where(f => Path.GetExtension(f) is ".cu" or ".cuh").ToList();
        files.ShouldNotBeEmpty();
        foreach (var file in files)
        {
            using var resource = typeof(LlmEngine).Assembly.GetManifestResourceStream($"cuda/{Path.GetFileName(file)}").ShouldNotBeNull();
            using var reader = new StreamReader(resource);
            reader.ReadToEnd().ShouldBe(File.ReadAllText(file));
        }
    }

    [Theory]
    [InlineData("sm_80", "ptx70", 14)]
    [InlineData("sm_86", "ptx71", 14)] // the newest that clang 14 knows
    [InlineData("sm_89", "ptx78", 19)]
    [InlineData("sm_90", "ptx78", 19)]
    public void Kernels_EverySpecialisation_CompileToPtx(string architecture, string version, int clang)
    {
        var folder = RepositoryRoot.Require("src", "LocalLlm", "Kernels", "Cuda");
        var output = Path.GetTempFileName();
        try
        {
            foreach (var source in Directory.EnumerateFiles(folder, "*.cu"))
            {
                (int Rows, int Channels)[] specialisations = Path.GetFileName(source) switch
                {
                    "tile_attention.cu" => [(8, 64), (8, 128), (8, 256), (16, 128), (64, 128), (32, 256)],
                    "decode_attention.cu" => [(1, 64), (4, 128), (8, 256)],
                    _ => [(0, 0)],
                };
                foreach (var (rows, channels) in specialisations)
                {
                    string[] arguments = ["-x", "cuda", "--cuda-device-only", "-nocudainc", "-nocudalib", $"--cuda-gpu-arch={architecture}",
                        "-Xclang", "-target-feature", "-Xclang", $"+{version}", "-std=c++17", "-O2", "-ffp-contract=off", "-Wall", "-Werror",
                        $"-DROWS={rows}", $"-DCHANNELS={channels}", "-S", "-o", output, source];
                    // Debian has several side by side; what is called clang++ alone is its 14 there and newer elsewhere.
                    var result = EmulatedKernels.Run("clang++-19", arguments) ?? EmulatedKernels.Run($"clang++-{clang}", arguments)
                        ?? (clang == 14 ? EmulatedKernels.Run("clang++", arguments) : null);
                    if (result is null)
                        Assert.Skip($"needs clang++ {clang}");
                    result.Value.ExitCode.ShouldBe(0, result.Value.Errors);
                    File.ReadAllText(output).ShouldContain($".visible .entry {Path.GetFileNameWithoutExtension(source)}(");
                }
            }
        }
        finally
        {
            File.Delete(output);
        }
    }
}
