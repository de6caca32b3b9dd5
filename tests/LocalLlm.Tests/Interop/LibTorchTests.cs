using System.Diagnostics;
using LocalLlm.Interop;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Interop;

public class LibTorchTests
{
    [Fact]
    public void EnsureLoaded_PackageBesideTheApplication_TorchComputes()
    {
        LibTorch.EnsureLoaded();

        using var scope = NewDisposeScope();
        ones(2, 3).matmul(ones(3, 2)).sum().item<float>().ShouldBe(12);
        LibTorch.Folder.ShouldNotBeNull();
        if (Environment.GetEnvironmentVariable(LibTorch.FolderVariable) is { Length: > 0 } folder)
            LibTorch.Folder.ShouldBe(folder);
    }

    /// <summary>A process holds one libtorch, so the test above is run again in a process of its own.</summary>
    [Fact]
    public async Task EnsureLoaded_FolderOfTheVariable_GoesBeforeThePackage()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "shares libtorch's files by symbolic links");
        LibTorch.EnsureLoaded();
        var folder = Directory.CreateTempSubdirectory("libtorch-");
        try
        {
            // No bindings there: a PyTorch installation has none either.
            foreach (var file in Directory.GetFiles(LibTorch.Folder!).Where(f => !f.Contains("LibTorchSharp", StringComparison.Ordinal)))
                File.CreateSymbolicLink(Path.Combine(folder.FullName, Path.GetFileName(file)), file);

            var (exitCode, output) = await RunAgainAsync(nameof(EnsureLoaded_PackageBesideTheApplication_TorchComputes), folder.FullName);

            exitCode.ShouldBe(0, output);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task EnsureLoaded_FolderWithoutLibtorch_SaysWhoNamedItAndTheFix()
    {
        var (exitCode, output) = await RunAgainAsync(nameof(EnsureLoaded_PackageBesideTheApplication_TorchComputes), "/nowhere/torch/lib");

        exitCode.ShouldNotBe(0);
        output.ShouldContain("/nowhere/torch/lib");
        output.ShouldContain(LibTorch.FolderVariable);
        output.ShouldContain("Fix:");
    }

    private static async Task<(int ExitCode, string Output)> RunAgainAsync(string method, string folder)
    {
        var start = new ProcessStartInfo("dotnet", [typeof(LibTorchTests).Assembly.Location, "-method", $"{typeof(LibTorchTests).FullName}.{method}"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment[LibTorch.FolderVariable] = folder;
        using var process = Process.Start(start).ShouldNotBeNull();
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, await output + await errors);
    }

    [Fact]
    public void EnsureLoaded_AnotherFolderAfterwards_SaysThatOneIsLoaded()
    {
        LibTorch.EnsureLoaded();

        var error = Should.Throw<LibTorchLoadException>(() => LibTorch.EnsureLoaded("/nowhere/torch/lib"));
        error.Message.ShouldContain("already loaded from");
        error.Message.ShouldContain("/nowhere/torch/lib");
    }
}
