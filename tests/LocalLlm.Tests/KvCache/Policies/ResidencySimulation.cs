namespace LocalLlm.Tests.KvCache.Policies;

/// <summary>The rules of the kinds of cache as lists of positions, one token at a time, written straight from their definitions.</summary>
internal sealed class ResidencySimulation(KvCacheOptions options)
{
    private readonly int pageTokens = options.PageTokens ?? options.Window;

    /// <summary>Positions of the rows, in their order.</summary>
    public List<int> Rows { get; private set; } = [];

    /// <summary>Positions of the rows whose values are codes.</summary>
    public HashSet<int> PackedValues { get; } = [];

    /// <summary>Positions of each page's tokens.</summary>
    public List<int[]> Pages { get; } = [];

    /// <summary>Positions that are gone.</summary>
    public HashSet<int> Dropped { get; } = [];

    /// <summary>Appends the next token.</summary>
    /// <returns>True if other tokens moved.</returns>
    public bool Append(int position)
    {
        var w = options.Window;
        var body = Rows.Skip(options.SinkTokens).ToList();
        var moves = false;

        var wholeValues = body.Where(t => !PackedValues.Contains(t)).ToList();
        if (options.Kind == KvCacheKind.PartialLogQuant && wholeValues.Count == 2 * w)
        {
            PackedValues.UnionWith(wholeValues.Take(w));
            moves = true;
        }

        int[] leaving = options.Kind switch
        {
            KvCacheKind.LogQuant or KvCacheKind.PartialLogQuant or KvCacheKind.LogEvict when body.Count == 3 * w =>
                [.. body.Take(2 * w).Where((_, i) => i % 2 == 1)],
            KvCacheKind.StreamingQuant or KvCacheKind.StreamingLlm when body.Count == 3 * w => [.. body.Take(w)],
            KvCacheKind.Kivi or KvCacheKind.HuggingFaceKivi when body.Count == w => [.. body],
            _ => [],
        };
        Leave(leaving);
        Rows.Add(position);
        return moves || leaving.Length > 0;
    }

    /// <summary>The prompt ends here.</summary>
    public void EndPrompt()
    {
        if (options.Kind != KvCacheKind.HuggingFaceKivi)
            return;
        var body = Rows.Skip(options.SinkTokens).ToList();
        Leave([.. body.Take(body.Count / pageTokens * pageTokens)]);
    }

    private void Leave(int[] tokens)
    {
        Rows = [.. Rows.Where(t => !tokens.Contains(t))];
        PackedValues.ExceptWith(tokens);
        if (options.Kind is KvCacheKind.StreamingLlm or KvCacheKind.LogEvict)
            Dropped.UnionWith(tokens);
        else
            Pages.AddRange(tokens.Chunk(pageTokens));
    }
}
