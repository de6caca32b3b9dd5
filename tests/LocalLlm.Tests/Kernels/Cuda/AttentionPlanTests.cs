using LocalLlm.Kernels.Cpu;
using LocalLlm.Kernels.Cuda;
using LocalLlm.Quantization;
using LocalLlm.Tests.Kernels.Cpu;

namespace LocalLlm.Tests.Kernels.Cuda;

/// <summary>Which kernels a plan launches, and how it cuts sequences into parts.</summary>
public class AttentionPlanTests
{
    [Fact]
    public void Add_WhatNoKernelTakes_SaysWhichNumber()
    {
        using var test = new AttentionCase(new PageLayout(32, 64), 1, 1, 1, NumberType.Float32, seed: 1);
        test.AddRun(32, packedKeys: true, packedValues: true);
        var (plan, run) = (new AttentionPlan(test.Layout), test.Runs[0]);

        Should.Throw<ArgumentException>(() => plan.Add(test.Request() with { HeadDim = 12 }, [run])).Message.ShouldContain("got 12");
        Should.Throw<ArgumentException>(() => plan.Add(test.Request() with { Group = 0 }, [run])).Message.ShouldContain("groups of 0");
        Should.Throw<ArgumentException>(() => plan.Add(test.Request(), [run with { TileTokens = 129 }])).Message.ShouldContain("got 129");
        Should.Throw<ArgumentException>(() => plan.Add(test.Request(), [run with { Tokens = 33 }])).Message.ShouldContain("whole pages");
        Should.Throw<ArgumentException>(() => plan.Add(test.Request(), [])).Message.ShouldContain("no token");
        plan.Add(test.Request(), [run]);
        Should.Throw<ArgumentException>(() => plan.Add(test.Request() with { Scale = 2 }, [run])).Message.ShouldContain("same heads");
    }

    [Fact]
    public void Add_PagesOfNoPowerOfTwo_AreRefused()
    {
        using var test = new AttentionCase(new PageLayout(96, 64), 1, 1, 1, NumberType.BFloat16, seed: 1);
        test.AddRun(96, packedKeys: true, packedValues: true);

        Should.Throw<ArgumentException>(() => new AttentionPlan(test.Layout).Add(test.Request(), [test.Runs[0]])).Message.ShouldContain("got 96");
    }

    [Theory]
    [InlineData(NumberType.Float32, 64, 4, 1, "decode_attention 4 64")]
    [InlineData(NumberType.Float32, 96, 4, 70, "decode_attention 8 128")]
    [InlineData(NumberType.BFloat16, 64, 8, 1, "tile_attention 8 64")]
    [InlineData(NumberType.Float16, 128, 3, 3, "tile_attention 16 128")]
    [InlineData(NumberType.BFloat16, 128, 1, 17, "tile_attention 64 128")]
    [InlineData(NumberType.BFloat16, 136, 1, 17, "tile_attention 32 256")]
    public void Attends_TypeAndShape_DecideTheKernel(object type, int headDim, int group, int queries, string expected)
    {
        using var test = new AttentionCase(new PageLayout(32, headDim), 1, group, queries, (NumberType)type, seed: 1);
        test.AddRun(32, packedKeys: true, packedValues: true);
        var plan = new AttentionPlan(test.Layout);
        plan.Add(test.Request(), [.. test.Runs]);

        var launch = plan.Attends.ShouldHaveSingleItem();

        $"{launch.Kernel.Name} {launch.Kernel.Rows} {launch.Kernel.Channels}".ShouldBe(expected);
        launch.Grid.ShouldBe((1, 1, ((group * queries) + launch.Kernel.Rows - 1) / launch.Kernel.Rows));
        plan.Merge.Grid.ShouldBe((group * queries, 1, 1));
    }

    [Fact]
    public void Attends_SequencesOfDifferentRows_LaunchesEachSpecialisationOnce()
    {
        var layout = new PageLayout(32, 64);
        var plan = new AttentionPlan(layout);
        using var memory = new AttentionCase(layout, 1, 1, 1, NumberType.BFloat16, seed: 1);
        memory.AddRun(32, packedKeys: true, packedValues: true);
        foreach (var queries in new[] { 1, 100, 8, 9, 65 })
            plan.Add(memory.Request() with { Count = queries }, [.. memory.Runs]);

        plan.Attends.Select(l => (l.Kernel.Rows, l.Grid)).ShouldBe([(8, (5, 1, 1)), (16, (5, 1, 1)), (64, (5, 1, 2))]);
        plan.Merge.Grid.ShouldBe((100, 1, 5));
    }

    [Theory]
    [InlineData(1, 1, 1, 8)]
    [InlineData(1024, 1, 1, 8)] // 128 parts
    [InlineData(1025, 1, 1, 12)]
    [InlineData(2048, 1, 3, 16)]
    [InlineData(384, 1, 8, 8)] // 48 parts of 8 heads
    [InlineData(512, 1, 8, 12)]
    [InlineData(2048, 1, 8, 44)]
    [InlineData(512, 8, 8, 32)] // 16 parts of 8 blocks of rows
    [InlineData(500, 1000, 8, 500)]
    [InlineData(500, 1, 1000, 500)]
    public void PartTiles_GrowWithSequenceRowsAndHeads(int tiles, int rowBlocks, int kvHeads, int expected) =>
        AttentionPlan.PartTiles(tiles, rowBlocks, kvHeads).ShouldBe(expected);

    [Fact]
    public void PartTiles_AnySequence_MakeNoMorePartsThanAMergeTakes()
    {
        for (var tiles = 1; tiles < 200_000; tiles = (tiles * 9 / 8) + 1)
        {
            foreach (var rowBlocks in new[] { 1, 2, 3, 60, 128, 129, 5000 })
            {
                var partTiles = AttentionPlan.PartTiles(tiles, rowBlocks, kvHeads: tiles % 9 + 1);
                ((tiles + partTiles - 1) / partTiles).ShouldBeInRange(1, AttentionPlan.MostBlocks);
            }
        }
    }

    [Fact]
    public void Parts_SpanRuns()
    {
        using var test = new AttentionCase(new PageLayout(32, 32), 1, 1, 1, NumberType.BFloat16, seed: 1);
        test.AddRun(5 * 32, packedKeys: true, packedValues: true);
        test.AddRun(0, packedKeys: false, packedValues: false);
        test.AddRun(10 * 32, packedKeys: true, packedValues: true);
        test.AddRun(100, packedKeys: false, packedValues: false);
        var plan = new AttentionPlan(test.Layout);

        plan.Add(test.Request(), [.. test.Runs]);

        plan.Parts.Select(p => (p.Run, p.FirstTile, p.Tiles)).ShouldBe([(0, 0, 8), (2, 3, 8), (3, 1, 1)]);
    }

    [Fact]
    public void Add_WhatTileAttentionCannotRead_SaysWhy()
    {
        using var test = new AttentionCase(new PageLayout(32, 64), 1, 1, 1, NumberType.BFloat16, seed: 1);
        test.AddRun(32, packedKeys: false, packedValues: false);
        var (plan, run) = (new AttentionPlan(test.Layout), test.Runs[0]);

        Should.Throw<ArgumentException>(() => plan.Add(test.Request(), [run with { Keys = run.Keys with { Type = NumberType.Float16 } }])).Message
            .ShouldContain("got Float16");
        Should.Throw<ArgumentException>(() => plan.Add(test.Request(), [run with { Values = run.Values with { StepBytes = 72 } }])).Message
            .ShouldContain("multiples of 16");
    }
}
