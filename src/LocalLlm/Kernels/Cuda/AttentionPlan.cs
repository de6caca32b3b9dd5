using System.Numerics;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Quantization;

namespace LocalLlm.Kernels.Cuda;

/// <summary>
/// The attention of one layer over a batch of ragged sequences, cut into parts for the blocks of a GPU, and the kernels that attend. A part is
/// some tiles of one run and of those after it; where parts end and which kernel attends follow from the sequence alone, so that its numbers do not
/// depend on its neighbours.
/// </summary>
internal sealed class AttentionPlan
{
    /// <summary>Threads of a block, of all kernels of attention.</summary>
    public const int Threads = 128;

    /// <summary>Tiles of a part at least: enough work for a block to pay for its state.</summary>
    public const int LeastPartTiles = 8;

    /// <summary>
    /// Blocks of a step's sequence at most, all KV heads together, where parts can be made longer: what an H100 holds at once of tile_attention's
    /// smallest blocks, three on each of 132 multiprocessors. A block's beginning and end cost about as much as a page, so that more would be waste.
    /// </summary>
    public const int WaveBlocks = 384;

    /// <summary>Blocks of a sequence and KV head at most, where parts can be made longer: enough to fill a GPU, with few states to write and join: a thread of merge_attention each.</summary>
    public const int MostBlocks = 128;

    /// <summary>Floats of a state's row beside its channels: the sum of its probabilities and its highest score.</summary>
    private const int StateExtra = 2;

    private const int Alignment = 16;

    private readonly List<DeviceSequence> sequences = [];
    private readonly List<DeviceRun> runs = [];
    private readonly List<DevicePart> parts = [];
    private readonly SortedDictionary<int, int> rows = []; // of the kernels' blocks: query rows of the longest sequence that they attend for
    private AttentionArguments arguments;
    private bool isTiled;

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

    /// <summary>
    /// The kernels that attend, in any order, before <see cref="Merge"/>. Each gets all parts: a block of tile_attention whose sequence has rows for
    /// another specialisation ends at once.
    /// </summary>
    public IReadOnlyList<KernelLaunch> Attends
    {
        get
        {
            if (isTiled)
                return [.. rows.Select(r => Launch("tile_attention", r.Key, r.Value))];
            var longest = rows.Values.DefaultIfEmpty().Max();
            return [Launch("decode_attention", longest switch { <= 2 => longest, <= 4 => 4, _ => 8 }, longest)];
        }
    }

    /// <summary>The kernel that joins the parts.</summary>
    public KernelLaunch Merge =>
        new(new CudaKernel("merge_attention"), (rows.Values.DefaultIfEmpty().Max(), arguments.KvHeads, sequences.Count));

    /// <summary>The specialisation for head_dim: 64, 128 or 256.</summary>
    private int BlockChannels => arguments.Layout.Channels switch { <= 64 => 64, <= 128 => 128, _ => 256 };

    /// <summary>
    /// Tiles of a sequence's parts, as many for each warp of a block: so many that with the blocks of query rows there are no more than
    /// <see cref="MostBlocks"/> for a KV head, and where one block has all rows no more than <see cref="WaveBlocks"/> for all of them.
    /// </summary>
    /// <param name="tiles">Tiles of all runs of the sequence.</param>
    /// <param name="rowBlocks">Blocks of its query rows.</param>
    /// <param name="kvHeads">Hkv.</param>
    public static int PartTiles(int tiles, int rowBlocks, int kvHeads)
    {
        const int warps = Threads / 32;
        var mostParts = Math.Max(1, rowBlocks > 1 ? MostBlocks / rowBlocks : Math.Min(MostBlocks, WaveBlocks / kvHeads));
        var partTiles = (tiles + mostParts - 1) / mostParts;
        return Math.Max(LeastPartTiles, (partTiles + warps - 1) / warps * warps);
    }

    /// <summary>Adds a sequence. All have the same heads, type, scale and window.</summary>
    /// <exception cref="ArgumentException">There is no token, the shapes differ or no kernel takes them.</exception>
    public void Add(in AttentionQueries queries, ReadOnlySpan<KvRun> sequenceRuns)
    {
        Require(queries);
        (arguments.KvHeads, arguments.Group, arguments.Type) = (queries.KvHeads, queries.Group, queries.Type);
        (arguments.Scale, arguments.Window) = (queries.Scale, queries.SlidingWindow);
        isTiled = queries.Type != NumberType.Float32;
        var tiles = 0;
        foreach (ref readonly var source in sequenceRuns)
        {
            Require(source);
            tiles += source.Tiles;
        }

        if (tiles == 0)
            throw new ArgumentException("A sequence has no token to attend to.", nameof(sequenceRuns));

        var blockRows = BlockRows(queries, arguments.Layout.Channels);
        var partTiles = PartTilesOf(queries, tiles, arguments.Layout.Channels);
        var (firstPart, stateFloats) = (parts.Count, PartFloats(queries, arguments.Layout.Channels));
        var (run, tile) = (0, 0);
        for (var first = 0; first < tiles; first += partTiles)
        {
            for (; tile >= sequenceRuns[run].Tiles; run++)
                tile -= sequenceRuns[run].Tiles;
            parts.Add(new DevicePart(StateFloats, sequences.Count, runs.Count + run, tile, Math.Min(partTiles, tiles - first)));
            StateFloats += stateFloats;
            tile += partTiles;
        }

        foreach (ref readonly var source in sequenceRuns)
            runs.Add(new DeviceRun(source));
        sequences.Add(new DeviceSequence(queries, firstPart, parts.Count - firstPart));
        rows[blockRows] = Math.Max(rows.GetValueOrDefault(blockRows), queries.Rows);
    }

    /// <summary>Floats of the states that a sequence would add.</summary>
    public static long StateFloatsOf(in AttentionQueries queries, ReadOnlySpan<KvRun> sequenceRuns, PageLayout layout)
    {
        var tiles = 0;
        foreach (ref readonly var run in sequenceRuns)
            tiles += run.Tiles;
        var partTiles = PartTilesOf(queries, tiles, layout.Channels);
        return (tiles + partTiles - 1) / partTiles * PartFloats(queries, layout.Channels);
    }

    /// <summary>The kernels' arguments, once the arrays are in memory that they reach.</summary>
    public AttentionArguments Arguments(nint sequenceTable, nint runTable, nint partTable, nint states) =>
        arguments with { Sequences = sequenceTable, Runs = runTable, Parts = partTable, States = states };

    private KernelLaunch Launch(string kernel, int blockRows, int longest) =>
        new(new CudaKernel(kernel, blockRows, BlockChannels), (parts.Count, arguments.KvHeads, (longest + blockRows - 1) / blockRows));

    private static int PartTilesOf(in AttentionQueries queries, int tiles, int channels)
    {
        var blockRows = BlockRows(queries, channels);
        return PartTiles(tiles, (queries.Rows + blockRows - 1) / blockRows, queries.KvHeads);
    }

    private static long PartFloats(in AttentionQueries queries, int channels) => (long)queries.KvHeads * queries.Rows * (channels + StateExtra);

    // Query rows of a block. decode_attention gives every row the same numbers however many a block has.
    private static int BlockRows(in AttentionQueries queries, int channels)
    {
        if (queries.Type == NumberType.Float32)
            return 8;
        return queries.Rows switch { <= 8 => 8, <= 16 => 16, _ => channels > 128 ? 32 : 64 };
    }

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

        if ((run.Keys.IsPacked || run.Values.IsPacked) && !BitOperations.IsPow2(run.TileTokens))
            throw new ArgumentException($"The kernels take pages of 32, 64 or 128 tokens; got {run.TileTokens}.", nameof(run));
        if (!isTiled || run.Tokens == 0)
            return;
        Require(run.Keys);
        Require(run.Values);
    }

    // tile_attention reads 16 bytes at a time, and multiplies rows with queries of the same type.
    private void Require(in KvSource source)
    {
        if (!source.IsPacked && source.Type != arguments.Type)
            throw new ArgumentException($"Rows have the queries' type, {arguments.Type}; got {source.Type}.", nameof(source));
        if ((source.Data | source.HeadBytes | source.StepBytes) % Alignment != 0)
        {
            throw new ArgumentException(
                $"Pages and rows begin at multiples of {Alignment} bytes; got address {source.Data}, steps {source.HeadBytes} and {source.StepBytes}.",
                nameof(source));
        }
    }
}
