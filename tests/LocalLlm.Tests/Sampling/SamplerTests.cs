using LocalLlm.Sampling;

namespace LocalLlm.Tests.Sampling;

public class SamplerTests
{
    private static readonly float[] Logits = [1, 3, 2, -1, 0.5f];

    [Fact]
    public void Sample_TemperatureZero_TakesTheBest() => Draws(new SamplingOptions { Temperature = 0 }, 20).ShouldAllBe(id => id == 1);

    [Fact]
    public void Sample_ManyDraws_FollowTheSoftmax()
    {
        var draws = Draws(new SamplingOptions { Temperature = 2, Seed = 7 }, 40_000);

        var weights = Logits.Select(l => Math.Exp(l / 2)).ToArray();
        for (var id = 0; id < Logits.Length; id++)
        {
            var p = weights[id] / weights.Sum();
            var sigma = Math.Sqrt(p * (1 - p) / draws.Length);
            ((double)draws.Count(d => d == id) / draws.Length).ShouldBe(p, 5 * sigma);
        }
    }

    [Fact]
    public void Sample_SameSeed_RepeatsAndAnotherSeedDoesNot()
    {
        var first = Draws(new SamplingOptions { Temperature = 1, Seed = long.MinValue }, 100);
        Draws(new SamplingOptions { Temperature = 1, Seed = long.MinValue }, 100).ShouldBe(first);
        Draws(new SamplingOptions { Temperature = 1, Seed = long.MinValue + (1L << 40) }, 100).ShouldNotBe(first);
    }

    [Fact]
    public void Sample_TopK_KeepsTheKBest() => Kept(new SamplingOptions { Temperature = 5, TopK = 2 }).ShouldBe([1, 2]);

    [Fact]
    public void Sample_TopP_KeepsTheFewestThatReachIt()
    {
        // At temperature 1 the probabilities are about .09, .63, .23, .01, .05.
        Kept(new SamplingOptions { Temperature = 1, TopP = 0.6f }).ShouldBe([1]);
        Kept(new SamplingOptions { Temperature = 1, TopP = 0.65f }).ShouldBe([1, 2]);
        Kept(new SamplingOptions { Temperature = 1, TopP = 0.9f }).ShouldBe([0, 1, 2]);
    }

    [Fact]
    public void Sample_MinP_KeepsTheRelativelyProbable() => Kept(new SamplingOptions { Temperature = 1, MinP = 0.3f }).ShouldBe([1, 2]);

    [Fact]
    public void Sample_RepetitionPenalty_CountsThePrompt() =>
        new Sampler(SamplingSettings.Resolve(new SamplingOptions { RepetitionPenalty = 2 }, new()), [1]).Sample([.. Logits]).ShouldBe(2);

    [Fact]
    public void Sample_PresencePenalty_CountsTheOutputOnly()
    {
        var sampler = new Sampler(SamplingSettings.Resolve(new SamplingOptions { PresencePenalty = 1.5f }, new()), [1]);

        new[] { sampler.Sample([.. Logits]), sampler.Sample([.. Logits]), sampler.Sample([.. Logits]) }.ShouldBe([1, 2, 1]);
    }

    [Fact]
    public void Sample_FrequencyPenalty_GrowsWithEachUse()
    {
        var sampler = new Sampler(SamplingSettings.Resolve(new SamplingOptions { FrequencyPenalty = 0.8f }, new()), []);

        // 3, 2.2, then 1.4 < 2
        Enumerable.Range(0, 3).Select(_ => sampler.Sample([.. Logits])).ShouldBe([1, 1, 2]);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void Sample_LogitNotFinite_IsAnError(float bad) =>
        Should.Throw<LocalLlmException>(() => new Sampler(SamplingSettings.Resolve(null, new()), []).Sample([1, bad, 2])).Message.ShouldContain("finite");

    [Fact]
    public void Sample_MaskedLogits_NeverWin()
    {
        SamplingOptions[] modes =
        [
            new() { Temperature = 0 }, new() { Temperature = 1e-6f }, new() { Temperature = 1 }, new() { Temperature = 100 }, new() { Temperature = 1, TopK = 1 },
            new() { Temperature = 1, TopK = 4 }, new() { Temperature = 2, TopP = 0.9f }, new() { Temperature = 1, TopP = 1e-6f }, new() { Temperature = 5, MinP = 0.1f },
            new() { Temperature = 1, RepetitionPenalty = 1.5f }, new() { Temperature = 1, RepetitionPenalty = 0.5f },
            new() { Temperature = 1, FrequencyPenalty = -2, PresencePenalty = -2 }, new() { Temperature = 1, FrequencyPenalty = 2, PresencePenalty = 2 },
        ];
        foreach (var mode in modes)
        {
            foreach (var (masked, left) in new[] { (new[] { 0, 1, 2 }, new[] { 3, 4 }), ([0, 1, 2, 3], [4]), ([1, 2, 3, 4], [0]) })
            {
                var sampler = new Sampler(SamplingSettings.Resolve(mode with { Seed = 3 }, new()), [0, 1, 2, 3, 4]);
                for (var i = 0; i < 200; i++)
                {
                    float[] logits = [.. Logits.Select((x, id) => masked.Contains(id) ? float.NegativeInfinity : x)];
                    sampler.Sample(logits).ShouldBeOneOf(left);
                }
            }
        }
    }

    [Fact]
    public void Resolve_ValuesOutOfRange_AreAllNamed()
    {
        var error = Should.Throw<ArgumentException>(() => SamplingSettings.Resolve(
            new SamplingOptions { Temperature = -1, TopP = 0, TopK = -3, MinP = float.NaN, FrequencyPenalty = 3 }, new()));

        foreach (var name in new[] { "Temperature", "TopP", "TopK", "MinP", "FrequencyPenalty" })
            error.Message.ShouldContain(name);
    }

    [Fact]
    public void Resolve_RequestThenModelThenNeutral()
    {
        var settings = SamplingSettings.Resolve(new SamplingOptions { TopK = 5 }, new SamplingOptions { TopK = 9, Temperature = 0.7f });

        (settings.TopK, settings.Temperature, settings.TopP).ShouldBe((5, 0.7f, 1));
    }

    private static int[] Draws(SamplingOptions options, int count)
    {
        var sampler = new Sampler(SamplingSettings.Resolve(options, new()), []);
        return [.. Enumerable.Range(0, count).Select(_ => sampler.Sample([.. Logits]))];
    }

    private static int[] Kept(SamplingOptions options) => [.. Draws(options with { Seed = 1 }, 3000).Distinct().Order()];
}
