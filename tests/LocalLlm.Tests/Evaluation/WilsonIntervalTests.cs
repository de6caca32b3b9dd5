using LocalLlm.Evaluation.Statistics;

namespace LocalLlm.Tests.Evaluation;

public class WilsonIntervalTests
{
    // From the ends' definition: the shares p at which the score test |k/n − p| / sqrt(p(1 − p)/n) is just 1.96.
    [Theory]
    [InlineData(7, 10)]
    [InlineData(1, 200)]
    [InlineData(539, 1319)]
    public void Of_SuccessesAndFailures_EndsAreWhereTheScoreTestTips(int successes, int trials)
    {
        var interval = WilsonInterval.Of(successes, trials);

        interval.Share.ShouldBe((double)successes / trials);
        foreach (var end in new[] { interval.Low, interval.High })
            (Math.Abs(interval.Share - end) / Math.Sqrt(end * (1 - end) / trials)).ShouldBe(1.959964, 1e-6);
        interval.Low.ShouldBeLessThan(interval.Share);
        interval.High.ShouldBeGreaterThan(interval.Share);
    }

    [Fact]
    public void Of_NoneOrAll_EndsAtTheBorder()
    {
        WilsonInterval.Of(0, 10).Low.ShouldBe(0);
        WilsonInterval.Of(0, 10).High.ShouldBe(0.2775, 1e-4);
        WilsonInterval.Of(10, 10).High.ShouldBe(1);
        WilsonInterval.Of(10, 10).Low.ShouldBe(0.7225, 1e-4);
    }

    [Fact]
    public void Of_NoTrials_IsRefused() => Should.Throw<ArgumentOutOfRangeException>(() => WilsonInterval.Of(0, 0));
}
