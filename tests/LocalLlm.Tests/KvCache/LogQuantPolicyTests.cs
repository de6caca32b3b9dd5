using LocalLlm.KvCache;

namespace LocalLlm.Tests.KvCache;

public class LogQuantPolicyTests
{
    [Theory]
    [InlineData(32)]
    [InlineData(64)]
    [InlineData(96)]
    [InlineData(128)]
    public void Positions_EveryLengthTo5000_EqualThePapersRule(int window)
    {
        var policy = new LogQuantPolicy(window);
        var (kept, pages) = (new List<int>(), 0);
        for (var t = 0; t < 5000; t++)
        {
            if (kept.Count == 3 * window)
            {
                var evicted = kept.Take(2 * window).Where((_, i) => i % 2 == 1).ToArray();
                policy.PagePositions(pages++).ShouldBe(evicted);
                kept = [.. kept.Take(2 * window).Where((_, i) => i % 2 == 0), .. kept.Skip(2 * window)];
            }

            kept.Add(t);

            policy.PagesAt(t + 1).ShouldBe(pages);
            policy.RowsAt(t + 1).ShouldBe(kept.Count);
            policy.RowPositionsAt(t + 1).ToArray().ShouldBe(kept);
        }
    }

    [Theory]
    [InlineData(32)]
    [InlineData(64)]
    [InlineData(128)]
    public void Plan_AnyAppend_CutsAfterEveryTokenThatCompacts(int window)
    {
        var policy = new LogQuantPolicy(window);
        foreach (var position in Enumerable.Range(0, 5 * window + 3))
        {
            foreach (var count in new[] { 1, 2, window - 1, window, window + 1, 3 * window, 3 * window + 1, 3 * window + 2, 7 * window + 5 })
            {
                var plan = policy.Plan(position, count);

                (plan.Position, plan.Count).ShouldBe((position, count));
                // The oracle: token by token, a new segment after each one whose append finds 3W rows.
                var ends = Enumerable.Range(position, count).Where(t => policy.RowsAt(t) == 3 * window || t == position + count - 1).Select(t => t + 1 - position);
                plan.Segments.Select(s => s.Start + s.Count).ShouldBe(ends);
                plan.Segments.Select(s => s.Start).ShouldBe(plan.Segments.Select(s => s.Start + s.Count).SkipLast(1).Prepend(0));
            }
        }
    }

    [Fact]
    public void RowPositions_Index_EqualsArray()
    {
        var positions = new LogQuantPolicy(32).RowPositionsAt(150);

        Enumerable.Range(0, positions.Count).Select(i => positions[i]).ShouldBe(positions.ToArray());
        Should.Throw<ArgumentOutOfRangeException>(() => positions[positions.Count]);
    }

    [Fact]
    public void Plan_NoTokens_Throws() => Should.Throw<ArgumentOutOfRangeException>(() => new LogQuantPolicy(32).Plan(5, 0));
}
