using System.Collections.Concurrent;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Scheduling;

/// <summary>A cache that only counts, and knows how many of its kind are alive.</summary>
internal sealed class FakeCache(FakeCache.Census census, int length = 0, int truncatableFrom = 0) : IKvCache
{
    /// <summary>What every append ends in.</summary>
    public const string Refusal = "A key is not a number.";

    private bool isDisposed;

    public int Length { get; private set; } = length;

    public long Bytes => Length;

    public static FakeCache Create(Census census, int truncatableFrom = 0)
    {
        Interlocked.Increment(ref census.Alive);
        return new FakeCache(census, 0, truncatableFrom);
    }

    public AppendPlan PlanAppend(int count) => new(Length, count, [new AppendSegment(0, count)]);

    public void Commit(AppendPlan plan) => Length += plan.Count;

    public void EndPrompt() => census.PromptEnds.Enqueue(Length);

    public IKvCache Fork()
    {
        Interlocked.Increment(ref census.Alive);
        return new FakeCache(census, Length, truncatableFrom);
    }

    public bool CanTruncate(int length) => length == Length || (length >= truncatableFrom && length <= Length);

    public void Truncate(int length) => Length = length;

    public KvView View(int layer) => throw new NotSupportedException();

    public PageLayout? AddRuns(int layer, bool withPositions, List<KvRun> runs) => throw new NotSupportedException();

    public void Append(int layer, Tensor k, Tensor v, AppendPlan plan, int segment) => throw new LocalLlmException(Refusal);

    public void Dispose()
    {
        isDisposed.ShouldBeFalse("a cache was disposed of twice");
        isDisposed = true;
        Interlocked.Decrement(ref census.Alive);
    }

    /// <summary>Counts caches that are alive.</summary>
    internal sealed class Census
    {
        public int Alive;

        /// <summary>Lengths at which a cache was told that its prompt ends.</summary>
        public ConcurrentQueue<int> PromptEnds { get; } = [];
    }
}
