using System.Runtime.InteropServices;
using LocalLlm.KvCache;

namespace LocalLlm.Sessions;

/// <summary>
/// The retained caches of conversations, found by their tokens: the one that holds the longest beginning of a new prompt is continued. Least
/// recently used ones leave first. Owned by the engine thread.
/// </summary>
/// <param name="capacity">The most caches.</param>
/// <param name="leaving">
/// Told of a cache that leaves for want of room, or at the end, before it is disposed of, unless one that stays can go back to its tokens; null
/// for nobody.
/// </param>
internal sealed class PrefixIndex(int capacity, Action<RetainedCache>? leaving = null) : IDisposable
{
    private readonly List<RetainedCache> entries = []; // least recently used first

    /// <summary>Caches retained.</summary>
    public int Count => entries.Count;

    /// <summary>The retained caches, least recently used first.</summary>
    public IEnumerable<IKvCache> Caches => entries.Select(e => e.Cache);

    /// <summary>Bytes of all retained caches; shared pages count once.</summary>
    public long Bytes => Caches.SelectMany(c => c.Units).Distinct().Sum(u => u.Bytes);

    /// <summary>
    /// Finds the retained cache that holds the longest beginning of <paramref name="tokens"/>, which then counts as used.
    /// </summary>
    /// <returns>The entry and the length to go back to; null if no retained cache has a common beginning that it can go back to.</returns>
    public (RetainedCache Entry, int Length)? Find(ReadOnlySpan<int> tokens)
    {
        RetainedCache? best = null;
        var bestLength = 0;
        foreach (var entry in entries)
        {
            var common = Math.Min(tokens.CommonPrefixLength(CollectionsMarshal.AsSpan(entry.Tokens)), entry.Cache.Length);
            if (common > bestLength && entry.Cache.CanTruncate(common))
                (best, bestLength) = (entry, common);
        }

        if (best is null)
            return null;
        entries.Remove(best);
        entries.Add(best);
        return (best, bestLength);
    }

    /// <summary>Hands a retained cache itself over; the index has it no more.</summary>
    public void Take(RetainedCache entry) => entries.Remove(entry);

    /// <summary>Retains a cache, which the index then owns; may dispose of it at once where the capacity is 0.</summary>
    /// <param name="tokens">The tokens that it holds, in order.</param>
    /// <param name="cache">The cache.</param>
    public RetainedCache Retain(List<int> tokens, IKvCache cache)
    {
        // The same tokens once are enough.
        foreach (var same in entries.Where(e => CollectionsMarshal.AsSpan(e.Tokens).SequenceEqual(CollectionsMarshal.AsSpan(tokens))).ToList())
            Drop(same);
        var entry = new RetainedCache(tokens, cache);
        entries.Add(entry);
        while (entries.Count > capacity && DropOldest())
        {
        }

        return entry;
    }

    /// <summary>Gives up one retained cache, if it is still there.</summary>
    public void Drop(RetainedCache entry)
    {
        if (entries.Remove(entry))
            entry.Cache.Dispose();
    }

    /// <summary>Gives up the least recently used cache.</summary>
    /// <param name="kept">One that stays; null for none.</param>
    /// <returns>False if there is none.</returns>
    public bool DropOldest(RetainedCache? kept = null)
    {
        var oldest = entries.Find(e => e != kept);
        if (oldest is null)
            return false;
        if (!entries.Exists(e => e != oldest && Covers(e, oldest)))
            leaving?.Invoke(oldest);
        Drop(oldest);
        return true;
    }

    /// <summary>True where a cache holds the beginning of what another one holds.</summary>
    public static bool IsBeginning(RetainedCache entry, RetainedCache of) =>
        CollectionsMarshal.AsSpan(of.Tokens).StartsWith(CollectionsMarshal.AsSpan(entry.Tokens));

    // True where nothing is lost with the other: this one holds its tokens too, and can go back to them.
    private static bool Covers(RetainedCache entry, RetainedCache other) =>
        entry.Tokens.Count > other.Tokens.Count && IsBeginning(other, entry) && entry.Cache.CanTruncate(other.Tokens.Count);

    /// <summary>Gives up all of them.</summary>
    public void Dispose()
    {
        while (DropOldest())
        {
        }
    }
}

/// <summary>A conversation's cache at rest.</summary>
internal sealed class RetainedCache(List<int> tokens, IKvCache cache)
{
    /// <summary>The tokens that it holds, in order.</summary>
    public List<int> Tokens { get; } = tokens;

    /// <summary>The cache.</summary>
    public IKvCache Cache { get; } = cache;

    /// <summary>The same turn's cache at the end of its prompt, if it was kept.</summary>
    public RetainedCache? PromptEnd { get; set; }
}
