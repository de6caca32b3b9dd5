using LocalLlm.Sessions;
using LocalLlm.Tests.Scheduling;

namespace LocalLlm.Tests.Sessions;

public sealed class PrefixIndexTests
{
    private readonly FakeCache.Census census = new();

    [Fact]
    public void Find_LongestBeginning_IsFound()
    {
        using var index = new PrefixIndex(4);
        Retain(index, [1, 2]);
        Retain(index, [1, 2, 3, 4]);
        Retain(index, [9, 9, 9, 9, 9]);

        var (entry, length) = index.Find([1, 2, 3, 4, 5]).ShouldNotBeNull();

        entry.Tokens.ShouldBe([1, 2, 3, 4]);
        length.ShouldBe(4);
        index.Count.ShouldBe(3);
    }

    [Fact]
    public void Find_CacheCannotGoBack_IsPassedOver()
    {
        using var index = new PrefixIndex(4);
        Retain(index, [1, 2, 3, 4], truncatableFrom: 3);

        index.Find([1, 2, 9, 9]).ShouldBeNull();
        index.Find([1, 2, 3, 9]).ShouldNotBeNull();
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
    public void Find_NothingInCommon_IsNull()
    {
        using var index = new PrefixIndex(4);
        Retain(index, [1, 2]);

        index.Find([2, 1]).ShouldBeNull();
    }

    [Fact]
    public void Retain_OverCapacity_TheLeastRecentlyUsedLeaves()
    {
        using (var index = new PrefixIndex(2))
        {
            Retain(index, [1, 1]);
            Retain(index, [2, 2]);
            index.Find([1, 1, 1]).ShouldNotBeNull();
            Retain(index, [3, 3]);

            index.Find([2, 2, 2]).ShouldBeNull();
            index.Find([1, 1, 1]).ShouldNotBeNull();
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
