using System.Runtime.InteropServices;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Quantization;

namespace LocalLlm.Benchmarks;

/// <summary>Random pages of one layer as a cache holds them, and random queries over them. The codes and scales lie one behind the other.</summary>
internal sealed unsafe class PackedSequence : IDisposable
{
    private readonly byte* codes;
    private readonly byte* scales;
    private readonly byte* queries;
    private readonly byte* outputs;
    private readonly KvRun[] runs;

    public PackedSequence(PageLayout layout, int tokens, int queryHeads, int kvHeads, int queryCount)
    {
        Layout = layout;
        var pages = tokens / layout.Tokens;
        var (codeBytes, scaleBytes) = ((long)pages * kvHeads * layout.CodeBytes, (long)pages * kvHeads * layout.ScaleBytes);
        PackedBytes = codeBytes + scaleBytes;
        codes = (byte*)NativeMemory.AlignedAlloc((nuint)PackedBytes, 64);
        scales = codes + codeBytes;
        var random = new Random(1);
        for (var i = 0L; i < codeBytes / sizeof(int); i++)
            ((int*)codes)[i] = random.Next(int.MinValue, int.MaxValue);
        for (var i = 0L; i < scaleBytes; i++)
            scales[i] = (byte)(0x78 + (i % 16)); // about 0.2 to 1 as scales, positive minima
        var numbers = queryCount * queryHeads * layout.HeadDim;
        queries = (byte*)NativeMemory.AlignedAlloc((nuint)numbers * 2, 64);
        outputs = (byte*)NativeMemory.AlignedAlloc((nuint)numbers * 2, 64);
        for (var i = 0; i < numbers; i++)
            ((ushort*)queries)[i] = (ushort)(0x3C00 | random.Next(0x80) | (random.Next(2) << 15)); // ±(0.008 to 0.016)

        runs =
        [
            new KvRun
            {
                TileTokens = layout.Tokens,
                Tokens = pages * layout.Tokens,
                Keys = Source(0, PageLayout.KeyScaleIndex),
                Values = Source(layout.ValueOffset, layout.ValueScaleIndex),
            },
        ];
        Queries = new AttentionQueries
        {
            Count = queryCount,
            KvHeads = kvHeads,
            Group = queryHeads / kvHeads,
            HeadDim = layout.HeadDim,
            Scale = (float)(1 / Math.Sqrt(layout.HeadDim)),
            Position = tokens,
            SlidingWindow = int.MaxValue,
            Type = NumberType.BFloat16,
            Queries = (nint)queries,
            QueryHeadBytes = 2 * layout.HeadDim,
            QueryTokenBytes = 2 * layout.HeadDim * queryHeads,
            Outputs = (nint)outputs,
        };

        KvSource Source(int codeOffset, int scaleIndex) => new()
        {
            IsPacked = true,
            Data = (nint)(codes + codeOffset),
            HeadBytes = pages * layout.CodeBytes,
            StepBytes = layout.CodeBytes,
            Scales = (nint)(scales + (scaleIndex * layout.ScaleElementBytes)),
            ScaleHeadBytes = pages * layout.ScaleBytes,
            ScaleStepBytes = layout.ScaleBytes,
        };
    }

    public PageLayout Layout { get; }

    public AttentionQueries Queries { get; }

    /// <summary>Bytes of codes and scales.</summary>
    public long PackedBytes { get; }

    public nint Address => (nint)codes;

    public void Attend(AttentionWork work)
    {
        work.Add(Queries, Layout, runs);
        work.Run();
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(codes);
        NativeMemory.AlignedFree(queries);
        NativeMemory.AlignedFree(outputs);
    }
}
