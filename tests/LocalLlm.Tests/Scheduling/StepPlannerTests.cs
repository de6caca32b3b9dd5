using CsCheck;
using LocalLlm.Scheduling;

namespace LocalLlm.Tests.Scheduling;

public class StepPlannerTests
{
    [Fact]
    public void Plan_OnePrompt_TakesTheWholeBudget() => StepPlanner.Plan([new(1000, true)], 512).ShouldBe([512]);

    [Fact]
    public void Plan_DecodingSequences_AlwaysGetTheirToken() => StepPlanner.Plan([new(1, false), new(1000, true), new(1, false)], 64).ShouldBe([1, 64, 1]);

    [Fact]
    public void Plan_ShortAndLongPrompt_TheLongOneGetsWhatIsLeft() => StepPlanner.Plan([new(1000, true), new(10, true)], 100).ShouldBe([90, 10]);

    [Fact]
    public void Plan_MorePromptsThanTokens_NoneGetsMoreThanOne() => StepPlanner.Plan([new(9, true), new(9, true), new(9, true)], 2).Sum().ShouldBe(2);

    [Fact]
    public void Plan_Pieces_AreNeverCut() => StepPlanner.Plan([new(500, true, 0, [200, 64, 64, 64])], 300).ShouldBe([264]);

    [Fact]
    public void Plan_SharesSmallerThanAPiece_GoToThoseThatWaitedLongest()
    {
        SequenceDemand Prompt(long lastStep) => new(640, true, lastStep, [64, 64, 64]);
        StepPlanner.Plan([Prompt(5), Prompt(3), Prompt(4), new(1, false)], 128).ShouldBe([0, 64, 64, 1]);
    }

    [Fact]
    public void Plan_AnyPieces_AreTakenWholeAndNobodyStarves()
    {
        Gen.Select(Gen.Int[1, 60].List[1, 8].List[1, 10], Gen.Int[60, 200]).Sample((sequences, budget) =>
        {
            // Until all is computed, step by step.
            var (left, last) = (sequences.Select(s => s.ToList()).ToList(), new long[sequences.Count]);
            for (var step = 1; left.Any(pieces => pieces.Count > 0); step++)
            {
                var running = Enumerable.Range(0, left.Count).Where(i => left[i].Count > 0).ToList();
                var counts = StepPlanner.Plan([.. running.Select(i => new SequenceDemand(left[i].Sum(), true, last[i], left[i]))], budget);
                counts.Sum().ShouldBeInRange(1, budget);
                foreach (var (i, count) in running.Zip(counts))
                {
                    for (var taken = 0; taken < count; left[i].RemoveAt(0))
                        (taken += left[i][0]).ShouldBeLessThanOrEqualTo(count, "a piece was cut");
                    if (count > 0)
                        last[i] = step;
                    (step - last[i]).ShouldBeLessThanOrEqualTo(sequences.Count, "a prompt waits for longer than all others take a turn");
                }
            }
        });
    }

    [Fact]
    public void Pieces_LongSegments_AreCutAgain() => StepPlanner.Pieces([600, 64, 1], 256).ShouldBe([256, 256, 88, 64, 1]);

    [Fact]
    public void Plan_AnyDemand_UsesTheBudgetFullyAndFairly()
    {
        Gen.Select(Gen.Select(Gen.Int[1, 300], Gen.Bool).List[1, 12], Gen.Int[1, 200]).Sample((sequences, budget) =>
        {
            var demands = sequences.Select(s => new SequenceDemand(s.Item2 ? s.Item1 : 1, s.Item2)).ToArray();
            var counts = StepPlanner.Plan(demands, budget);
            var prompts = demands.Zip(counts).Where(p => p.First.IsPrompt).ToList();

            prompts.Sum(p => p.Second).ShouldBe(Math.Min(budget, prompts.Sum(p => p.First.PendingTokens)));
            prompts.ShouldAllBe(p => p.Second >= 0 && p.Second <= p.First.PendingTokens);
            demands.Zip(counts).Where(p => !p.First.IsPrompt).ShouldAllBe(p => p.Second == 1);
            // Whoever is cut short gets at least what anybody else gets, but for the rounding of the shares.
            foreach (var (demand, count) in prompts.Where(p => p.Second < p.First.PendingTokens))
                prompts.ShouldAllBe(p => p.Second <= count + 1);
        });
    }
}
