using System.Runtime.InteropServices;
using LocalLlm.Quantization;

namespace LocalLlm.Kernels.Cpu;

/// <summary>
/// Attention of one layer for any number of sequences in one parallel region: cut by sequence, KV head and range of tiles, so that one long sequence fills the
/// cores as many short ones do. How a sequence is cut depends on itself alone, so that its results do not depend on its neighbours, nor on the threads. The parts
/// of a KV head are merged by whichever thread ends its last one, in their order. Reused from layer to layer; one caller at a time.
/// </summary>
internal sealed unsafe class AttentionWork : ParallelWork, IDisposable
{
    /// <summary>Tokens times query rows of a part: so many that merging costs little beside it, so few that a long sequence alone fills the cores.</summary>
    private const int PartWork = 4096;

    /// <summary>The most memory for the states of one sequence's parts: a long prompt's are large.</summary>
    private const long MostStateFloats = 8 << 20;

    private readonly WorkerTeam team;
    private readonly AttentionKernel kernel;
    private readonly AttentionScratch[] scratches;
    private readonly List<Problem> problems = [];
    private readonly List<KvRun> runs = [];
    private readonly List<Part> parts = [];
    private int[] unfinished = [];
    private float* states;
    private nuint stateCapacity;

    /// <summary>Creates work for a team.</summary>
    /// <param name="team">Borrowed.</param>
    /// <param name="kernel">The kernel; null takes the fastest.</param>
    public AttentionWork(WorkerTeam team, AttentionKernel? kernel = null)
    {
        (this.team, this.kernel) = (team, kernel ?? AttentionKernel.Best);
        scratches = [.. Enumerable.Range(0, team.Threads).Select(_ => new AttentionScratch())];
    }

    /// <summary>Adds a sequence to the next region.</summary>
    /// <param name="queries">Its queries; for each at least one token must be visible, usually itself.</param>
    /// <param name="layout">The layout of its packed runs; null if there is none.</param>
    /// <param name="tokens">Its tokens in any order. Packed runs consist of whole pages.</param>
    /// <exception cref="ArgumentException">The shape is none that the kernels take; the message says which number.</exception>
    public void Add(in AttentionQueries queries, PageLayout? layout, ReadOnlySpan<KvRun> tokens)
    {
        Require(queries, layout, tokens);
        var tiles = 0;
        var first = runs.Count;
        foreach (ref readonly var run in tokens)
        {
            if (run.Tokens == 0)
                continue;
            tiles += run.Tiles;
            runs.Add(run);
        }

        problems.Add(new Problem(queries, layout, first, runs.Count - first, tiles));
    }

    /// <summary>Computes the outputs of all sequences that were added, and forgets them.</summary>
    public void Run()
    {
        try
        {
            Divide();
            team.Run(this, parts.Count);
        }
        finally
        {
            Clear();
        }
    }

    /// <summary>Forgets all sequences that were added: after a failure between <see cref="Add"/> and <see cref="Run"/> their memory may be gone.</summary>
    public void Clear()
    {
        problems.Clear();
        runs.Clear();
        parts.Clear();
    }

    /// <inheritdoc/>
    public override void Execute(int item, int worker)
    {
        var part = parts[item];
        ref readonly var problem = ref CollectionsMarshal.AsSpan(problems)[part.Problem];
        var size = AttentionKernel.StateFloats(problem.Queries.Rows, problem.Queries.HeadDim);
        kernel.Attend(
            problem.Queries, part.KvHead, problem.Layout, CollectionsMarshal.AsSpan(runs).Slice(problem.FirstRun, problem.Runs), part.FirstTile, part.Tiles,
            scratches[worker], states + part.State + ((nint)part.Index * size));
        if (Interlocked.Decrement(ref unfinished[part.Group]) == 0)
            kernel.Merge(problem.Queries, part.KvHead, states + part.State, part.Count);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var scratch in scratches)
            scratch.Dispose();
        NativeMemory.AlignedFree(states);
        states = null;
        stateCapacity = 0;
    }

    private static void Require(in AttentionQueries queries, PageLayout? layout, ReadOnlySpan<KvRun> tokens)
    {
        if (queries.HeadDim is <= 0 or > AttentionKernel.MaxHeadDim || queries.HeadDim % 8 != 0)
            throw new ArgumentException($"head_dim must be a multiple of 8 from 8 to {AttentionKernel.MaxHeadDim}, got {queries.HeadDim}.", nameof(queries));
        if (queries.Count < 1 || queries.Group < 1 || queries.KvHeads < 1)
            throw new ArgumentException($"{queries.Count} queries, {queries.KvHeads} KV heads, groups of {queries.Group}: each must be 1 or more.", nameof(queries));
        var count = 0L;
        foreach (ref readonly var run in tokens)
            count += run.Tokens;
        if (count == 0)
            throw new ArgumentException("There is no token to attend to.", nameof(tokens));
        foreach (ref readonly var run in tokens)
        {
            if (run.TileTokens is < 16 or > AttentionKernel.MaxTileTokens || run.TileTokens % 16 != 0)
                throw new ArgumentException($"A tile must hold a multiple of 16 tokens up to {AttentionKernel.MaxTileTokens}, got {run.TileTokens}.", nameof(tokens));
            if (!run.Keys.IsPacked && !run.Values.IsPacked)
                continue;
            if (layout is null || layout.HeadDim != queries.HeadDim || run.TileTokens != layout.Tokens || run.Tokens % layout.Tokens != 0)
            {
                throw new ArgumentException($"A packed run holds {run.Tokens} tokens in tiles of {run.TileTokens}, head_dim {queries.HeadDim}; its pages have {layout?.Tokens} tokens, "
                    + $"head_dim {layout?.HeadDim}. It must consist of whole pages.", nameof(tokens));
            }
        }
    }

    private void Divide()
    {
        var (state, groups) = (0L, 0);
        for (var p = 0; p < problems.Count; p++)
        {
            var problem = problems[p];
            var queries = problem.Queries;
            var size = AttentionKernel.StateFloats(queries.Rows, queries.HeadDim);
            var tileWork = (long)CollectionsMarshal.AsSpan(runs)[problem.FirstRun].TileTokens * queries.Rows;
            var most = MostStateFloats / ((long)size * queries.KvHeads);
            var count = (int)Math.Clamp(problem.Tiles / Math.Max(1, PartWork / tileWork), 1, Math.Max(1, most));
            for (var head = 0; head < queries.KvHeads; head++, groups++)
            {
                for (var i = 0; i < count; i++)
                {
                    var (first, end) = ((int)((long)problem.Tiles * i / count), (int)((long)problem.Tiles * (i + 1) / count));
                    parts.Add(new Part(p, groups, head, first, end - first, i, count, (nint)state));
                }

                state += (long)size * count;
            }
        }

        if ((nuint)state > stateCapacity)
        {
            NativeMemory.AlignedFree(states);
            states = null;
            stateCapacity = 0; // until the allocation has succeeded
            states = (float*)NativeMemory.AlignedAlloc((nuint)state * sizeof(float), 64);
            stateCapacity = (nuint)state;
        }

        if (unfinished.Length < groups)
            unfinished = new int[groups];
        foreach (var part in parts)
            unfinished[part.Group] = part.Count;
    }

    private readonly record struct Problem(AttentionQueries Queries, PageLayout? Layout, int FirstRun, int Runs, int Tiles);

    /// <summary>A range of tiles of one KV head of one problem; <paramref name="State"/> is where the states of its <paramref name="Count"/> parts begin.</summary>
    private readonly record struct Part(int Problem, int Group, int KvHead, int FirstTile, int Tiles, int Index, int Count, nint State);
}
