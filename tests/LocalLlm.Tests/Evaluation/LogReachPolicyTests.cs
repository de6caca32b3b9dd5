using LocalLlm.Evaluation.Methods;

namespace LocalLlm.Tests.Evaluation;

public class LogReachPolicyTests
{
    [Theory]
    [InlineData(32, 2, 0)]
    [InlineData(32, 3, 0)]
    [InlineData(32, 4, 5)]
    [InlineData(64, 5, 4)]
    public void Positions_OfEveryLength_AreThoseOfTheList(int window, int step, int sinks)
    {
        var policy = new LogReachPolicy(window, step, sinks);
        var kept = new List<int>();
        var left = new List<int>();
        for (var token = 0; token < 40 * window; token++)
        {
            if (token >= sinks && kept.Count == (step + 1) * window)
            {
                int[] leaving = [.. kept.Take(step * window).Where((_, row) => row % step == 1)];
                left.AddRange(leaving);
                kept = [.. kept.Except(leaving)];
            }

            if (token >= sinks)
                kept.Add(token);
            var length = token + 1;
            policy.EvictedAt(length).ShouldBe(left.Count);
            if (length % 7 == 0)
                policy.RowPositionsAt(length).ToArray().ShouldBe([.. Enumerable.Range(0, Math.Min(sinks, length)), .. kept]);
        }

        for (var page = 0; page < left.Count / window; page++)
            policy.PagePositions(page).ShouldBe(left.Skip(page * window).Take(window));
    }
}
