using LocalLlm.Kernels.Cpu;
using LocalLlm.Quantization;

namespace LocalLlm.Kernels.Cuda;

/// <summary>
/// The attention of one layer over a batch of ragged sequences, cut into parts for the blocks of a GPU. A part is some tiles of one run; where
/// parts end
/// follows from the sequence alone, so that its numbers do not depend on its neighbours.
/// </summary>
internal sealed class AttentionPlan
{
    /// <summary>
    /// Tiles of a part: enough work for a block to pay for its state, few enough that one long sequence fills a GPU. A block of pages is two parts.
    /// </summary>
    public const int PartTiles = 8;

    /// <summary>Floats of a state's row beside its channels: the sum of its probabilities and its highest score.</summary>
    private const int StateExtra = 2;

    private readonly List<DeviceSequence> sequences = [];
    private readonly List<DeviceRun> runs = [];
    private readonly List<DevicePart> parts = [];
    private AttentionArguments arguments;

    /// <summary>Starts a plan.</summary>
    /// <param name="layout">The layout of the layer's pages, which holds head_dim also where there are none.</param>
    public AttentionPlan(PageLayout layout) => arguments.Layout = new DevicePageLayout(layout);

    /// <summary>All sequences.</summary>
    public DeviceSequence[] Sequences => [.. sequences];

    /// <summary>The runs of all sequences.</summary>
    public DeviceRun[] Runs => [.. runs];

    /// <summary>The parts of all sequences.</summary>
    public DevicePart[] Parts => [.. parts];

    /// <summary>Floats of all states.</summary>
    public long StateFloats { get; private set; }

    /// <summary>Query rows of a KV head of the longest sequence.</summary>
    public int Rows { get; private set; }

    /// <summary>Query rows of a block: 1, 2, 4 or 8.</summary>
    public int BlockRows => Rows switch { 1 => 1, 2 => 2, <= 4 => 4, _ => 8 };

    /// <summary>The specialisation for head_dim: 64, 128 or 256.</summary>
    public int BlockChannels => arguments.Layout.Channels switch { <= 64 => 64, <= 128 => 128, _ => 256 };

    /// <summary>The kernel that attends.</summary>
    public CudaKernel AttendKernel => new("decode_attention", BlockRows, BlockChannels);

    /// <summary>Threads of a block of <see cref="AttendKernel"/>.</summary>
    public static int AttendThreads => 128;

    /// <summary>The kernel that merges the parts.</summary>
    public static CudaKernel MergeKernel => new("merge_attention");

    /// <summary>Threads of a block of <see cref="MergeKernel"/>.</summary>
    public static int MergeThreads => 128;

    /// <summary>Blocks of <see cref="AttendKernel"/>.</summary>
    public (int X, int Y, int Z) AttendGrid => (parts.Count, arguments.KvHeads, (Rows + BlockRows - 1) / BlockRows);

    /// <summary>Blocks of <see cref="MergeKernel"/>.</summary>
    public (int X, int Y, int Z) MergeGrid => (Rows, arguments.KvHeads, sequences.Count);

    /// <summary>Adds a sequence. All have the same heads, type, scale and window.</summary>
    /// <exception cref="ArgumentException">There is no token, the shapes differ or no kernel takes them.</exception>
    public void Add(in AttentionQueries queries, ReadOnlySpan<KvRun> sequenceRuns)
    {
        Require(queries);
        (arguments.KvHeads, arguments.Group, arguments.Type) = (queries.KvHeads, queries.Group, queries.Type);
        (arguments.Scale, arguments.Window) = (queries.Scale, queries.SlidingWindow);
        var (firstPart, stateFloats) = (parts.Count, PartFloats(queries, arguments.Layout.Channels));
        foreach (ref readonly var run in sequenceRuns)
        {
            Require(run);
            for (var tile = 0; tile < run.Tiles; tile += PartTiles)
            {
                parts.Add(new DevicePart(StateFloats, sequences.Count, runs.Count, tile, Math.Min(PartTiles, run.Tiles - tile)));
                StateFloats += stateFloats;
            }

            runs.Add(new DeviceRun(run));
        }

        if (parts.Count == firstPart)
            throw new ArgumentException("A sequence has no token to attend to.", nameof(sequenceRuns));
        sequences.Add(new DeviceSequence(queries, firstPart, parts.Count - firstPart));
        Rows = Math.Max(Rows, queries.Rows);
    }

    /// <summary>Floats of the states of a sequence.</summary>
    public static long StateFloatsOf(in AttentionQueries queries, ReadOnlySpan<KvRun> sequenceRuns, PageLayout layout)
    {
        var parts = 0L;
        foreach (ref readonly var run in sequenceRuns)
            parts += (run.Tiles + PartTiles - 1) / PartTiles;
        return parts * PartFloats(queries, layout.Channels);
    }

    /// <summary>The kernels' arguments, once the arrays are in memory that they reach.</summary>
    public AttentionArguments Arguments(nint sequenceTable, nint runTable, nint partTable, nint states) =>
        arguments with { Sequences = sequenceTable, Runs = runTable, Parts = partTable, States = states };

    private static long PartFloats(in AttentionQueries queries, int channels) => (long)queries.KvHeads * queries.Rows * (channels + StateExtra);

    private void Require(in AttentionQueries queries)
    {
        if (queries.HeadDim != arguments.Layout.HeadDim || queries.HeadDim > AttentionKernel.MaxHeadDim)
        {
            throw new ArgumentException(
                $"The kernels were planned for head_dim {arguments.Layout.HeadDim}, at most {AttentionKernel.MaxHeadDim}; got {queries.HeadDim}.",
                nameof(queries));
        }

        if (queries.Count < 1 || queries.KvHeads < 1 || queries.Group < 1)
        {
            throw new ArgumentException(
                $"No attention of {queries.Count} queries of {queries.KvHeads} KV heads in groups of {queries.Group}.", nameof(queries));
        }

        if (sequences.Count > 0 && (queries.KvHeads, queries.Group, queries.Type, queries.Scale, queries.SlidingWindow)
            != (arguments.KvHeads, arguments.Group, arguments.Type, arguments.Scale, arguments.Window))
        {
            throw new ArgumentException("The sequences of one layer have the same heads, type, scale and window.", nameof(queries));
        }
    }

    private void Require(in KvRun run)
    {
        if (run.TileTokens is < 1 or > AttentionKernel.MaxTileTokens)
            throw new ArgumentException($"A tile holds 1 to {AttentionKernel.MaxTileTokens} tokens; got {run.TileTokens}.", nameof(run));
        if ((run.Keys.IsPacked || run.Values.IsPacked) && (run.TileTokens != arguments.Layout.Tokens || run.Tokens % run.TileTokens != 0))
        {
            throw new ArgumentException(
                $"Packed tokens are whole pages of {arguments.Layout.Tokens}; got {run.Tokens} in tiles of {run.TileTokens}.", nameof(run));
        }
    }
}
