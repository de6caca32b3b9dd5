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
