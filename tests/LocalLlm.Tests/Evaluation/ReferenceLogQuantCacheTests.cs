using LocalLlm.Evaluation.Methods;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Evaluation;

public class ReferenceLogQuantCacheTests
{
    private const int Window = 4;

    public ReferenceLogQuantCacheTests() => LibTorch.EnsureLoaded();

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(61)]
    public void Keys_AfterAppends_AreThoseOfTheAuthorsBookkeeping(int chunk)
    {
        const int tokens = 61;
        var shape = new KvShape(1, 2, 8, ScalarType.Float32, CPU);
        var appends = new RandomAppends(shape, tokens, seed: 3);
        using var cache = new ReferenceLogQuantCache(shape, Window);
        for (var left = tokens; left > 0; left -= chunk)
            appends.Append(cache, Math.Min(chunk, left));

        var expected = AuthorsKeys(appends, shape, tokens);

        using var scope = NewDisposeScope();
        var keys = cache.View(0).Keys.contiguous().data<float>().ToArray();
        for (var i = 0; i < keys.Length; i++)
            keys[i].ShouldBe(expected[i], 1e-5f);
    }

    [Fact]
    public void Requantize_OneGroup_HasTheIntegerZeroPoint()
    {
        // Range -0.5 to 2.5, scale 1, zero point round(0.5) = 0 (to even): codes round(x), from 0 on.
        var numbers = new float[64];
        (numbers[0], numbers[1], numbers[2], numbers[3]) = (-0.5f, 2.5f, 1.4f, 0.6f);
        using var scope = NewDisposeScope();

        var after = ReferenceLogQuantCache.Requantize(tensor(numbers)).data<float>().ToArray();

        after.Take(5).ShouldBe([0, 2, 1, 1, 0]);
    }

    [Fact]
    public void Requantize_EqualNumbers_Stay()
    {
        using var scope = NewDisposeScope();
        ReferenceLogQuantCache.Requantize(full([2, 64], 3.25f)).data<float>().ToArray().ShouldAllBe(x => x == 3.25f);
    }

    [Theory]
    [InlineData(7, 7, 0)]
    [InlineData(8, 8, 4)]   // 4 in the history and, sparse, once more in full precision; 4 recent
    [InlineData(15, 11, 8)]
    [InlineData(16, 8, 12)]
    public void BitsAt_CountsSparseTokensTwice(int length, int rows, int history)
    {
        var shape = new KvShape(3, 1, 64, ScalarType.BFloat16, CPU);

        ReferenceLogQuantCache.BitsAt(shape, Window, length).ShouldBe((long)(3 * 2 * 64 * ((rows * 16.0) + (history * (2 + (24.0 / 64))))));
    }

    // A plain transcription of the bookkeeping, a token at a time: what attention would read, [heads, tokens, channels].
    private static float[] AuthorsKeys(RandomAppends appends, KvShape shape, int tokens)
    {
        var read = new List<float[]>(); // of each token, [heads][channels]
        var (recent, sparse) = (new List<int>(), new List<int>());
        for (var token = 0; token < tokens; token++)
        {
            var channels = Enumerable.Range(0, shape.KvHeads * shape.HeadDim);
            read.Add([.. channels.Select(i => appends.Key(0, i / shape.HeadDim, token, i % shape.HeadDim))]);
            recent.Add(token);
            if (recent.Count < 2 * Window)
                continue;
            sparse = sparse.Count == 0 ? [.. recent.Take(Window)] : [.. sparse.Concat(recent.Take(Window)).Where((_, i) => i % 2 == 0)];
            recent.RemoveRange(0, Window);

            // All but the last W, flat over [heads, tokens, channels].
            var history = token + 1 - Window;
            var flat = Flat(read, shape, history);
            var after = Quantized(flat);
            for (var i = 0; i < flat.Length; i++)
            {
                var (head, position, channel) = (i / (history * shape.HeadDim), i / shape.HeadDim % history, i % shape.HeadDim);
                if (!sparse.Contains(position))
                    read[position][(head * shape.HeadDim) + channel] = after[i];
            }
        }

        return Flat(read, shape, tokens);
    }

    private static float[] Flat(List<float[]> read, KvShape shape, int tokens) =>
    [
        .. from head in Enumerable.Range(0, shape.KvHeads)
           from token in Enumerable.Range(0, tokens)
           from channel in Enumerable.Range(0, shape.HeadDim)
           select read[token][(head * shape.HeadDim) + channel],
    ];

    private static float[] Quantized(float[] flat) => [.. flat.Chunk(64).SelectMany(group =>
    {
        var scale = (group.Max() - group.Min()) / 3;
        var zeroPoint = MathF.Round(-group.Min() / scale);
        return group.Select(x => (Math.Clamp(MathF.Round(x / scale) + zeroPoint, 0, 3) - zeroPoint) * scale);
    })];
}
