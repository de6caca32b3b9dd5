using LocalLlm.Attention;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using LocalLlm.Tests.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Attention;

public class TorchAttentionDenseTests
{
    public TorchAttentionDenseTests() => LibTorch.EnsureLoaded();

    [Theory]
    [InlineData(8, 4, 4)]
    [InlineData(24, 6, 2)]
    [InlineData(64, 8, 1)]
    [InlineData(128, 4, 2)]
    [InlineData(256, 2, 1)]
    public void Attend_DenseCache_EqualsDoublePrecision(int headDim, int queryHeads, int kvHeads)
    {
        var stream = new KvStream(new KvShape(2, kvHeads, headDim, ScalarType.Float32, CPU), queryHeads, 70, seed: headDim);
        using var cache = new DenseKvCache(stream.Shape);

        var outputs = stream.Run(new TorchAttention(), cache, [40, 1, 1, 20, 8]);

        ShouldEqualOracle(stream, outputs, null, 2e-6);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(33)]
    [InlineData(500)]
    public void Attend_SlidingWindow_EqualsDoublePrecisionOverTheWindow(int window)
    {
        var stream = new KvStream(new KvShape(1, 2, 16, ScalarType.Float32, CPU), 4, 80, seed: window);
        using var cache = new DenseKvCache(stream.Shape);

        var outputs = stream.Run(new TorchAttention(), cache, [30, 1, 25, 1, 1, 22], window);

        ShouldEqualOracle(stream, outputs, window, 2e-6);
    }

    [Fact]
    public void Attend_MorePartsThanOne_EqualsDoublePrecision()
    {
        var stream = new KvStream(new KvShape(1, 1, 8, ScalarType.Float32, CPU), 2, 600, seed: 3);
        using var cache = new DenseKvCache(stream.Shape);

        // 256 tokens a part at least: the last step has three parts beside the fresh one.
        var outputs = stream.Run(new TorchAttention(partScores: 1), cache, [590, 10]);

        ShouldEqualOracle(stream, outputs, null, 2e-6);
    }

    [Fact]
    public void Attend_BFloat16_IsAsCloseAsItsOutputTypeAllows()
    {
        var stream = new KvStream(new KvShape(1, 2, 32, ScalarType.BFloat16, CPU), 4, 50, seed: 5);
        using var cache = new DenseKvCache(stream.Shape);

        var outputs = stream.Run(new TorchAttention(), cache, [30, 20]);

        // Inputs are bf16 numbers already; only the output is rounded, to 8 bits.
        ShouldEqualOracle(stream, outputs, null, 0.016);
    }

    [Fact]
    public void Attend_SeveralSequencesInOneBatch_EachSeesItsOwn()
    {
        var shape = new KvShape(1, 1, 16, ScalarType.Float32, CPU);
        var (a, b) = (new KvStream(shape, 2, 30, seed: 1), new KvStream(shape, 2, 30, seed: 2));
        using var cacheA = new DenseKvCache(shape);
        using var cacheB = new DenseKvCache(shape);
        using var alone = new DenseKvCache(shape);
        a.Append(cacheA, 10);
        b.Append(cacheB, 20);
        b.Append(alone, 20);
        using var scope = NewDisposeScope();
        var ids = zeros(8, ScalarType.Int64);
        var batch = new LocalLlm.Batching.StepBatch(ids, ids, ids,
            [new(cacheA, 0, 5, cacheA.PlanAppend(5)), new(cacheB, 5, 3, cacheB.PlanAppend(3))]);

        var output = new TorchAttention().Attend(
            0, cat([a.Queries(0, 10, 5), b.Queries(0, 20, 3)]), cat([a.Keys(0, 10, 5), b.Keys(0, 20, 3)]),
            cat([a.Values(0, 10, 5), b.Values(0, 20, 3)]), a.Scale, null, batch);

        KvStream.ShouldBeClose(KvStream.Floats(output[5..8]), b.Step(new TorchAttention(), alone, 3)[0], 1e-6);
    }

    internal static void ShouldEqualOracle(KvStream stream, float[][] outputs, int? window, double tolerance)
    {
        var expected = new float[outputs[0].Length];
        for (var layer = 0; layer < outputs.Length; layer++)
        {
            for (var token = 0; token < stream.Tokens; token++)
            {
                for (var head = 0; head < stream.QueryHeads; head++)
                {
                    var seen = Enumerable.Range(0, token + 1).Where(t => window is null || t > token - window).ToArray();
                    AttentionOracle.Attend(
                            stream.Query(layer, token, head),
                            [.. seen.Select(t => stream.Key(layer, t, head / stream.Group))],
                            [.. seen.Select(t => stream.Value(layer, t, head / stream.Group))],
                            stream.Scale)
                        .Select(x => (float)x).ToArray()
                        .CopyTo(expected, (token * stream.QueryHeads + head) * stream.Shape.HeadDim);
                }
            }

            KvStream.ShouldBeClose(outputs[layer], expected, tolerance);
        }
    }
}
