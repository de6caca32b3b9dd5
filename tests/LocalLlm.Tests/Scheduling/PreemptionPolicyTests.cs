using CsCheck;
using LocalLlm.Scheduling;

namespace LocalLlm.Tests.Scheduling;

public class PreemptionPolicyTests
{
    [Fact]
    public void Victim_OneAlone_IsNone() => PreemptionPolicy.Victim([new(0, 1)]).ShouldBe(-1);

    [Fact]
    public void Victim_SamePriority_IsTheLatest() => PreemptionPolicy.Victim([new(0, 1), new(0, 3), new(0, 2)]).ShouldBe(1);

    [Fact]
    public void Victim_LowerPriority_LeavesFirst() => PreemptionPolicy.Victim([new(1, 9), new(0, 1), new(2, 3)]).ShouldBe(1);

    [Fact]
    public void VictimFor_OnlyLowerPriorities_Leave()
    {
        PreemptionPolicy.VictimFor(1, [new(1, 5), new(2, 6)]).ShouldBe(-1);
        PreemptionPolicy.VictimFor(2, [new(1, 5), new(1, 7), new(2, 6)]).ShouldBe(1);
        PreemptionPolicy.VictimFor(2, []).ShouldBe(-1);
    }

    [Fact]
    public void Victims_ThoseThatWaitForTheirReaders_LeaveBeforeAllOthers()
    {
        PreemptionPolicy.Victim([new(0, 9), new(2, 1, IsPaused: true), new(0, 8)]).ShouldBe(1);
        PreemptionPolicy.Victim([new(1, 1, IsPaused: true), new(2, 2, IsPaused: true), new(0, 3)]).ShouldBe(0);
        PreemptionPolicy.VictimFor(-5, [new(0, 1), new(2, 2, IsPaused: true)]).ShouldBe(1);
        PreemptionPolicy.VictimFor(0, [new(0, 1)]).ShouldBe(-1);
    }

    [Fact]
    public void Victim_AgainAndAgain_TheOldestOfTheHighestPriorityStays() =>
        Gen.Int[-2, 2].List[1, 20].Sample(priorities =>
        {
            var running = priorities.Select((p, i) => new RunningRequest(p, i)).ToList();
            var expected = running.OrderByDescending(r => r.Priority).ThenBy(r => r.Arrival).First();
            while (PreemptionPolicy.Victim([.. running]) is >= 0 and var victim)
                running.RemoveAt(victim);
            running.ShouldBe([expected]);
        });
}
