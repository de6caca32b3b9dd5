using LocalLlm.Batching;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using LocalLlm.Tests.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Attention;

/// <summary>One sequence's numbers go wrong in the middle of a step: every backend says so in the same words; the others go on.</summary>
public class AttentionFaultTests
{
    public AttentionFaultTests() => LibTorch.EnsureLoaded();

    [Theory]
    [MemberData(nameof(TestBackend.All), MemberType = typeof(TestBackend))]
    public void Step_NumbersNotFinite_FaultsTheSequenceAloneAndTheOtherGetsItsOwn(string name)
    {
        // In the second of the prompt's segments; the first layer is the one that is told, though the next is wrong too.
        foreach (var (inKey, number) in new[] { (true, float.NaN), (false, float.PositiveInfinity), (true, float.NegativeInfinity) })
        {
            var message = $"Layer 0: a {(inKey ? "key" : "value")} is {number} (token 120, KV head 1, channel 3";
            ShouldFault(name, ScalarType.Float32, KvCacheKind.LogQuant, message, (_, k, v) =>
            {
                var wrong = inKey ? k : v;
                wrong[125, 0, 1] = float.NaN;
                wrong[120, 1, 3] = number;
            });
        }
    }

    [Theory]
    [MemberData(nameof(TestBackend.All), MemberType = typeof(TestBackend))]
    public void Step_NumbersNotFiniteInALaterLayerOfADenseCache_NamesIt(string name) => ShouldFault(
        name, ScalarType.BFloat16, KvCacheKind.Dense, "Layer 1: a value is NaN (token 7, KV head 0, channel 15", (layer, _, v) =>
        {
            if (layer == 1)
                v[7, 0, 15] = float.NaN;
        });

    [Theory]
    [MemberData(nameof(TestBackend.All), MemberType = typeof(TestBackend))]
    public void Step_NumbersBeyondThePagesScales_NamesLayerAndPlace(string name)
    {
        // Tokens 1, 3, … of the body leave; with 4 sinks token 1 of the page is token 7.
        foreach (var kind in new[] { KvCacheKind.LogQuant, KvCacheKind.PartialLogQuant })
        {
            ShouldFault(name, ScalarType.Float32, kind, "(channel 9); a page's 8-bit scales end", (layer, k, _) =>
            {
                if (layer == 1)
                    k[7, 1, 9] = 3e38f;
            });
            // Values that are packed as rows are counted from the first row after the sinks.
            var token = kind == KvCacheKind.LogQuant ? 1 : 3;
            ShouldFault(name, ScalarType.Float32, kind, $"(channels from 0 of token {token} of the page)", (layer, _, v) =>
            {
                if (layer == 1)
                    v[7, 1, 9] = 3e38f;
            });
        }
    }

    [Theory]
    [MemberData(nameof(TestBackend.All), MemberType = typeof(TestBackend))]
    public void EndPrompt_NumbersBeyondThePagesScales_Throws(string name)
    {
        using var backend = TestBackend.Open(name);
        var shape = backend.On(new KvShape(1, 1, 8, ScalarType.Float32, CPU));
        var options = new KvCacheOptions { Kind = KvCacheKind.HuggingFaceKivi, Window = 128, PageTokens = 32, SinkTokens = 0, ClipSearch = false };
        using var cache = backend.Factory(options, shape).Create();
        using var scope = NewDisposeScope();
        var plan = cache.PlanAppend(40);
        var (k, v) = (zeros(40, 1, 8, device: shape.Device), zeros(40, 1, 8, device: shape.Device));
        k[5, 0, 2] = 3e38f;
        cache.Append(0, k, v, plan, 0);
        cache.Commit(plan);

        Should.Throw<LocalLlmException>(cache.EndPrompt).Message.ShouldContain("(channel 2); a page's 8-bit scales end");
    }

    // Two layers; spoil gets the first sequence's 140 keys and values of each.
    private static void ShouldFault(string name, ScalarType type, KvCacheKind kind, string message, Action<int, Tensor, Tensor> spoil)
    {
        using var backend = TestBackend.Open(name);
        var attention = backend.Attention;
        var shape = backend.On(new KvShape(2, 2, 16, type, CPU));
        var factory = backend.Factory(new KvCacheOptions { Kind = kind, Window = 32, SinkTokens = 4, ClipSearch = false }, shape);
        var (wrong, right) = (new KvStream(shape, 4, 140, seed: 1), new KvStream(shape, 4, 300, seed: 2));
        using IKvCache wrongCache = factory.Create(), rightCache = factory.Create(), alone = factory.Create();
        right.Append(rightCache, 250);
        right.Append(alone, 250);
        var expected = right.Step(attention, alone, 7);
        using var scope = NewDisposeScope();
        StepSlice[] slices = [new(wrongCache, 0, 140, wrongCache.PlanAppend(140)), new(rightCache, 140, 7, rightCache.PlanAppend(7))];
        var ids = zeros(147, ScalarType.Int64, shape.Device);
        var batch = new StepBatch(ids, ids, ids, slices);
        for (var layer = 0; layer < 2; layer++)
        {
            var (k, v) = (wrong.Keys(layer, 0, 140), wrong.Values(layer, 0, 140));
            spoil(layer, k, v);

            var output = attention.Attend(
                layer, cat([wrong.Queries(layer, 0, 140), right.Queries(layer, 250, 7)]), cat([k, right.Keys(layer, 250, 7)]),
                cat([v, right.Values(layer, 250, 7)]), right.Scale, null, batch);

            KvStream.ShouldBeClose(KvStream.Floats(output[140..]), expected[layer], type == ScalarType.Float32 ? 2e-6 : 0.032);
        }

        attention.Complete(batch);
        slices[0].Fault.ShouldNotBeNull().Message.ShouldContain(message);
        slices[1].Fault.ShouldBeNull();
        rightCache.Commit(slices[1].Plan);
        PagedKvCacheTests.ShouldBeIdentical(rightCache, alone);

        // What went wrong is forgotten with its step.
        right.Step(attention, rightCache, 3);
    }
}
