using LocalLlm.KvCache;
using LocalLlm.KvCache.Policies;

namespace LocalLlm.Tests.KvCache.Policies;

public class ResidencyPolicyTests
{
    private const int Tokens = 3000;

    public static TheoryData<KvCacheKind, int, int, int> Policies()
    {
        var data = new TheoryData<KvCacheKind, int, int, int>();
        foreach (var sinks in new[] { 0, 1, 4, 37 })
        {
            foreach (var window in new[] { 32, 64, 128 })
            {
                data.Add(KvCacheKind.LogQuant, window, sinks, window);
                data.Add(KvCacheKind.PartialLogQuant, window, sinks, window);
                data.Add(KvCacheKind.LogEvict, window, sinks, window);
            }

            foreach (var (window, page) in new[] { (32, 32), (128, 32), (192, 64), (128, 128) })
            {
                data.Add(KvCacheKind.StreamingQuant, window, sinks, page);
                data.Add(KvCacheKind.StreamingLlm, window, sinks, page);
                data.Add(KvCacheKind.Kivi, window, sinks, page);
                data.Add(KvCacheKind.HuggingFaceKivi, window, sinks, page);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Policies))]
    public void Positions_EveryLength_EqualTheRule(KvCacheKind kind, int window, int sinks, int pageTokens)
    {
        var (policy, simulation) = Create(kind, window, sinks, pageTokens);
        var pages = 0;
        for (var t = 0; t < Tokens; t++)
        {
            simulation.Append(t);
            ShouldHold(policy, simulation, t + 1, ref pages);
        }

        policy.ReservedRows.ShouldBe(sinks + (kind is KvCacheKind.Kivi or KvCacheKind.HuggingFaceKivi ? window : 3 * window));
    }

    [Theory]
    [MemberData(nameof(Policies))]
    public void Plan_AnyAppend_CutsAfterEveryTokenThatMovesOthers(KvCacheKind kind, int window, int sinks, int pageTokens)
    {
        var (policy, simulation) = Create(kind, window, sinks, pageTokens);
        var moving = Enumerable.Range(0, Tokens).Where(simulation.Append).ToList();
        moving.ShouldNotBeEmpty();
        for (var position = 0; position < Tokens - 8 * window; position += 13)
        {
            foreach (var count in new[] { 1, 2, window - 1, window, window + 1, 3 * window, 3 * window + 2, 7 * window + 5 })
            {
                var plan = policy.Plan(position, count);

                (plan.Position, plan.Count).ShouldBe((position, count));
                var last = position + count - 1;
                var ends = moving.Where(t => t >= position && t < last).Append(last).Select(t => t + 1 - position).ToList();
                plan.Segments.Select(s => s.Start + s.Count).ShouldBe(ends);
                plan.Segments.Select(s => s.Start).ShouldBe(ends.SkipLast(1).Prepend(0));
            }
        }
    }

    [Theory]
    [InlineData(64, 0, 32)]
    [InlineData(64, 5, 64)]
    [InlineData(256, 4, 128)]
    public void AtPromptEnd_HuggingFaceKivi_LeavesLessThanAPage(int window, int sinks, int pageTokens)
    {
        var (policy, simulation) = Create(KvCacheKind.HuggingFaceKivi, window, sinks, pageTokens);
        var random = new Random(window);
        var (pages, nextEnd) = (0, 1);
        for (var t = 0; t < Tokens; t++)
        {
            simulation.Append(t);
            ShouldHold(policy, simulation, t + 1, ref pages);
            if (t + 1 != nextEnd)
                continue;
            nextEnd += random.Next(1, 3 * window);
            simulation.EndPrompt();
            policy = policy.AtPromptEnd(t + 1);
            ShouldHold(policy, simulation, t + 1, ref pages);
            policy.PagesAt(t + 1).ShouldBe(policy.MostPagesAt(t + 1));
            (policy.RowsAt(t + 1) - sinks).ShouldBeLessThan(pageTokens);
            policy.AtPromptEnd(t + 1).ShouldBeSameAs(policy); // told twice, nothing more happens
        }
    }

    [Theory]
    [MemberData(nameof(Policies))]
    public void AtPromptEnd_OtherKinds_ChangesNothing(KvCacheKind kind, int window, int sinks, int pageTokens)
    {
        var (policy, _) = Create(kind, window, sinks, pageTokens);

        (policy.AtPromptEnd(sinks + window) == policy).ShouldBe(kind != KvCacheKind.HuggingFaceKivi);
    }

    [Fact]
    public void RowPositions_Index_EqualsArray()
    {
        var positions = new LogQuantPolicy(32, sinkTokens: 3).RowPositionsAt(150);

        Enumerable.Range(0, positions.Count).Select(i => positions[i]).ShouldBe(positions.ToArray());
        Should.Throw<ArgumentOutOfRangeException>(() => positions[positions.Count]);
    }

    [Fact]
    public void Plan_NoTokens_Throws() => Should.Throw<ArgumentOutOfRangeException>(() => new LogQuantPolicy(32).Plan(5, 0));

    [Fact]
    public void Constructor_NumbersThatDoNotFit_Throws()
    {
        Should.Throw<ArgumentOutOfRangeException>(() => new LogQuantPolicy(48));
        Should.Throw<ArgumentOutOfRangeException>(() => new LogQuantPolicy(32, sinkTokens: -1));
        Should.Throw<ArgumentOutOfRangeException>(() => new StreamingPolicy(96, 0, 64)).Message.ShouldContain("96 rows leave at a time");
        Should.Throw<ArgumentOutOfRangeException>(() => new KiviPolicy(64, 0, 128));
        Should.Throw<ArgumentException>(() => new LogQuantPolicy(32, packsSparseValues: true, keepsEvicted: false));
    }

    private static (ResidencyPolicy Policy, ResidencySimulation Simulation) Create(KvCacheKind kind, int window, int sinks, int pageTokens)
    {
        var options = new KvCacheOptions { Kind = kind, Window = window, SinkTokens = sinks, PageTokens = pageTokens };
        return (KvCacheFactory.Policy(options).ShouldNotBeNull(), new ResidencySimulation(options));
    }

    private static void ShouldHold(ResidencyPolicy policy, ResidencySimulation simulation, int length, ref int pages)
    {
        policy.RowsAt(length).ShouldBe(simulation.Rows.Count);
        policy.RowPositionsAt(length).ToArray().AsSpan().SequenceEqual(simulation.Rows.ToArray()).ShouldBeTrue($"rows at {length}");
        policy.PagesAt(length).ShouldBe(simulation.Pages.Count);
        policy.MostPagesAt(length).ShouldBeGreaterThanOrEqualTo(simulation.Pages.Count);
        policy.EvictedAt(length).ShouldBe(length - simulation.Rows.Count);
        for (; pages < simulation.Pages.Count; pages++)
            policy.PagePositions(pages).ShouldBe(simulation.Pages[pages]);
        // The rows whose values are codes are those after the sinks.
        var packed = simulation.Rows.Skip(policy.SinkTokens).Take(policy.PackedValueRowsAt(length));
        simulation.PackedValues.SetEquals(packed).ShouldBeTrue($"values at {length}");
        policy.ValueRowsAt(length).ShouldBe(simulation.Rows.Count - simulation.PackedValues.Count);
        policy.ValueRowsAt(length).ShouldBeLessThanOrEqualTo(policy.ValueRows);
        policy.RowsAt(length).ShouldBeLessThanOrEqualTo(policy.ReservedRows);
    }
}
