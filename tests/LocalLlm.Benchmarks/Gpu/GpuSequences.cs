using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Kernels.Cuda;
using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.Benchmarks.Gpu;

/// <summary>Random pages of one layer of several sequences in a GPU's memory, and one random query for each: a decode step's attention.</summary>
internal sealed class GpuSequences : IDisposable
{
    private readonly List<Tensor> owned = [];
    private readonly IKernelLauncher launcher;
    private readonly AttentionPlan plan;
    private readonly AttentionArguments arguments;

    public GpuSequences(GpuTarget target, PageLayout layout, int sequences, int tokens, int queryHeads, int kvHeads)
    {
        using var scope = NewDisposeScope();
        launcher = target.Launcher;
        plan = new AttentionPlan(layout);
        var pages = tokens / layout.Tokens;
        var (codeBytes, scaleBytes) = ((long)pages * kvHeads * layout.CodeBytes, (long)pages * kvHeads * layout.ScaleBytes);
        PackedBytes = sequences * (codeBytes + scaleBytes);
        var queries = Own((randn(sequences, queryHeads, layout.HeadDim, device: target.Device) * 0.01).to(ScalarType.BFloat16));
        Outputs = Own(empty_like(queries));
        for (var i = 0; i < sequences; i++)
        {
            var codes = Own(randint(0, 256, [codeBytes], ScalarType.Byte, target.Device));
            // Of about 0.2 to 1, and small minima.
            var scales = Own(arange(scaleBytes, ScalarType.Int64, target.Device).remainder_(16).add_(0x78).to(ScalarType.Byte));
            plan.Add(
                Queries(i, layout, tokens, queryHeads, kvHeads, queries),
                [Run(layout, pages, TensorMemory.Address(codes), TensorMemory.Address(scales))]);
        }

        var states = Own(empty(plan.StateFloats, ScalarType.Float32, target.Device));
        arguments = plan.Arguments(
            TensorMemory.Address(Own(target.Upload<DeviceSequence>(plan.Sequences))), TensorMemory.Address(Own(target.Upload<DeviceRun>(plan.Runs))),
            TensorMemory.Address(Own(target.Upload<DevicePart>(plan.Parts))), TensorMemory.Address(states));
    }

    /// <summary>Bytes of codes and scales.</summary>
    public long PackedBytes { get; }

    /// <summary>[sequences, Hq, D].</summary>
    public Tensor Outputs { get; }

    public void Attend()
    {
        foreach (var attend in plan.Attends)
            launcher.Launch(attend.Kernel, attend.Grid, AttentionPlan.Threads, arguments);
        launcher.Launch(plan.Merge.Kernel, plan.Merge.Grid, AttentionPlan.Threads, arguments);
    }

    public void Dispose() => owned.ForEach(t => t.Dispose());

    private AttentionQueries Queries(int sequence, PageLayout layout, int tokens, int queryHeads, int kvHeads, Tensor queries)
    {
        var (headBytes, offset) = (2 * layout.HeadDim, sequence * queryHeads * 2 * layout.HeadDim);
        return new AttentionQueries
        {
            Count = 1,
            KvHeads = kvHeads,
            Group = queryHeads / kvHeads,
            HeadDim = layout.HeadDim,
            Scale = (float)(1 / Math.Sqrt(layout.HeadDim)),
            Position = tokens,
            SlidingWindow = int.MaxValue,
            Type = NumberType.BFloat16,
            Queries = TensorMemory.Address(queries) + offset,
            QueryHeadBytes = headBytes,
            QueryTokenBytes = headBytes * queryHeads,
            Outputs = TensorMemory.Address(Outputs) + offset,
        };
    }

    private static KvRun Run(PageLayout layout, int pages, nint codes, nint scales)
    {
        return new KvRun
        {
            TileTokens = layout.Tokens,
            Tokens = pages * layout.Tokens,
            Keys = Source(0, PageLayout.KeyScaleIndex),
            Values = Source(layout.ValueOffset, layout.ValueScaleIndex),
        };

        KvSource Source(int codeOffset, int scaleIndex) => new()
        {
            IsPacked = true,
            Data = codes + codeOffset,
            HeadBytes = pages * layout.CodeBytes,
            StepBytes = layout.CodeBytes,
            Scales = scales + (scaleIndex * layout.ScaleElementBytes),
            ScaleHeadBytes = pages * layout.ScaleBytes,
            ScaleStepBytes = layout.ScaleBytes,
        };
    }

    private Tensor Own(Tensor tensor)
    {
        owned.Add(tensor.DetachFromDisposeScope());
        return tensor;
    }
}
