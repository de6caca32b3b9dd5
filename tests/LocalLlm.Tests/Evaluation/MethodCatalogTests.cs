using LocalLlm.Evaluation.Methods;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Evaluation;

public class MethodCatalogTests
{
    private static readonly KvShape Shape = new(2, 2, 64, ScalarType.Float32, CPU);

    public MethodCatalogTests() => LibTorch.EnsureLoaded();

    public static TheoryData<string> Ids => [.. MethodCatalog.All.Where(m => !m.IsReferenceCode).Select(m => m.Id)];

    [Fact]
    public void MainFor_BitsOfLayers_HasTheDefaultWithoutThemToo()
    {
        MethodCatalog.MainFor(null).ShouldBe(MethodCatalog.Main);
        MethodCatalog.MainFor(new([2, 2], [4, 2], [3, 2])).Except(MethodCatalog.Main).ShouldBe([MethodCatalog.Alike]);
    }

    [Theory]
    [MemberData(nameof(Ids))]
    public void BitsAt_AnyLength_AreThoseOfWhatTheCacheShows(string id)
    {
        var caches = MethodCatalog.Choose([id])[0].For(Shape);
        var appends = new RandomAppends(Shape, 700, seed: 1);
        using var cache = caches.Create();
        foreach (var count in new[] { 1, 130, 62, 1, 300, 206 })
        {
            appends.Append(cache, count);
            caches.BitsAt(cache.Length).ShouldBe(ShownBits(cache));
        }
    }

    [Fact]
    public void BitsOver_DenseCache_Are16() => MethodCatalog.Dense.For(Shape).BitsOver(100).ShouldBe(new BitsPerElement(16, 16, 16));

    [Fact]
    public void BitsOver_ShortRun_IsTheMeanOverItsLengths()
    {
        // Up to 192 tokens are rows. The one after makes a page of 64, and 129 rows are left.
        // Codes (half of the keys' with a third bit), 8-bit scales and minima, positions shared by 2 layers of 2 heads.
        var page = (2 * (2 * 64 * 64)) + (64 * 32) + (8 * 2 * (64 + 64)) + (64.0 * 32 / 4);
        var at193 = (129.0 * 128 * 16) + page;
        var elements = Enumerable.Range(1, 193).Sum() * 128.0;

        var bits = MethodCatalog.OursLog.For(Shape).BitsOver(193);

        bits.Average.ShouldBe(((16 * 128.0 * Enumerable.Range(1, 192).Sum()) + at193) / elements, 1e-9);
        bits.Peak.ShouldBe(16 * 192.0 / 193, 1e-9);
        bits.Final.ShouldBe(at193 / (193 * 128), 1e-9);
    }

    [Fact]
    public void BitsOver_HuggingFaceKivi_FollowsThePromptsEnds()
    {
        var caches = MethodCatalog.Choose(["kivi-hf"])[0].For(Shape);

        // 64 rows leave at 100 instead of at 65; the other way round, the end of a prompt at 64 sends all of them.
        caches.BitsOver(64, [64]).Final.ShouldBeLessThan(caches.BitsOver(64).Final);
        caches.BitsOver(64, [40]).ShouldBe(caches.BitsOver(64));
    }

    [Theory]
    [InlineData(600)]
    [InlineData(2048)]
    public void EqualBytes_EveryMethod_HasTheNearestOfItsWindows(int tokens)
    {
        var target = MethodCatalog.Ours.For(Shape).BitsOver(tokens).Average;

        foreach (var method in MethodCatalog.EqualBytes(MethodCatalog.All, Shape, tokens))
        {
            if (!method.MatchesBytes)
            {
                method.ShouldBe(MethodCatalog.All.Single(m => m.Id == method.Id));
                continue;
            }

            var error = Math.Abs(method.For(Shape).BitsOver(tokens).Average - target);
            MethodCatalog.Candidates(method).ShouldAllBe(c => Math.Abs(c.For(Shape).BitsOver(tokens).Average - target) >= error - 1e-12);
        }
    }

    [Theory]
    [InlineData(600)]
    [InlineData(2048)]
    public void EqualBytes_ByPeak_TakesTheLargestPeakThatDoesNotExceedOurs(int tokens)
    {
        var most = MethodCatalog.Ours.For(Shape).BitsOver(tokens).Peak * (1 + 1e-9);
        var methods = MethodCatalog.EqualBytes(MethodCatalog.AtEqualPeaks(MethodCatalog.All), Shape, tokens, matching: ByteMatching.Peak);

        foreach (var method in methods.Where(m => m.MatchesBytes))
        {
            var peak = Peak(method);
            peak.ShouldBeLessThanOrEqualTo(most, method.Id);
            MethodCatalog.Candidates(method).Select(Peak).ShouldAllBe(other => other <= peak || other > most);
        }

        double Peak(Method method) => method.For(Shape).BitsOver(tokens).Peak;
    }

    [Fact]
    public void EqualBytes_Kivi_HasASmallerWindowByPeakThanByAverage()
    {
        var kivi = MethodCatalog.Choose(["kivi"]);

        var byPeak = MethodCatalog.EqualBytes(kivi, Shape, 4000, matching: ByteMatching.Peak)[0];

        byPeak.Options.Window.ShouldBeLessThan(MethodCatalog.EqualBytes(kivi, Shape, 4000)[0].Options.Window);
    }

    [Fact]
    public void AtEqualPeaks_NoWindowToChoose_IsEmpty()
    {
        MethodCatalog.AtEqualPeaks(MethodCatalog.Choose(["ours", "ours-w32"])).ShouldBeEmpty();
        MethodCatalog.AtEqualPeaks(MethodCatalog.Choose(["ours", "ours-w32", "kivi"])).Select(m => m.Id).ShouldBe(["ours", "kivi"]);
    }

    [Fact]
    public void EqualBytes_SinkAndRecent_HasOurWindowAndPage()
    {
        var method = MethodCatalog.EqualBytes(MethodCatalog.Choose(["sink-recent"]), Shape, 2048)[0];

        (method.Options.Window, method.Options.PageTokens).ShouldBe((64, 64));
    }

    [Fact]
    public void All_Methods_HaveIdsAndParametersOfTheirOwn()
    {
        MethodCatalog.All.Select(m => m.Id).ShouldBeUnique();
        MethodCatalog.All.Select(m => m.Parameters).ShouldBeUnique();
    }

    // Of the tensors that attention reads; rows count 16 bits an element whatever their type.
    private static long ShownBits(IKvCache cache)
    {
        using var scope = NewDisposeScope();
        var bits = 0L;
        for (var layer = 0; layer < Shape.Layers; layer++)
        {
            var view = cache.View(layer);
            bits += 16 * (view.Keys.NumberOfElements + view.Values.NumberOfElements);
            foreach (var pages in view.Pages)
                bits += Bits(pages.Codes) + Bits(pages.Scales) + (layer == 0 ? Bits(pages.Positions) : 0);
            if (view.PackedValues is { } packed)
                bits += Bits(packed.Codes) + Bits(packed.Scales);
        }

        return bits;

        static long Bits(Tensor tensor) => 8 * tensor.NumberOfElements * tensor.ElementSize;
    }
}
