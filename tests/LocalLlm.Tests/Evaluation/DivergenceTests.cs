using LocalLlm.Evaluation.Divergence;
using LocalLlm.Interop;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Evaluation;

public class DivergenceTests
{
    [Fact]
    public void Divergence_TwoDistributions_IsThatOfTheFormula()
    {
        LibTorch.EnsureLoaded();
        using var scope = NewDisposeScope();
        float[] p = [1, 2, -3, 0.5f], q = [0.5f, 2.5f, 80, 0];

        var kl = DivergenceMeter.Divergence(tensor(p).unsqueeze(0), tensor(q).unsqueeze(0)).item<double>();

        var (zp, zq) = (p.Sum(x => Math.Exp(x)), q.Sum(x => Math.Exp(x)));
        kl.ShouldBe(p.Zip(q).Sum(x => Math.Exp(x.First) / zp * (x.First - Math.Log(zp) - x.Second + Math.Log(zq))), 1e-9);
    }

    [Fact]
    public void Of_TwoTexts_CountsRowsNotTexts()
    {
        // 3 rows of 1, one of them different; 1 row of 5.
        var statistics = DivergenceStatistics.Of([Result([1, 1, 1], [2]), Result([5], [])], t => Enumerable.Range(0, t.Kl.Count))!;

        statistics.Rows.ShouldBe(4);
        statistics.Mean.ShouldBe(2);
        statistics.Median.ShouldBe(1);
        statistics.SameTop.ShouldBe(0.75);
        (statistics.Low, statistics.High).ShouldBe((1, 5)); // some resamples hold one text alone
    }

    [Fact]
    public void Of_WrittenRows_AreThoseBeforeTheWrittenTokens()
    {
        var text = Result([0, 1, 2, 3, 4], []) with { Spans = [new(2, 4, 0)] };

        DivergenceStatistics.Of([text], t => t.WrittenRows)!.Mean.ShouldBe(1.5); // rows 1 and 2 predict tokens 2 and 3
    }

    [Fact]
    public void Of_NoRows_IsNull() => DivergenceStatistics.Of([Result([1], [])], _ => []).ShouldBeNull();

    [Fact]
    public void Interval_ManyTexts_IsNearTheNormalOne()
    {
        var random = new Random(1);
        double[] sums = [.. Enumerable.Range(0, 400).Select(_ => random.NextDouble())]; // variance 1/12
        var mean = sums.Average();
        var half = 1.96 * Math.Sqrt(1 / 12.0 / 400);

        var (low, high) = DivergenceStatistics.Interval(sums, [.. sums.Select(_ => 1)]);

        low.ShouldBe(mean - half, 0.15 * half);
        high.ShouldBe(mean + half, 0.15 * half);
    }

    [Fact]
    public void RatioOfMeans_TextsOfDifferentDifficulty_IsPaired()
    {
        DivergenceResult[] texts = [.. new[] { 1f, 10, 100 }.Select(x => Result([x, 3 * x], []))];
        DivergenceResult[] doubled = [.. texts.Select(t => t with { Kl = [.. t.Kl.Select(x => 2 * x)] })];

        var (ratio, low, high) = DivergenceStatistics.RatioOfMeans(doubled, texts)!.Value;

        (ratio, low, high).ShouldBe((2, 2, 2));
        DivergenceStatistics.RatioOfMeans(doubled, texts[..2]).ShouldBeNull();
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(0.5, 3)]
    [InlineData(0.9, 7.6)] // between 4 and 10: at 3.6 of 0 to 4
    [InlineData(1, 10)]
    public void Percentile_BetweenNumbers_IsLinear(double share, double expected) =>
        DivergenceStatistics.Percentile([1, 2, 3, 4, 10], share).ShouldBe(expected, 1e-12);

    [Fact]
    public void ParetoFront_Points_AreThoseThatNoneBeats() =>
        DivergenceTables.ParetoFront([(1, 5), (2, 5), (2, 3), (3, 3), (4, 1), (4, 1)]).Order().ShouldBe([0, 2, 4, 5]);

    [Fact]
    public void Sweep_Grids_HaveNoMethodTwice()
    {
        foreach (var isQuick in new[] { true, false })
        {
            var methods = OptionGrid.Methods(isQuick);
            methods.Select(m => m.Id).ShouldBeUnique();
            methods.Select(m => m.Parameters).ShouldBeUnique();
        }
    }

    private static DivergenceResult Result(float[] kl, int[] disagreements) => new(64, 4, 5, kl, disagreements, []);
}
