namespace LocalLlm.KvCache.Policies;

/// <summary>Rows at equal distances: <paramref name="First"/>, <paramref name="First"/> + <paramref name="Step"/>, ….</summary>
/// <param name="First">The first row.</param>
/// <param name="Step">Distance from one row to the next, at least 1.</param>
/// <param name="Count">Number of rows.</param>
internal readonly record struct RowPattern(int First, int Step, int Count)
{
    /// <summary>Row <paramref name="index"/> of the pattern.</summary>
    public int this[int index] => First + index * Step;

    /// <summary>The row after the last one.</summary>
    public int End => Count == 0 ? First : this[Count - 1] + 1;

    /// <summary><paramref name="count"/> of the rows, from number <paramref name="start"/> of the pattern on.</summary>
    public RowPattern Part(int start, int count) => this with { First = this[start], Count = count };

    /// <summary>True if <paramref name="row"/> is one of them.</summary>
    public bool Contains(int row) => row >= First && row < End && (row - First) % Step == 0;
}
