using LocalLlm.Kernels.Cuda;
using LocalLlm.Tests.Kernels.Cuda.Ptx;

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
        foreach (var source in KernelCompiler.Sources.Keys.Where(file => file.EndsWith(".cu", StringComparison.Ordinal)))
        {
            var name = Path.GetFileNameWithoutExtension(source);
            (int Rows, int Channels)[] specialisations = name switch
            {
                "tile_attention" => [(8, 64), (8, 128), (8, 256), (16, 128), (64, 128), (32, 256)],
                "decode_attention" => [(1, 64), (4, 128), (8, 256)],
                _ => [(0, 0)],
            };
            foreach (var (rows, channels) in specialisations)
            {
                // Debian has several side by side; what is called clang++ alone is its 14 there and newer elsewhere.
                string[] compilers = clang == 14 ? ["clang++-19", "clang++-14", "clang++"] : ["clang++-19"];
                var kernel = new CudaKernel(name, rows, channels);
                var text = compilers.Select(compiler => PtxModules.CompileByClang(kernel, compiler, architecture, version)).FirstOrDefault(t => t is not null);
                if (text is null)
                    Assert.Skip($"needs clang++ {clang}");
                text.ShouldContain($".visible .entry {name}(");
            }
        }
    }
}
