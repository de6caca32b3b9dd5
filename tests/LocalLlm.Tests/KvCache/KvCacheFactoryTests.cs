using LocalLlm.Interop;
using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Tests.KvCache;

public class KvCacheFactoryTests
{
    public KvCacheFactoryTests() => LibTorch.EnsureLoaded();

    [Fact]
    public void Create_EachKind_GivesThatCache()
    {
        var shape = new KvShape(1, 1, 8, ScalarType.Float32, CPU);

        using var logQuant = new KvCacheFactory(new KvCacheOptions(), shape).Create();
        using var dense = new KvCacheFactory(new KvCacheOptions { Kind = KvCacheKind.Dense }, shape).Create();

        logQuant.ShouldBeOfType<LogQuantKvCache>();
        dense.ShouldBeOfType<DenseKvCache>();
    }

    [Fact]
    public void Constructor_EverythingWrong_ListsItAll()
    {
        var options = new KvCacheOptions { Kind = (KvCacheKind)9, Window = 48, MemoryBytes = 0, RetainedConversations = -1 };

        var error = Should.Throw<ArgumentException>(() => new KvCacheFactory(options, new KvShape(0, -1, 12, ScalarType.Int32, CPU)));

        foreach (var part in new[] { "Kind", "Window must be 32, 64 or 128, got 48", "MemoryBytes", "RetainedConversations", "layer", "KV head", "head_dim", "Int32" })
            error.Message.ShouldContain(part);
    }

    [Theory]
    [InlineData(264)]
    [InlineData(4)]
    public void Constructor_HeadDimOutOfRange_SaysTheRange(int headDim) =>
        Should.Throw<ArgumentException>(() => new KvCacheFactory(new KvCacheOptions(), new KvShape(1, 1, headDim, ScalarType.Float32, CPU)))
            .Message.ShouldContain($"multiple of 8 from 8 to 256, got {headDim}");

    [Fact]
    public void Constructor_BudgetBelowOneConversation_SaysWhatItNeeds()
    {
        var shape = new KvShape(2, 2, 16, ScalarType.Float32, CPU);
        var needed = new KvCacheFactory(new KvCacheOptions(), shape).BytesFor(1);
        _ = new KvCacheFactory(new KvCacheOptions { MemoryBytes = needed }, shape);

        var error = Should.Throw<ArgumentException>(() => new KvCacheFactory(new KvCacheOptions { MemoryBytes = needed - 1 }, shape));

        error.Message.ShouldContain($"{needed:N0}");
        error.Message.ShouldContain("Window");
    }
}
