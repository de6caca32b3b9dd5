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
}
