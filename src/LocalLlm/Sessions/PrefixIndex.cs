using System.Runtime.InteropServices;
using LocalLlm.KvCache;

namespace LocalLlm.Sessions;

/// <summary>
/// The retained caches of conversations, found by their tokens: the one that holds the longest beginning of a new prompt is continued. Least
/// recently used ones leave first. Owned by the engine thread.
/// </summary>
internal sealed class PrefixIndex(int capacity) : IDisposable
{
    private readonly List<RetainedCache> entries = []; // least recently used first

    /// <summary>Caches retained.</summary>
    public int Count => entries.Count;

    /// <summary>Bytes of all retained caches; shared pages count in each.</summary>
    public long Bytes => entries.Sum(e => e.Cache.Bytes);

    /// <summary>
    /// Lends a fork of the retained cache that holds the longest beginning of <paramref name="tokens"/>. At least the last token is left to
    /// compute, for its logits.
    /// </summary>
    /// <returns>The fork, owned by the caller, and the entry it came from; null if no retained cache has a common beginning that it can go back to.</returns>
    public (IKvCache Cache, RetainedCache Source)? Lend(ReadOnlySpan<int> tokens)
    {
        RetainedCache? best = null;
        var bestLength = 0;
        foreach (var entry in entries)
        {
            var common = Math.Min(tokens[..^1].CommonPrefixLength(CollectionsMarshal.AsSpan(entry.Tokens)), entry.Cache.Length);
            if (common > bestLength && entry.Cache.CanTruncate(common))
                (best, bestLength) = (entry, common);
        }

        if (best is null)
            return null;
        entries.Remove(best);
        entries.Add(best);
        var fork = best.Cache.Fork();
        if (bestLength < fork.Length)
            fork.Truncate(bestLength);
        return (fork, best);
    }

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
    /// <returns>False if there is none.</returns>
    public bool DropOldest()
    {
        if (entries.Count == 0)
            return false;
        Drop(entries[0]);
        return true;
    }

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
