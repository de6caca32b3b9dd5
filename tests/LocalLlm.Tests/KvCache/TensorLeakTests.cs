using LocalLlm.Attention;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Tests.KvCache;

/// <summary>Tests that count the tensors of the whole process: nothing else may run meanwhile.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public class TensorCountCollection
{
    public const string Name = "Tensor count";
}

[Collection(TensorCountCollection.Name)]
public class TensorLeakTests
{
    public TensorLeakTests() => LibTorch.EnsureLoaded();

    [Theory]
    [InlineData("LogQuant", 1000)]
    [InlineData("Dense", 1000)]
    [MemberData(nameof(OtherCases))]
    public void Turns_Many_LeaveNoTensorBehind(string name, int turns)
    {
        using var mode = inference_mode(true);
        var stream = new KvStream(new KvShape(2, 1, 8, ScalarType.Float32, CPU), 2, 900, seed: 1);
        var factory = CacheCases.Factory(name, stream.Shape);
        var backend = new TorchAttention();
        Settle();
        var before = Tensor.TotalCount;

        var retained = factory.Create();
        var (atStart, atEnd) = (0L, 0L);
        for (var turn = 0; turn < turns; turn++)
        {
            // Fork, a prompt, a few tokens; a failed step now and then; the old cache is dropped. A conversation is 50 turns long.
            if (turn % 50 == 0)
            {
                retained.Dispose();
                retained = factory.Create();
            }

            var cache = retained.Fork();
            stream.Step(backend, cache, 13);
            cache.EndPrompt();
            stream.Step(backend, cache, 1);
            stream.Step(backend, cache, 1);
            if (turn % 10 == 9)
                FailingStep(stream, backend, cache.Fork());
            retained.Dispose();
            retained = cache;
            if (turn == 49 || turn == turns - 1)
                (atStart, atEnd) = (atEnd, Tensor.TotalCount);
        }

        atEnd.ShouldBe(atStart); // both at the end of a conversation of 50 turns
        retained.Dispose();
        Tensor.TotalCount.ShouldBe(before);
    }

    public static TheoryData<string, int> OtherCases()
    {
        var data = new TheoryData<string, int>();
        foreach (var name in CacheCases.All.Select(row => row.Data).Where(name => name is not ("LogQuant" or "Dense")))
            data.Add(name, 150);
        return data;
    }

    private static void FailingStep(KvStream stream, TorchAttention backend, IKvCache cache)
    {
        using (cache)
        {
            using var scope = NewDisposeScope();
            var plan = cache.PlanAppend(40);
            var k = stream.Keys(0, 0, 40);
            k[39, 0, 0] = float.NaN;
            var ids = zeros(40, ScalarType.Int64);
            var batch = new LocalLlm.Batching.StepBatch(ids, ids, ids, [new(cache, 0, 40, plan)]);
            backend.Attend(0, stream.Queries(0, 0, 40), k, stream.Values(0, 0, 40), 1, null, batch).Dispose();
            batch.Slices[0].Fault.ShouldNotBeNull();
        }
    }

    // Tensors that other tests left to their finalizers.
    private static void Settle()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
    }
}
