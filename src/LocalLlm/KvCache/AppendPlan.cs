namespace LocalLlm.KvCache;

/// <summary>Consecutive fresh tokens that all see the same pages and rows: only the last one may cause a compaction, after it has attended.</summary>
/// <param name="Start">First token, counted from the start of the append.</param>
/// <param name="Count">Number of tokens, at least 1.</param>
internal readonly record struct AppendSegment(int Start, int Count);

/// <summary>What an append of <paramref name="Count"/> tokens does to a cache; plain data, the same for all layers.</summary>
/// <param name="Position">The cache's length before the append.</param>
/// <param name="Count">Number of tokens, at least 1.</param>
/// <param name="Segments">The tokens cut where a compaction happens, so that attention does not depend on how an append was chunked.</param>
internal record AppendPlan(int Position, int Count, IReadOnlyList<AppendSegment> Segments);
