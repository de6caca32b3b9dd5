namespace LocalLlm.Evaluation.LongBench;

/// <summary>Longest common subsequences, by dynamic programming over all pairs of places.</summary>
internal static class CommonSubsequence
{
    /// <summary>Its length.</summary>
    public static int Length<T>(IReadOnlyList<T> a, IReadOnlyList<T> b)
        where T : IEquatable<T>
    {
        // One row: before[j] is the length for the items of a so far and the first j of b.
        var before = new int[b.Count + 1];
        foreach (var item in a)
        {
            var diagonal = 0;
            for (var j = 1; j <= b.Count; j++)
            {
                var above = before[j];
                before[j] = item.Equals(b[j - 1]) ? diagonal + 1 : Math.Max(above, before[j - 1]);
                diagonal = above;
            }
        }

        return before[b.Count];
    }

    /// <summary>
    /// The items of one longest common subsequence, in order. Of several, the one that prefers to drop items of <paramref name="b"/> from
    /// the end.
    /// </summary>
    public static List<T> Of<T>(IReadOnlyList<T> a, IReadOnlyList<T> b)
        where T : IEquatable<T>
    {
        var lengths = new int[a.Count + 1, b.Count + 1];
        for (var i = 1; i <= a.Count; i++)
        {
            for (var j = 1; j <= b.Count; j++)
                lengths[i, j] = a[i - 1].Equals(b[j - 1]) ? lengths[i - 1, j - 1] + 1 : Math.Max(lengths[i - 1, j], lengths[i, j - 1]);
        }

        List<T> items = [];
        for (var (i, j) = (a.Count, b.Count); i > 0 && j > 0;)
        {
            if (a[i - 1].Equals(b[j - 1]))
            {
                items.Add(a[i - 1]);
                (i, j) = (i - 1, j - 1);
            }
            else if (lengths[i - 1, j] > lengths[i, j - 1])
            {
                i--;
            }
            else
            {
                j--;
            }
        }

        items.Reverse();
        return items;
    }
}
