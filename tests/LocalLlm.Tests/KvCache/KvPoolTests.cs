using LocalLlm.KvCache;
using LocalLlm.Tests.Scheduling;

namespace LocalLlm.Tests.KvCache;

public sealed class KvPoolTests
{
    private long allocated;

    [Fact]
    public void Take_MillionRandomUnits_WhatIsFreeCanAlwaysBeTakenAndTheLimitHolds()
    {
        const long limit = 100_000;
        using var pool = new KvPool(limit);
        int[] sizes = [1, 7, 64, 640, 4_096, 10_000];
        var kinds = sizes.Select(size => Kind(size)).ToArray();
        var random = new Random(5);
        var held = new List<KvUnit>();
        var distinct = new Dictionary<KvUnit, int>(ReferenceEqualityComparer.Instance);
        long used = 0, refused = 0;
        for (var i = 0; i < 1_000_000; i++)
        {
            // Now and then nearly full, now and then nearly empty.
            var wants = random.Next(100) < (i / 50_000 % 2 == 0 ? 65 : 35);
            if (wants && held.Count > 0 && random.Next(4) == 0)
            {
                var shared = held[random.Next(held.Count)]; // a fork: costs nothing
                shared.AddOwner();
                distinct[shared]++;
                held.Add(shared);
            }
            else if (wants)
            {
                var kind = kinds[random.Next(kinds.Length)];
                if (used + kind.Bytes > limit)
                {
                    Should.Throw<KvMemoryException>(() => pool.Take(kind));
                    if (++refused > 300)
                        held.Clear(); // the exceptions are what takes time
                    if (held.Count == 0)
                        (used, refused) = (ReleaseAll(distinct), 0);
                    continue;
                }

                var unit = pool.Take(kind);
                used += kind.Bytes;
                distinct.Add(unit, 1);
                held.Add(unit);
            }
            else if (held.Count > 0)
            {
                var index = random.Next(held.Count);
                var unit = held[index];
                (held[index], held[^1]) = (held[^1], held[index]);
                held.RemoveAt(held.Count - 1);
                unit.Release();
                if (--distinct[unit] == 0)
                {
                    distinct.Remove(unit);
                    used -= unit.Bytes;
                }
            }

            if (pool.UsedBytes != used || allocated != used + pool.IdleBytes || allocated > limit || pool.FreeBytes != limit - used)
                Assert.Fail($"step {i}: used {pool.UsedBytes}, expected {used}; idle {pool.IdleBytes}, allocated {allocated}, free {pool.FreeBytes}");
        }

        pool.PeakBytes.ShouldBeInRange(limit - sizes[^1], limit);
        ReleaseAll(distinct);
        pool.Take(Kind(limit)).Release(); // all of it in one piece
        pool.Dispose();
        allocated.ShouldBe(0);
    }

    [Fact]
    public void Take_MoreThanIsFree_SaysTheNumbersAndChangesNothing()
    {
        using var pool = new KvPool(100);
        var unit = pool.Take(Kind(60));

        Should.Throw<KvMemoryException>(() => pool.Take(Kind(41))).Message.ShouldBe("The KV cache needs 41 bytes (a unit), but 60 of 100 bytes are in use.");

        (pool.UsedBytes, pool.FreeBytes).ShouldBe((60, 40));
        unit.Release();
        Should.Throw<InvalidOperationException>(unit.Release);
    }

    [Fact]
    public void Take_OfTheKindThatWasGivenBack_TakesThatUnit()
    {
        using var pool = new KvPool(100);
        var kind = Kind(10);
        var unit = pool.Take(kind);
        unit.Release();

        pool.Take(kind).ShouldBeSameAs(unit);
        allocated.ShouldBe(10);
    }

    [Fact]
    public void Take_AllocationFails_ChangesNothing()
    {
        using var pool = new KvPool(100);
        var kind = new KvUnitKind<FakeCache.FakeUnit>("a unit", 10, () => throw new InvalidOperationException("no memory"));

        Should.Throw<InvalidOperationException>(() => pool.Take(kind));

        (pool.UsedBytes, pool.IdleBytes, pool.FreeBytes).ShouldBe((0, 0, 100));
    }

    [Fact]
    public void Release_WithoutALimit_KeepsNothing()
    {
        using var pool = new KvPool();
        pool.Take(Kind(10)).Release();

        (allocated, pool.FreeBytes).ShouldBe((0, long.MaxValue));
    }

    [Fact]
    public void Dispose_UnitsInUse_AreFreedWhenTheyAreGivenBack()
    {
        var pool = new KvPool(100);
        var (kept, idle) = (pool.Take(Kind(10)), pool.Take(Kind(20)));
        idle.Release();

        pool.Dispose();
        allocated.ShouldBe(10);
        kept.Release();
        allocated.ShouldBe(0);
    }

    [Fact]
    public void Dispose_IdleUnitsOfNoBytes_AreFreed()
    {
        var isFreed = false;
        var pool = new KvPool(100);
        pool.Take(new KvUnitKind<FakeCache.FakeUnit>("nothing", 0, () => new FakeCache.FakeUnit(() => isFreed = true))).Release();

        pool.Dispose();
        isFreed.ShouldBeTrue();
    }

    private static long ReleaseAll(Dictionary<KvUnit, int> owners)
    {
        foreach (var (unit, count) in owners)
        {
            for (var i = 0; i < count; i++)
                unit.Release();
        }

        owners.Clear();
        return 0;
    }

    private KvUnitKind<FakeCache.FakeUnit> Kind(long bytes) => new("a unit", bytes, () =>
    {
        allocated += bytes;
        return new FakeCache.FakeUnit(() => allocated -= bytes);
    });
}
