using LocalLlm.Kernels.Cpu;
using LocalLlm.Kernels.Cuda;
using LocalLlm.Quantization;
using LocalLlm.Tests.Kernels.Cpu;

namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>
/// tile_attention over the grid of the CPU kernels' tests, in bf16, and what it alone does. Codes, queries and rows are exact; queries times scales and
/// probabilities times scales are sums of two bf16 numbers, off by 2^-18 of themselves. So a score is off by 2^-18 Σ |q·s·code| / √D at most, and an
/// output by twice that and 2^-18, of the largest value. In emulation all of these cases pass with 3e-5, not all with 1e-5.
/// </summary>
public class TileAttentionTests() : AttentionGridTests(NumberType.BFloat16, Tolerance)
{
    internal const double Tolerance = 1e-4;

    [Theory]
    [InlineData(NumberType.BFloat16, 1.0 / 256)]
    [InlineData(NumberType.Float16, 1.0 / 2048)]
    public void Attend_OutputsOfTheQueriesType_RoundOnce(object type, double rounding)
    {
        foreach (var headDim in new[] { 24, 64, 128 })
        {
            using var test = new AttentionCase(new PageLayout(32, headDim), 2, 4, 5, (NumberType)type, seed: headDim);
            test.AddRun(64, packedKeys: true, packedValues: true);
            test.AddRun(19, packedKeys: false, packedValues: false);
            test.AddRun(5, packedKeys: false, packedValues: false, isFresh: true);
            var plan = new AttentionPlan(test.Layout);
            plan.Add(test.Request(), [.. test.Runs]);
            test.ClearOutputs();
            EmulatedKernels.Attend(plan, isDescending: false);
            test.Compare(rounding + Tolerance); // half a unit of the last place
        }
    }

    [Theory]
    [InlineData(32, 64, 1)]
    [InlineData(64, 96, 3)]
    [InlineData(128, 128, 2)]
    [InlineData(64, 256, 1)]
    public void Attend_PromptOverHistory_EqualsDoublePrecision(int pageTokens, int headDim, int group)
    {
        foreach (var window in new[] { int.MaxValue, 50 })
        {
            using var test = new AttentionCase(
                new PageLayout(pageTokens, headDim, slowKeyBits: 3), 1, group, 70, NumberType.BFloat16, seed: headDim, NumberType.Float32);
            test.AddRun(2 * pageTokens, packedKeys: true, packedValues: true);
            test.AddRun(45, packedKeys: false, packedValues: false);
            test.AddRun(70, packedKeys: false, packedValues: false, isFresh: true);
            Check(test, window);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Attend_PromptsAndStepsTogether_GivesEachTheNumbersItHasAlone(bool isDescending)
    {
        var layout = new PageLayout(32, 64);
        var together = new AttentionPlan(layout);
        var cases = new[] { 1, 20, 5, 2, 33 }.Select((queries, i) =>
        {
            var test = new AttentionCase(layout, 2, 2, queries, NumberType.BFloat16, seed: i, NumberType.Float32);
            test.AddRun(32 * ((9 * i) + 1), packedKeys: true, packedValues: true);
            test.AddRun(queries, packedKeys: false, packedValues: false, isFresh: true);
            var alone = new AttentionPlan(layout);
            alone.Add(test.Request(), [.. test.Runs]);
            test.ClearOutputs();
            EmulatedKernels.Attend(alone, isDescending, NumberType.Float32);
            var expected = test.OutputBytes();
            test.ClearOutputs();
            together.Add(test.Request(), [.. test.Runs]);
            return (Test: test, Expected: expected);
        }).ToList();

        EmulatedKernels.Attend(together, isDescending, NumberType.Float32);

        together.Attends.Count.ShouldBe(3);
        foreach (var (test, expected) in cases)
        {
            test.Compare(Tolerance);
            test.OutputBytes().ShouldBe(expected);
            test.Dispose();
        }
    }
}

/// <summary>The grid in fp16: packed codes are multiplied in bf16 as well, rows in fp16.</summary>
public class TileAttentionHalfTests() : AttentionGridTests(NumberType.Float16, TileAttentionTests.Tolerance);
