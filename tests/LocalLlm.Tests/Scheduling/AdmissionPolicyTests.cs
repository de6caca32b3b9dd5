using CsCheck;
using LocalLlm.Scheduling;

namespace LocalLlm.Tests.Scheduling;

public class AdmissionPolicyTests
{
    [Fact]
    public void Next_Nobody_IsNone() => AdmissionPolicy.Next([]).ShouldBe(-1);

    [Fact]
    public void Next_SamePriority_IsTheFirstToArrive() => AdmissionPolicy.Next([Waiting(0, 3), Waiting(0, 1), Waiting(0, 2)]).ShouldBe(1);

    [Fact]
    public void Next_HigherPriority_GoesFirst() => AdmissionPolicy.Next([Waiting(0, 1), Waiting(2, 3), Waiting(1, 2)]).ShouldBe(1);

    [Fact]
    public void Next_LongWait_OvertakesAHigherPriority()
    {
        AdmissionPolicy.Next([Waiting(0, 1, seconds: 19), Waiting(2, 2)]).ShouldBe(1);
        AdmissionPolicy.Next([Waiting(0, 1, seconds: 20), Waiting(2, 2)]).ShouldBe(0);
    }

    [Fact]
    public void Next_StreamOfHigherPriorities_StarvesNobody()
    {
        // One place a second, two more requests of priority 5 every second: those of the first 50 seconds go before it, and no other.
        var waiting = new List<(int Priority, long Arrival, int Since)> { (0, 0, 0) };
        for (var second = 0; second <= 110; second++)
        {
            waiting.Add((5, second + 1, second));
            waiting.Add((5, second + 1_000, second));
            var next = AdmissionPolicy.Next([.. waiting.Select(w => Waiting(w.Priority, w.Arrival, second - w.Since))]);
            if (waiting[next].Arrival == 0)
                return;
            waiting.RemoveAt(next);
        }

        Assert.Fail("the first request has not started");
    }

    [Fact]
    public void Next_AnyRequests_HasNoneBeforeIt() =>
        Gen.Select(Gen.Int[-3, 3], Gen.Int[0, 60]).List[1, 20].Sample(requests =>
        {
            var waiting = requests.Select((r, i) => Waiting(r.Item1, i, r.Item2)).ToArray();
            var next = waiting[AdmissionPolicy.Next(waiting)];
            waiting.ShouldAllBe(w => AdmissionPolicy.AgedPriority(w) < AdmissionPolicy.AgedPriority(next)
                || (AdmissionPolicy.AgedPriority(w) == AdmissionPolicy.AgedPriority(next) && w.Arrival >= next.Arrival));
        });

    private static WaitingRequest Waiting(int priority, long arrival, int seconds = 0) => new(priority, arrival, TimeSpan.FromSeconds(seconds));
}
