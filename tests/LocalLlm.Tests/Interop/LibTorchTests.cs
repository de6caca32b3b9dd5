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
