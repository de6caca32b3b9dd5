using LocalLlm.Quantization;

namespace LocalLlm.Tests.Quantization;

public class PageLayoutTests
{
    [Theory]
    [InlineData(64, 128, 2, 2, KvScaleFormat.Byte, 2048, 2048, 512)] // 2·(128 + 2·64) scales and minima
    [InlineData(32, 8, 2, 2, KvScaleFormat.Half, 128, 128, 192)] // half of the lanes' channels are unused: 2·(16 + 32)
    [InlineData(128, 96, 2, 2, KvScaleFormat.Byte, 3072, 3072, 704)] // groups of 64 and 32
    [InlineData(64, 128, 3, 2, KvScaleFormat.Half, 3072, 2048, 1024)]
    [InlineData(64, 80, 3, 4, KvScaleFormat.Byte, 5 * 256 + 3 * 256, 2 * 5 * 256, 416)] // the last one-bit lane of the keys is half used
    [InlineData(32, 128, 4, 3, KvScaleFormat.Byte, 2048, 1024 + 512, 384)]
    public void Sizes_AreAsDocumented(
        int tokens, int headDim, int keyBits, int valueBits, KvScaleFormat scales, int keyBytes, int valueBytes, int scaleBytes)
    {
        var layout = new PageLayout(tokens, headDim, keyBits, valueBits, scales);

        (layout.ValueOffset, layout.CodeBytes - layout.ValueOffset, layout.ScaleBytes).ShouldBe((keyBytes, valueBytes, scaleBytes));
        layout.HeadBytes.ShouldBe(keyBytes + valueBytes + scaleBytes);
        layout.PageBytes(2, 3).ShouldBe(6 * layout.HeadBytes + 4 * tokens);
    }

    [Fact]
    public void Planes_AnyLayout_AreMultiplesOf64Bytes()
    {
        foreach (var layout in Grid())
            new[] { layout.KeyHighOffset, layout.ValueOffset, layout.ValueHighOffset, layout.CodeBytes }.ShouldAllBe(offset => offset % 64 == 0);
    }

    [Theory]
    [InlineData(KvScaleFormat.Byte, 20)]
    [InlineData(KvScaleFormat.Half, 22)]
    public void PageBytes_Llama8BSlowKeysOfThreeBits_AreWholeKiBPerTokenAndThePosition(KvScaleFormat scales, int kibibytes) =>
        new PageLayout(64, 128, scales: scales, slowKeyBits: 3).PageBytes(32, 8).ShouldBe(64 * (kibibytes * 1024 + 4));

    [Theory]
    [InlineData(2, 2, KvScaleFormat.Byte, 18)]
    [InlineData(2, 2, KvScaleFormat.Half, 20)]
    [InlineData(3, 2, KvScaleFormat.Byte, 22)]
    [InlineData(4, 4, KvScaleFormat.Byte, 34)]
    public void PageBytes_Llama8B_AreWholeKiBPerTokenAndThePosition(int keyBits, int valueBits, KvScaleFormat scales, int kibibytes) =>
        new PageLayout(64, 128, keyBits, valueBits, scales).PageBytes(32, 8).ShouldBe(64 * (kibibytes * 1024 + 4));

    // Of 4 tiles of 64 channels the second and the fourth are slow; of 8 of 128 the third, fourth, seventh and eighth; where tiles straddle, half is enough.
    [Theory]
    [InlineData(64, new[] { 1, 3 })]
    [InlineData(128, new[] { 2, 3, 6, 7 })]
    [InlineData(256, new[] { 4, 5, 6, 7, 12, 13, 14, 15 })]
    [InlineData(96, new[] { 1, 2, 4, 5 })]
    [InlineData(80, new[] { 1, 2, 4 })]
    [InlineData(32, new[] { 0, 1 })]
    [InlineData(8, new[] { 0 })]
    public void SlowKeyBits_MoreThanKeyBits_AreThoseOfSlowTiles(int headDim, int[] slow)
    {
        var layout = new PageLayout(64, headDim, slowKeyBits: 3);

        var tiles = (headDim + 15) / 16;
        Enumerable.Range(0, tiles).Where(layout.IsKeyHigh).ShouldBe(slow);
        layout.KeyHighChannels.ShouldBe(16 * slow.Length);
        (layout.ValueOffset - layout.KeyHighOffset).ShouldBe((slow.Length + 1) / 2 * 64 * 4);
        for (var tile = 0; tile < tiles; tile++)
            layout.KeyMaxCode(tile).ShouldBe(slow.Contains(tile) ? 7 : 3);
        // The definition, channel by channel: pair i of (i, i + D/2) is slow from D/4 on.
        for (var tile = 0; tile < tiles; tile++)
        {
            var channels = Enumerable.Range(16 * tile, 16).Where(c => c < headDim).ToArray();
            var share = channels.Count(c => (c < headDim / 2 ? c : c - (headDim / 2)) >= headDim / 4) / (double)channels.Length;
            layout.IsKeyHigh(tile).ShouldBe(share >= 0.5);
        }
    }

    [Fact]
    public void Constructor_SlowBitsBelowOrBesideOthers_Throws()
    {
        Should.Throw<ArgumentOutOfRangeException>(() => new PageLayout(64, 64, 3, slowKeyBits: 4));
        Should.Throw<ArgumentOutOfRangeException>(() => new PageLayout(64, 64, 3, slowKeyBits: 2));
        Should.Throw<ArgumentOutOfRangeException>(() => new PageLayout(64, 64, 2, slowKeyBits: 5));
    }

    [Theory]
    [InlineData(48, 64, 2, 2)]
    [InlineData(0, 64, 2, 2)]
    [InlineData(64, 12, 2, 2)]
    [InlineData(64, 0, 2, 2)]
    [InlineData(64, 64, 1, 2)]
    [InlineData(64, 64, 2, 5)]
    public void Constructor_WrongSize_Throws(int tokens, int headDim, int keyBits, int valueBits) =>
        Should.Throw<ArgumentOutOfRangeException>(() => new PageLayout(tokens, headDim, keyBits, valueBits));

    /// <summary>Layouts of all bits and scale formats, with whole and partly used lanes and groups.</summary>
    internal static IEnumerable<PageLayout> Grid() =>
        from shape in new[] { (32, 8), (64, 24), (32, 72), (64, 80), (64, 128), (128, 64), (32, 256) }
        from keyBits in new (int All, int Slow)[] { (2, 2), (2, 3), (2, 4), (3, 3), (4, 4) }
        from valueBits in new[] { 2, 3, 4 }
        from scales in Enum.GetValues<KvScaleFormat>()
        select new PageLayout(shape.Item1, shape.Item2, keyBits.All, valueBits, scales, keyBits.Slow);
}
