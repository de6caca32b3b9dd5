namespace LocalLlm.Kernels.Cpu;

/// <summary>
/// Consecutive tokens of one layer of one sequence, cut into tiles: those of packed pages are pages, those of rows hold up to <see cref="TileTokens"/> rows. Keys and
/// values may lie in different forms; they are the same tokens in the same order. The memory belongs to the caller.
/// </summary>
internal struct KvRun
{
    /// <summary>Tokens of a tile; the last tile may hold fewer. A multiple of 16, at most <see cref="AttentionKernel.MaxTileTokens"/>.</summary>
    public int TileTokens;

    /// <summary>Tokens of all tiles.</summary>
    public int Tokens;

    /// <summary>The keys after rotary embedding.</summary>
    public KvSource Keys;

    /// <summary>The values.</summary>
    public KvSource Values;

    /// <summary>int32 [<see cref="Tokens"/>]: each token's position in its sequence, ascending; 0 where they are consecutive from <see cref="FirstPosition"/>.</summary>
    public nint Positions;

    /// <summary>The position of the first token, where all are consecutive.</summary>
    public int FirstPosition;

    /// <summary>True for the tokens of the step itself: a query sees those up to its own position.</summary>
    public bool IsFresh;

    /// <summary>Tiles of the run.</summary>
    public readonly int Tiles => (Tokens + TileTokens - 1) / TileTokens;
}

/// <summary>Where the keys or the values of a run lie, and how.</summary>
internal struct KvSource
{
    /// <summary>Rows: the first element. Packed: the first byte of the first head's section of codes (keys' or values') of the first page.</summary>
    public nint Data;

    /// <summary>Bytes from one KV head to the next.</summary>
    public nint HeadBytes;

    /// <summary>Rows: bytes from one token to the next. Packed: bytes from one page to the next.</summary>
    public nint StepBytes;

    /// <summary>True for packed codes.</summary>
    public bool IsPacked;

    /// <summary>The type of rows.</summary>
    public NumberType Type;

    /// <summary>Packed: the first scale of the section of the first head of the first page.</summary>
    public nint Scales;

    /// <summary>Packed: bytes from one KV head's scales to the next's.</summary>
    public nint ScaleHeadBytes;

    /// <summary>Packed: bytes from one page's scales to the next's.</summary>
    public nint ScaleStepBytes;
}

/// <summary>The queries of one sequence in one layer, all heads, and where their outputs go.</summary>
internal struct AttentionQueries
{
    /// <summary>Queries: consecutive tokens.</summary>
    public int Count;

    /// <summary>Hkv.</summary>
    public int KvHeads;

    /// <summary>Query heads of a KV head.</summary>
    public int Group;

    /// <summary>D.</summary>
    public int HeadDim;

    /// <summary>Factor of q·k.</summary>
    public float Scale;

    /// <summary>Position of the first query.</summary>
    public int Position;

    /// <summary>Positions that a query sees, its own included; <see cref="int.MaxValue"/> for all.</summary>
    public int SlidingWindow;

    /// <summary>The type of queries and outputs.</summary>
    public NumberType Type;

    /// <summary>The queries [<see cref="Count"/>][Hq][D].</summary>
    public nint Queries;

    /// <summary>Bytes from one token's queries to the next's.</summary>
    public nint QueryTokenBytes;

    /// <summary>Bytes from one head's query to the next's.</summary>
    public nint QueryHeadBytes;

    /// <summary>Receives the outputs, [<see cref="Count"/>][Hq][D], contiguous.</summary>
    public nint Outputs;

    /// <summary>Bytes of an element of <see cref="Type"/>.</summary>
    public readonly int ElementBytes => Type == NumberType.Float32 ? 4 : 2;

    /// <summary>Query rows of a KV head: all its query heads of all queries.</summary>
    public readonly int Rows => Count * Group;
}
