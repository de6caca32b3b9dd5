using LocalLlm.Scheduling;

namespace LocalLlm.Tests.Scheduling;

public sealed class LoopCountersTests
{
    private readonly FakeClock clock = new();

    [Fact]
    public void StepTimes_SeveralSteps_AddUpByPart()
    {
        var counters = new LoopCounters(clock);
        counters.CountStep(Seconds(1), Seconds(2), Seconds(3), Seconds(4), Seconds(5));
        counters.CountStep(Seconds(10), Seconds(20), Seconds(30), Seconds(40), Seconds(50));

        var statistics = counters.Read();

        statistics.Steps.ShouldBe(2);
        statistics.StepTimes.ShouldBe(new StepTimes
        {
            Planning = Seconds(11),
            Attention = Seconds(22),
            Model = Seconds(33),
            Committing = Seconds(44),
            Sampling = Seconds(55),
        });
        statistics.StepTimes.Total.ShouldBe(Seconds(165));
    }

    [Fact]
    public void TokensPerSecond_Work_IsThatOfTheLastWholeSecond()
    {
        var counters = new LoopCounters(clock);
        counters.BeginRate();
        counters.Read().TokensPerSecond.ShouldBe(0);
        Step(counters, tokens: 3, Seconds(0.5));
        counters.Read().TokensPerSecond.ShouldBe(0, "the second is not over");
        Step(counters, tokens: 5, Seconds(0.5));
        counters.Read().TokensPerSecond.ShouldBe(8);
        Step(counters, tokens: 1, Seconds(0.5));
        counters.Read().TokensPerSecond.ShouldBe(8);

        Step(counters, tokens: 2, Seconds(1));
        counters.Read().TokensPerSecond.ShouldBe(2);
    }

    [Fact]
    public void TokensPerSecond_Rest_IsZeroAndNoTimeOfWork()
    {
        var counters = new LoopCounters(clock);
        counters.BeginRate();
        Step(counters, tokens: 4, Seconds(1));
        counters.Rest();
        counters.Read().TokensPerSecond.ShouldBe(0);

        clock.Advance(Seconds(100));
        counters.BeginRate();
        Step(counters, tokens: 6, Seconds(1));

        counters.Read().TokensPerSecond.ShouldBe(6);
    }

    [Fact]
    public void CachedTokenRatio_Prompts_IsOfAllTheirTokens()
    {
        var counters = new LoopCounters(clock);
        counters.Read().CachedTokenRatio.ShouldBe(0);
        counters.CountPrompt(100, 0);
        counters.CountPrompt(300, 200);

        var statistics = counters.Read();

        (statistics.PromptTokens, statistics.CachedPromptTokens, statistics.CachedTokenRatio).ShouldBe((400, 200, 0.5));
    }

    private static TimeSpan Seconds(double seconds) => TimeSpan.FromSeconds(seconds);

    private void Step(LoopCounters counters, int tokens, TimeSpan time)
    {
        for (var i = 0; i < tokens; i++)
            counters.CountToken();
        clock.Advance(time);
        counters.CountStep(default, default, time, default, default);
    }
}
