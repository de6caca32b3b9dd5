using LocalLlm.Loading;
using LocalLlm.Models;

namespace LocalLlm.Tests.Models;

public class RotaryFrequenciesTests
{
    [Fact]
    public void Compute_Yarn_GivesTheValuesOfTransformers()
    {
        // transformers 5.17: 64 rotated channels, base 1e7, factor 4, first context 262,144, all else by default.
        var rope = new RopeConfig { Type = RopeType.Yarn, Theta = 1e7, RotaryDim = 64, Factor = 4, OriginalMaxPositions = 262_144, MaxPositions = 262_144 };

        var (frequencies, attentionFactor) = RotaryFrequencies.Compute(rope, 1000);

        attentionFactor.ShouldBe(1.138629436111989, 1e-12);
        foreach (var (index, expected) in new[] { (0, 1.0), (14, 8.659643354e-4), (15, 4.742398160e-4), (18, 7.217386883e-5), (21, 8.759770026e-6), (22, 3.849816039e-6), (31, 4.137042708e-8) })
            frequencies[index].ShouldBe(expected, expected * 1e-6);
    }

    [Fact]
    public void Compute_Llama3_KeepsFastSmoothsMiddleDividesSlow()
    {
        // Llama 3.1: wavelengths up to 8192 / 4 are kept, beyond 8192 / 1 divided by 8, between them a mean weighted by 8192 / wavelength.
        var rope = new RopeConfig { Type = RopeType.Llama3, Theta = 500_000, RotaryDim = 128, Factor = 8, OriginalMaxPositions = 8192, MaxPositions = 131_072 };
        var plain = RotaryFrequencies.Compute(rope with { Type = RopeType.Default }, 1).InverseFrequencies;

        var scaled = RotaryFrequencies.Compute(rope, 1).InverseFrequencies;

        var bands = new HashSet<string>();
        for (var i = 0; i < plain.Length; i++)
        {
            var wavelength = 2 * Math.PI / plain[i];
            var smooth = ((8192 / wavelength) - 1) / (4 - 1);
            var (band, expected) = wavelength < 2048 ? ("kept", plain[i])
                : wavelength > 8192 ? ("divided", plain[i] / 8)
                : ("smoothed", ((1 - smooth) * plain[i] / 8) + (smooth * plain[i]));
            bands.Add(band);
            scaled[i].ShouldBe(expected, expected * 1e-12);
        }

        bands.Count.ShouldBe(3);
    }

    [Fact]
    public void Compute_LongRope_ChoosesFactorsByTheContext()
    {
        // Phi-3.5-mini's lengths, whose attention factor is published as 1.190238.
        var rope = new RopeConfig
        {
            Type = RopeType.LongRope,
            Theta = 10_000,
            RotaryDim = 4,
            OriginalMaxPositions = 4096,
            MaxPositions = 131_072,
            ShortFactors = [1, 2],
            LongFactors = [4, 8],
        };

        var (shortOnes, shortFactor) = RotaryFrequencies.Compute(rope, 4096);
        var (longOnes, longFactor) = RotaryFrequencies.Compute(rope, 4097);

        shortOnes.ShouldBe([1, 0.01 / 2], 1e-12);
        longOnes.ShouldBe([0.25, 0.01 / 8], 1e-12);
        shortFactor.ShouldBe(1.190238, 1e-6);
        longFactor.ShouldBe(shortFactor);
    }

    [Fact]
    public void Compute_Dynamic_IsPlainUpToTheModelsContext()
    {
        var rope = new RopeConfig { Type = RopeType.Dynamic, RotaryDim = 8, Factor = 2, MaxPositions = 100, OriginalMaxPositions = 100 };
        var plain = RotaryFrequencies.Compute(rope with { Type = RopeType.Default }, 100).InverseFrequencies;

        RotaryFrequencies.Compute(rope, 100).InverseFrequencies.ShouldBe(plain, 1e-12);
        RotaryFrequencies.Compute(rope, 200).InverseFrequencies[3].ShouldBeLessThan(plain[3]);
    }
}
