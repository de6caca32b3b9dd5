using LocalLlm.Sessions;
using LocalLlm.Tests.Scheduling;

namespace LocalLlm.Tests.Sessions;

public sealed class PrefixIndexTests
{
    private readonly FakeCache.Census census = new();

    [Fact]
    public void Lend_LongestBeginning_IsForked()
    {
        using var index = new PrefixIndex(4);
        Retain(index, [1, 2]);
        Retain(index, [1, 2, 3, 4]);
        Retain(index, [9, 9, 9, 9, 9]);

        var (cache, source) = index.Lend([1, 2, 3, 4, 5]).ShouldNotBeNull();

        cache.Length.ShouldBe(4);
        cache.ShouldNotBeSameAs(source.Cache);
        index.Count.ShouldBe(3);
        cache.Dispose();
    }

    [Fact]
    public void Lend_SamePrompt_LeavesTheLastTokenToCompute()
    {
        using var index = new PrefixIndex(4);
        Retain(index, [1, 2, 3]);

        using var cache = index.Lend([1, 2, 3]).ShouldNotBeNull().Cache;

        cache.Length.ShouldBe(2);
    }

    [Fact]
    public void Lend_CacheCannotGoBack_IsPassedOver()
    {
        using var index = new PrefixIndex(4);
        Retain(index, [1, 2, 3, 4], truncatableFrom: 3);

        index.Lend([1, 2, 9, 9]).ShouldBeNull();
        index.Lend([1, 2, 3, 9]).ShouldNotBeNull().Cache.Dispose();
    }

    [Fact]
    public void DropOldest_OneThatStaysHoldsItsTokens_IsNotTold()
    {
        var told = new List<int>();
        using (var index = new PrefixIndex(9, entry => told.Add(entry.Tokens.Count)))
        {
            Retain(index, [1, 2, 3]);
            Retain(index, [1, 2, 3, 4], truncatableFrom: 3);
            Retain(index, [1, 2, 3, 4, 5, 6], truncatableFrom: 5);
        }

        told.ShouldBe([4, 6]); // 3 is the beginning of 4, which the last one cannot go back to
    }

    [Fact]
    public void Lend_NothingInCommon_IsNull()
    {
        using var index = new PrefixIndex(4);
        Retain(index, [1, 2]);

        index.Lend([2, 1]).ShouldBeNull();
        index.Lend([1]).ShouldBeNull();
    }

    [Fact]
    public void Retain_OverCapacity_TheLeastRecentlyUsedLeaves()
    {
        using (var index = new PrefixIndex(2))
        {
            Retain(index, [1, 1]);
            Retain(index, [2, 2]);
            index.Lend([1, 1, 1]).ShouldNotBeNull().Cache.Dispose();
            Retain(index, [3, 3]);

            index.Lend([2, 2, 2]).ShouldBeNull();
            index.Lend([1, 1, 1]).ShouldNotBeNull().Cache.Dispose();
        }

        census.Alive.ShouldBe(0);
    }

    [Fact]
    public void Retain_SameTokens_AreKeptOnce()
    {
        using var index = new PrefixIndex(4);
        Retain(index, [1, 2]);
        Retain(index, [1, 2]);

        index.Count.ShouldBe(1);
        census.Alive.ShouldBe(1);
    }

    private void Retain(PrefixIndex index, List<int> tokens, int truncatableFrom = 0)
    {
        var cache = FakeCache.Create(census, truncatableFrom);
        cache.Commit(cache.PlanAppend(tokens.Count));
        index.Retain(tokens, cache);
    }
}
