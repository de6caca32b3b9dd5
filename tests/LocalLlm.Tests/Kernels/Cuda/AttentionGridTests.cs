using LocalLlm.Kernels.Cpu;
using LocalLlm.Kernels.Cuda;
using LocalLlm.Quantization;
using LocalLlm.Tests.Kernels.Cpu;

namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>
/// The grid of the CPU kernels' tests for the CUDA kernels, wherever they run: the same pages, rows and oracle. Outputs are float32, so that the kernels'
/// own error shows.
/// </summary>
public abstract class AttentionGridTests
{
    private readonly NumberType type;
    private readonly double tolerance;

    private protected AttentionGridTests(NumberType type, double tolerance) => (this.type, this.tolerance) = (type, tolerance);

    private protected virtual IKernelDevice Device { get; } = new EmulatedDevice();

    [Fact]
    public void Attend_EveryHeadDim_EqualsDoublePrecision()
    {
        foreach (var headDim in new[] { 8, 16, 24, 32, 40, 48, 64, 72, 80, 96, 112, 128, 136, 176, 256 })
        {
            var layout = new PageLayout(64, headDim, scales: headDim % 16 == 0 ? KvScaleFormat.Byte : KvScaleFormat.Half);
            using var test = Case(layout, kvHeads: 2, group: 4, queries: 1, type, seed: headDim);
            test.AddRun(3 * 64, packedKeys: true, packedValues: true);
            test.AddRun(21, packedKeys: false, packedValues: false);
            Check(test);
        }
    }

    public static TheoryData<int, int, int, KvScaleFormat> Formats()
    {
        var data = new TheoryData<int, int, int, KvScaleFormat>();
        foreach (var tokens in new[] { 32, 64, 128 })
        {
            foreach (var (keyBits, valueBits) in new[] { (2, 2), (3, 2), (2, 3), (4, 3), (3, 4), (4, 4) })
            {
                foreach (var scales in Enum.GetValues<KvScaleFormat>())
                    data.Add(tokens, keyBits, valueBits, scales);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Attend_EveryPageFormat_EqualsDoublePrecision(int tokens, int keyBits, int valueBits, KvScaleFormat scales)
    {
        foreach (var (headDim, slowBits) in new[] { (48, 2), (80, 2), (128, 2), (48, 3), (64, 3), (80, 3), (128, 3), (64, 4), (80, 4), (256, 3) })
        {
            if (slowBits > 2 && keyBits > 2)
                continue;
            var layout = new PageLayout(tokens, headDim, keyBits, valueBits, scales, Math.Max(keyBits, slowBits));
            using var test = Case(layout, 1, 3, 2, type, seed: tokens + keyBits);
            test.AddRun(2 * tokens, packedKeys: true, packedValues: true);
            test.AddRun(2, packedKeys: false, packedValues: false, isFresh: true);
            Check(test);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(8)]
    public void Attend_EveryGroupAndNumberOfQueries_EqualsDoublePrecision(int group)
    {
        foreach (var queries in new[] { 1, 2, 3, 17 })
        {
            foreach (var headDim in new[] { 64, 128, 256 })
            {
                using var test = Case(new PageLayout(32, headDim), 2, group, queries, type, seed: (10 * group) + queries);
                test.AddRun(64, packedKeys: true, packedValues: true);
                test.AddRun(37, packedKeys: false, packedValues: false, tileTokens: 32);
                test.AddRun(queries, packedKeys: false, packedValues: false, isFresh: true, tileTokens: 16);
                Check(test);
            }
        }
    }

    [Fact]
    public void Attend_EveryMixtureOfPagesAndRows_EqualsDoublePrecision()
    {
        using var test = Case(new PageLayout(32, 72, 3, 4), 2, 2, 3, type, seed: 5);
        test.AddRun(64, packedKeys: true, packedValues: true, listPositions: true);
        test.AddRun(64, packedKeys: true, packedValues: false);
        test.AddRun(32, packedKeys: false, packedValues: true);
        test.AddRun(0, packedKeys: false, packedValues: false);
        test.AddRun(50, packedKeys: false, packedValues: false, listPositions: true);
        test.AddRun(3, packedKeys: false, packedValues: false, isFresh: true);
        Check(test);
    }

    [Fact]
    public void Attend_SlidingWindow_SeesTheWindowOnly()
    {
        foreach (var window in new[] { 1, 2, 9, 40, 70, 130, 1000 })
        {
            foreach (var listPositions in new[] { false, true })
            {
                using var test = Case(new PageLayout(32, 32), 2, 2, 9, type, seed: window);
                test.AddRun(64, packedKeys: true, packedValues: true, listPositions: listPositions);
                test.AddRun(45, packedKeys: false, packedValues: false, listPositions: listPositions, tileTokens: 16);
                test.AddRun(9, packedKeys: false, packedValues: false, isFresh: true);
                Check(test, window);
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Attend_RaggedSequencesOfSeveralParts_GivesEachItsOwn(bool isDescending)
    {
        var layout = new PageLayout(32, 32);
        var plan = new AttentionPlan(layout);
        var cases = Enumerable.Range(1, 6).Select(i =>
        {
            var test = Case(layout, 2, 2, i % 3 + 1, type, seed: i);
            test.AddRun(32 * i * i, packedKeys: true, packedValues: true);
            test.AddRun(i % 3 + 1, packedKeys: false, packedValues: false, isFresh: true);
            test.ClearOutputs();
            plan.Add(test.Request(), [.. test.Runs]);
            return test;
        }).ToList();

        Device.Attend(plan, isDescending, NumberType.Float32);

        plan.Parts.Length.ShouldBeGreaterThan(plan.Sequences.Length + 3);
        foreach (var test in cases)
        {
            test.Compare(tolerance);
            test.Dispose();
        }
    }

    private AttentionCase Case(PageLayout layout, int kvHeads, int group, int queries, NumberType queryType, int seed) =>
        new(layout, kvHeads, group, queries, queryType, seed, NumberType.Float32, Device.Allocate);

    // In both orders of the threads: a missing barrier shows in one of them.
    private protected void Check(AttentionCase test, int slidingWindow = int.MaxValue)
    {
        var plan = new AttentionPlan(test.Layout);
        plan.Add(test.Request(slidingWindow), [.. test.Runs]);
        foreach (var isDescending in new[] { false, true })
        {
            test.ClearOutputs();
            Device.Attend(plan, isDescending, NumberType.Float32);
            test.Compare(tolerance, slidingWindow);
        }
    }
}
