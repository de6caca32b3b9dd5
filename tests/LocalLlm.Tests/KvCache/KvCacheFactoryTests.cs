using LocalLlm.Interop;
using LocalLlm.KvCache;
using LocalLlm.KvCache.Policies;
using LocalLlm.Loading;
using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.Tests.KvCache;

public class KvCacheFactoryTests
{
    public KvCacheFactoryTests() => LibTorch.EnsureLoaded();

    private static KvShape Shape => new(4, 1, 8, ScalarType.Float32, CPU);

    [Fact]
    public void Create_EachKind_GivesThatCache()
    {
        foreach (var kind in Enum.GetValues<KvCacheKind>())
        {
            using var cache = new KvCacheFactory(new KvCacheOptions { Kind = kind }, Shape).Create();

            cache.ShouldBeOfType(kind == KvCacheKind.Dense ? typeof(DenseKvCache) : typeof(PagedKvCache));
        }
    }

    [Fact]
    public void Constructor_EverythingWrong_ListsItAll()
    {
        var options = new KvCacheOptions
        {
            Kind = (KvCacheKind)9,
            Window = 48,
            SinkTokens = -1,
            PageTokens = 16,
            KeyBits = 5,
            ValueBits = 1,
            Scales = (KvScaleFormat)7,
            BoundaryLayers = -2,
            BoundaryKeyBits = 16,
            BoundaryValueBits = 5,
            MemoryBytes = 0,
            RetainedConversations = -1,
        };

        var error = Should.Throw<ArgumentException>(() => new KvCacheFactory(options, new KvShape(0, -1, 12, ScalarType.Int32, CPU)));

        string[] parts =
        [
            "Kind must be one of LogQuant, PartialLogQuant, StreamingQuant, Kivi, HuggingFaceKivi, Dense, StreamingLlm, LogEvict, got 9",
            "Window must be 32, 64 or 128, got 48", "SinkTokens must be 0 to 1024, got -1",
            "PageTokens must be 32, 64 or 128, or null to take Window, got 16",
            "KeyBits must be 2, 3 or 4, got 5", "ValueBits must be 2, 3 or 4, got 1", "Scales must be one of Byte, Half, got 7",
            "BoundaryLayers must be 0 or more, got -2", "BoundaryKeyBits must be 2, 3 or 4, got 16", "BoundaryValueBits must be 2, 3 or 4, got 5",
            "MemoryBytes must be positive, or null for a share of the free memory, got 0",
            "RetainedConversations must be 0 or more, got -1", "layer", "KV head", "head_dim", "Int32",
        ];
        foreach (var part in parts)
            error.Message.ShouldContain(part);
        error.Message.Split("\n  - ").Length.ShouldBe(parts.Length + 1); // each once
    }

    [Theory]
    [InlineData(KvCacheKind.LogQuant, 64, 32, "PageTokens must be Window (64) for LogQuant, or null, got 32")]
    [InlineData(KvCacheKind.PartialLogQuant, 32, 128, "PageTokens must be Window (32) for PartialLogQuant, or null, got 128")]
    [InlineData(KvCacheKind.LogQuant, 192, null, "Window must be 32, 64 or 128, got 192")]
    [InlineData(KvCacheKind.StreamingQuant, 96, 64, "PageTokens must be 32 for Window = 96 because 96 rows leave at a time, got 64")]
    [InlineData(KvCacheKind.Kivi, 192, null,
        "PageTokens must be 32 or 64 for Window = 192 because 192 rows leave at a time, got 192 (null takes Window)")]
    [InlineData(KvCacheKind.HuggingFaceKivi, 64, 128, "PageTokens must be 32 or 64 for Window = 64")]
    [InlineData(KvCacheKind.Kivi, 100, null, "Window must be a multiple of 32 up to 4096 for Kivi, got 100")]
    [InlineData(KvCacheKind.StreamingLlm, 0, null, "Window must be a multiple of 32 up to 4096 for StreamingLlm, got 0")]
    public void Errors_WindowAndPageThatDoNotFit_SayWhatFits(KvCacheKind kind, int window, int? pageTokens, string expected) =>
        KvCacheOptionsCheck.Errors(new KvCacheOptions { Kind = kind, Window = window, PageTokens = pageTokens })
            .ShouldHaveSingleItem().ShouldStartWith(expected);

    [Theory]
    [InlineData(KvCacheKind.LogQuant, 64, 64)]
    [InlineData(KvCacheKind.Kivi, 192, 64)]
    [InlineData(KvCacheKind.StreamingQuant, 128, 32)]
    [InlineData(KvCacheKind.HuggingFaceKivi, 128, null)]
    [InlineData(KvCacheKind.StreamingLlm, 96, null)]
    [InlineData(KvCacheKind.LogEvict, 64, 32)]
    public void Errors_WindowAndPageThatFit_AreNone(KvCacheKind kind, int window, int? pageTokens) =>
        KvCacheOptionsCheck.Errors(new KvCacheOptions { Kind = kind, Window = window, PageTokens = pageTokens }).ShouldBeEmpty();

    [Fact]
    public void Errors_DefaultOptionsOfEachKind_AreNone()
    {
        foreach (var kind in Enum.GetValues<KvCacheKind>())
            KvCacheOptionsCheck.Errors(new KvCacheOptions { Kind = kind }).ShouldBeEmpty();
    }

    [Fact]
    public void Constructor_MoreBoundaryLayersThanTheModelHas_SaysHowManyItHas()
    {
        _ = new KvCacheFactory(new KvCacheOptions { BoundaryLayers = 2 }, Shape);

        Should.Throw<ArgumentException>(() => new KvCacheFactory(new KvCacheOptions { BoundaryLayers = 3 }, Shape))
            .Message.ShouldContain("BoundaryLayers must be 0 to 2 for a model of 4 layers, got 3");
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

    [Theory]
    [InlineData(KvCacheKind.LogQuant, 2, 2, 2)]
    [InlineData(KvCacheKind.Kivi, 3, 2, 3)]
    [InlineData(KvCacheKind.PartialLogQuant, 2, 4, 4)]
    [InlineData(KvCacheKind.Dense, 2, 2, 32)]
    [InlineData(KvCacheKind.LogEvict, 2, 2, 32)]
    public void KvBits_EachKind_AreThoseOfWhatItKeepsOfOldTokens(KvCacheKind kind, int keyBits, int valueBits, int expected) =>
        new KvCacheFactory(new KvCacheOptions { Kind = kind, KeyBits = keyBits, ValueBits = valueBits }, Shape).KvBits.ShouldBe(expected);

    [Fact]
    public void Constructor_BitsOfTheModelFolder_AreTakenWhereTheOptionsNameNone()
    {
        var tuned = Shape with { Bits = new CacheBitsConfig([2, 2, 3, 2], [2, 4, 3, 2], [2, 3, 4, 2]) };
        var (without, with) = (new KvCacheFactory(new KvCacheOptions(), Shape), new KvCacheFactory(new KvCacheOptions(), tuned));

        with.IsTuned.ShouldBeTrue();
        without.IsTuned.ShouldBeFalse();
        with.KvBits.ShouldBe(2);
        with.Fingerprint.ShouldNotBe(without.Fingerprint);
        var format = new PageFormat(new KvCacheOptions { BoundaryLayers = 1 }, tuned, 64);
        format.Layouts.Select(l => (l.KeyBits, l.SlowKeyBits, l.ValueBits)).ShouldBe([(4, 4, 4), (2, 4, 3), (3, 3, 4), (4, 4, 4)]);

        // One of the three set: the options' own, for all layers.
        var set = new KvCacheFactory(new KvCacheOptions { ValueBits = 3 }, tuned);
        set.IsTuned.ShouldBeFalse();
        set.Fingerprint.ShouldBe(new KvCacheFactory(new KvCacheOptions { KeyBits = 2, SlowKeyBits = 3, ValueBits = 3 }, Shape).Fingerprint);
        new KvCacheFactory(new KvCacheOptions { Kind = KvCacheKind.Dense }, tuned).IsTuned.ShouldBeFalse();
    }

    [Fact]
    public void Constructor_FormatThatDoesNotFitThePolicy_Throws() =>
        Should.Throw<ArgumentException>(() => new PagedKvCache(Shape, new LogQuantPolicy(64), new PageFormat(4, new PageLayout(32, 8))))
            .Message.ShouldContain("32 tokens");
}
