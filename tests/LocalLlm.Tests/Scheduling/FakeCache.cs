using System.Collections.Concurrent;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Scheduling;

/// <summary>
/// A cache that only counts, and knows how many of its kind are alive. It takes blocks of tokens from the census's pool; forks share them, and copy the last one
/// before they write to it.
/// </summary>
internal sealed class FakeCache : ISavableKvCache
{
    /// <summary>What every append ends in.</summary>
    public const string Refusal = "A key is not a number.";

    private readonly Census census;
    private readonly int truncatableFrom;
    private readonly List<FakeUnit> blocks = [];
    private bool isDisposed;

    private FakeCache(Census census, int truncatableFrom)
    {
        (this.census, this.truncatableFrom) = (census, truncatableFrom);
        Interlocked.Increment(ref census.Alive);
    }

    public int Length { get; private set; }

    public IEnumerable<KvUnit> Units => blocks;

    public static FakeCache Create(Census census, int truncatableFrom = 0) => new(census, truncatableFrom);

    /// <summary>Bytes of a cache of so many tokens: 1 a token, whole blocks.</summary>
    public static long BytesFor(int tokens) => Blocks(tokens) * Census.BlockTokens;

    /// <summary>Reads what <see cref="Save"/> wrote.</summary>
    public static FakeCache Load(Census census, int truncatableFrom, Stream content, int tokens)
    {
        var cache = new FakeCache(census, truncatableFrom);
        try
        {
            cache.Reserve(new CacheReader(content).ReadNumber("length", tokens, tokens));
        }
        catch
        {
            cache.Dispose();
            throw;
        }

        cache.Length = tokens;
        return cache;
    }

    public void Save(CacheWriter writer)
    {
        census.Saving(Length);
        writer.Write(Length);
    }

    public AppendPlan PlanAppend(int count) => new(Length, count, [new AppendSegment(0, count)]);

    public long GrowthBytes(int length) => (Copies(length) + Math.Max(0, Blocks(length) - blocks.Count)) * Census.BlockTokens;

    public void Reserve(int length)
    {
        if (Copies(length) > 0)
        {
            var copy = census.Take();
            blocks[^1].Release();
            blocks[^1] = copy;
        }

        while (blocks.Count < Blocks(length))
            blocks.Add(census.Take());
    }

    public void Commit(AppendPlan plan)
    {
        census.Committing();
        Reserve(Length + plan.Count);
        Length += plan.Count;
    }

    public void EndPrompt() => census.PromptEnds.Enqueue(Length);

    public IKvCache Fork(int length)
    {
        CanTruncate(length).ShouldBeTrue();
        var fork = new FakeCache(census, truncatableFrom) { Length = length };
        foreach (var block in blocks[..Blocks(length)])
        {
            block.AddOwner();
            fork.blocks.Add(block);
        }

        return fork;
    }

    public long ForkBytes(int length, int grownTo)
    {
        var copies = grownTo > length && length % Census.BlockTokens != 0 ? 1 : 0;
        return (copies + Math.Max(0, Blocks(grownTo) - Blocks(length))) * Census.BlockTokens;
    }

    public bool CanTruncate(int length) => length == Length || (length >= truncatableFrom && length <= Length);

    public void Truncate(int length)
    {
        census.Truncating();
        Length = length;
        while (blocks.Count > Blocks(length))
        {
            blocks[^1].Release();
            blocks.RemoveAt(blocks.Count - 1);
        }
    }

    public KvView View(int layer) => throw new NotSupportedException();

    public PageLayout? AddRuns(int layer, bool withPositions, List<KvRun> runs) => throw new NotSupportedException();

    public void Append(int layer, Tensor k, Tensor v, AppendPlan plan, int segment) => throw new LocalLlmException(Refusal);

    public void Dispose()
    {
        isDisposed.ShouldBeFalse("a cache was disposed of twice");
        isDisposed = true;
        blocks.ForEach(b => b.Release());
        Interlocked.Decrement(ref census.Alive);
    }

    private static int Blocks(int tokens) => (tokens + Census.BlockTokens - 1) / Census.BlockTokens;

    // 1 where the last block is shared and would be written to.
    private int Copies(int length) => length > Length && Length % Census.BlockTokens != 0 && blocks[Length / Census.BlockTokens].IsShared ? 1 : 0;

    /// <summary>Memory that is none.</summary>
    internal sealed class FakeUnit(Action freed) : KvUnit
    {
        public override void Free() => freed();
    }

    /// <summary>Counts caches and units that are alive.</summary>
    internal sealed class Census
    {
        /// <summary>Tokens of a block, and its bytes.</summary>
        public const int BlockTokens = 4;

        private readonly KvUnitKind<FakeUnit> kind;
        private int units;

        public int Alive;

        public Census(long? limitBytes = null)
        {
            Pool = new KvPool(limitBytes);
            kind = new("a block", BlockTokens, () =>
            {
                Allocating();
                Interlocked.Increment(ref units);
                return new FakeUnit(() => Interlocked.Decrement(ref units));
            });
        }

        public KvPool Pool { get; }

        /// <summary>Called before a cache of a length is saved.</summary>
        public Action<int> Saving { get; set; } = _ => { };

        /// <summary>Called before a cache goes back to a length.</summary>
        public Action Truncating { get; set; } = () => { };

        /// <summary>Called before a block is allocated.</summary>
        public Action Allocating { get; set; } = () => { };

        /// <summary>Called before a step's tokens become part of a cache.</summary>
        public Action Committing { get; set; } = () => { };

        /// <summary>Units that are allocated.</summary>
        public int Units => units;

        /// <summary>Lengths at which a cache was told that its prompt ends.</summary>
        public ConcurrentQueue<int> PromptEnds { get; } = [];

        public FakeUnit Take() => Pool.Take(kind);
    }
}
