using LocalLlm.Kernels.Cpu;
using LocalLlm.Quantization;
using LocalLlm.Tests.Attention;

namespace LocalLlm.Tests.Kernels.Cpu;

/// <summary>
/// One sequence for the attention kernels, of any mixture of runs, with its memory flush against guard pages, and the double-precision attention to exactly what
/// that memory holds: pages as the scalar codec reads them back, rows as rounded to their type.
/// </summary>
internal sealed unsafe class AttentionCase : IDisposable
{
    private readonly List<ITestMemory> memory = [];
    private readonly Func<int, ITestMemory> allocate;
    private readonly List<KvRun> runs = [];
    private readonly List<(float[][] Keys, float[][] Values, int[] Positions)>[] seen; // per KV head
    private readonly Random random;
    private readonly float[] queryNumbers;
    private readonly nint outputs;
    private int length;

    /// <summary>Draws the queries; in guarded memory, where no other is given.</summary>
    public AttentionCase(
        PageLayout layout, int kvHeads, int group, int queries, NumberType type, int seed, NumberType? outputType = null, Func<int, ITestMemory>? allocate = null)
    {
        (Layout, KvHeads, Group, Count, Type, OutputType) = (layout, kvHeads, group, queries, type, outputType ?? type);
        this.allocate = allocate ?? (bytes => new GuardedMemory(bytes));
        random = new Random(seed);
        seen = [.. Enumerable.Range(0, kvHeads).Select(_ => new List<(float[][], float[][], int[])>())];
        queryNumbers = [.. Enumerable.Range(0, queries * kvHeads * group * layout.HeadDim).Select(_ => Round(Normal() * 2, type))];
        Queries = Write(queryNumbers, type);
        outputs = Allocate(queryNumbers.Length * ElementBytes(OutputType));
    }

    public PageLayout Layout { get; }

    public int KvHeads { get; }

    public int Group { get; }

    public int Count { get; }

    public NumberType Type { get; }

    public NumberType OutputType { get; }

    public nint Queries { get; }

    public IReadOnlyList<KvRun> Runs => runs;

    public double Scale => 1 / Math.Sqrt(Layout.HeadDim);

    /// <summary>Adds a run whose keys and values are each pages or rows.</summary>
    public void AddRun(int tokens, bool packedKeys, bool packedValues, bool isFresh = false, bool listPositions = false, int tileTokens = 64)
    {
        var (keys, values) = (Numbers(tokens, outliers: true), Numbers(tokens, outliers: false)); // [head][token][channel]
        int[] positions = [.. Enumerable.Range(length, tokens)];
        if (listPositions)
            positions = [.. positions.Select(p => (2 * p) - length)]; // gaps
        var run = new KvRun
        {
            TileTokens = packedKeys || packedValues ? Layout.Tokens : tileTokens,
            Tokens = tokens,
            IsFresh = isFresh,
            FirstPosition = length,
            Positions = listPositions ? Write(positions) : 0,
            Keys = Source(packedKeys, ref keys, ref values, isKey: true),
        };
        run.Values = Source(packedValues, ref keys, ref values, isKey: false);
        runs.Add(run);
        for (var head = 0; head < KvHeads; head++)
            seen[head].Add((keys[head], values[head], positions));
        length = positions.Length > 0 ? positions[^1] + 1 : length;
    }

    /// <summary>The queries as the kernels take them; the fresh run, if there is one, holds their own tokens.</summary>
    public AttentionQueries Request(int slidingWindow = int.MaxValue) => new()
    {
        Count = Count,
        KvHeads = KvHeads,
        Group = Group,
        HeadDim = Layout.HeadDim,
        Scale = (float)Scale,
        Position = FirstPosition,
        SlidingWindow = slidingWindow,
        Type = Type,
        Queries = Queries,
        QueryHeadBytes = Layout.HeadDim * ElementBytes(Type),
        QueryTokenBytes = Layout.HeadDim * ElementBytes(Type) * KvHeads * Group,
        Outputs = outputs,
    };

    private int FirstPosition => runs.Any(r => r.IsFresh) ? runs.First(r => r.IsFresh).FirstPosition : length;

    /// <summary>Runs the kernels and compares every output with the oracle, relative to the largest value of the head's output.</summary>
    public void ShouldEqualOracle(AttentionWork work, double tolerance, int slidingWindow = int.MaxValue)
    {
        ClearOutputs();
        work.Add(Request(slidingWindow), Layout, [.. runs]);
        work.Run();
        Compare(tolerance, slidingWindow);
    }

    /// <summary>Fills the outputs with NaN, so that what is not written is noticed.</summary>
    public void ClearOutputs() => new Span<byte>((void*)outputs, queryNumbers.Length * ElementBytes(OutputType)).Fill(0xFF);

    /// <summary>The outputs as they lie in memory.</summary>
    public byte[] OutputBytes() => new Span<byte>((void*)outputs, queryNumbers.Length * ElementBytes(OutputType)).ToArray();

    public void Compare(double tolerance, int slidingWindow = int.MaxValue)
    {
        var headDim = Layout.HeadDim;
        for (var query = 0; query < Count; query++)
        {
            var position = FirstPosition + query;
            for (var head = 0; head < KvHeads * Group; head++)
            {
                var first = ((query * KvHeads * Group) + head) * headDim;
                var (keys, values) = (new List<float[]>(), new List<float[]>());
                foreach (var (runKeys, runValues, positions) in seen[head / Group])
                {
                    for (var t = 0; t < positions.Length; t++)
                    {
                        if (positions[t] > position || positions[t] < (long)position - slidingWindow + 1)
                            continue;
                        keys.Add(runKeys[t]);
                        values.Add(runValues[t]);
                    }
                }

                var expected = AttentionOracle.Attend(queryNumbers.AsSpan(first, headDim), keys, values, Scale);
                var largest = expected.Max(Math.Abs);
                for (var c = 0; c < headDim; c++)
                {
                    var actual = Read(outputs, first + c, OutputType);
                    if (!(Math.Abs(actual - expected[c]) <= tolerance * largest))
                        throw new ShouldAssertException($"Query {query}, head {head}, channel {c}: {actual}, expected {expected[c]} within {tolerance} of {largest}.");
                }
            }
        }
    }

    public void Dispose() => memory.ForEach(m => m.Dispose());

    private KvSource Source(bool isPacked, ref float[][][] keys, ref float[][][] values, bool isKey)
    {
        var headDim = Layout.HeadDim;
        ref var numbers = ref (isKey ? ref keys : ref values);
        var tokens = numbers[0].Length;
        if (!isPacked)
        {
            var flat = numbers.SelectMany(h => h).SelectMany(t => t).Select(x => Round(x, Type)).ToArray();
            numbers = [.. numbers.Select(h => h.Select(t => t.Select(x => Round(x, Type)).ToArray()).ToArray())];
            var bytes = ElementBytes(Type);
            return new KvSource { Data = Write(flat, Type), Type = Type, HeadBytes = tokens * headDim * bytes, StepBytes = headDim * bytes };
        }

        var pages = tokens / Layout.Tokens;
        var codes = Allocate(pages * KvHeads * Layout.CodeBytes);
        var scales = Allocate(pages * KvHeads * Layout.ScaleBytes);
        var back = numbers.Select(h => new float[h.Length][]).ToArray();
        for (var page = 0; page < pages; page++)
        {
            for (var head = 0; head < KvHeads; head++)
            {
                var (first, record) = (page * Layout.Tokens, (page * KvHeads) + head);
                var pageCodes = new Span<byte>((byte*)codes + (record * Layout.CodeBytes), Layout.CodeBytes);
                var pageScales = new Span<byte>((byte*)scales + (record * Layout.ScaleBytes), Layout.ScaleBytes);
                float[] one = [.. numbers[head].Skip(first).Take(Layout.Tokens).SelectMany(t => t)];
                PageCodec.Quantize(Layout, one, one, pageCodes, pageScales, layer: 0);
                var (backKeys, backValues) = (new float[one.Length], new float[one.Length]);
                PageCodec.Dequantize(Layout, pageCodes, pageScales, backKeys, backValues);
                for (var t = 0; t < Layout.Tokens; t++)
                    back[head][first + t] = (isKey ? backKeys : backValues).AsSpan(t * headDim, headDim).ToArray();
            }
        }

        numbers = back;
        return new KvSource
        {
            IsPacked = true,
            Data = codes + (isKey ? 0 : Layout.ValueOffset),
            HeadBytes = Layout.CodeBytes,
            StepBytes = KvHeads * Layout.CodeBytes,
            Scales = scales + ((isKey ? PageLayout.KeyScaleIndex : Layout.ValueScaleIndex) * Layout.ScaleElementBytes),
            ScaleHeadBytes = Layout.ScaleBytes,
            ScaleStepBytes = KvHeads * Layout.ScaleBytes,
        };
    }

    // Channels with means of their own, some far from 0, as keys have them.
    private float[][][] Numbers(int tokens, bool outliers) =>
    [
        .. Enumerable.Range(0, KvHeads).Select(_ =>
        {
            float[] means = [.. Enumerable.Range(0, Layout.HeadDim).Select(c => outliers ? Normal() * (c % 7 == 3 ? 6 : 1) : 0)];
            return Enumerable.Range(0, tokens).Select(_ => means.Select(m => m + Normal()).ToArray()).ToArray();
        }),
    ];

    private float Normal() => (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));

    private nint Allocate(int bytes)
    {
        memory.Add(allocate(bytes));
        return memory[^1].Address;
    }

    private nint Write(float[] numbers, NumberType type)
    {
        var address = Allocate(numbers.Length * ElementBytes(type));
        for (var i = 0; i < numbers.Length; i++)
        {
            switch (type)
            {
                case NumberType.Float32: ((float*)address)[i] = numbers[i]; break;
                case NumberType.Float16: ((Half*)address)[i] = (Half)numbers[i]; break;
                default: ((ushort*)address)[i] = (ushort)(BitConverter.SingleToUInt32Bits(numbers[i]) >> 16); break;
            }
        }

        return address;
    }

    private nint Write(int[] numbers)
    {
        var address = Allocate(numbers.Length * sizeof(int));
        numbers.CopyTo(new Span<int>((void*)address, numbers.Length));
        return address;
    }

    private static double Read(nint address, int index, NumberType type) => type switch
    {
        NumberType.Float32 => ((float*)address)[index],
        NumberType.Float16 => (double)((Half*)address)[index],
        _ => BitConverter.UInt32BitsToSingle((uint)((ushort*)address)[index] << 16),
    };

    private static float Round(float x, NumberType type) => type switch
    {
        NumberType.Float32 => x,
        NumberType.Float16 => (float)(Half)x,
        _ => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(x) & 0xFFFF0000),
    };

    private static int ElementBytes(NumberType type) => type == NumberType.Float32 ? 4 : 2;
}
