using System.Runtime.InteropServices;
using LocalLlm.KvCache;
using LocalLlm.Sessions;

namespace LocalLlm.Scheduling;

/// <summary>
/// Gives sequences their caches and lets them grow within the pool's limit. Retained caches leave first, least recently used ones before others;
/// whom else to drop is the loop's business. Owned by the engine thread.
/// </summary>
internal sealed class SequenceMemory(KvPool pool, PrefixIndex retained, Func<IKvCache> createCache, Func<int, long> cacheBytes, CacheSpill? spill = null)
{
    /// <summary>Tokens beyond its prompt that a sequence shall have room for when it starts: one that would be preempted at once had better wait.</summary>
    public const int HeadTokens = 64;

    /// <summary>
    /// Gives a sequence its cache if there is room for all its tokens and a few more, beside what the prompts under way have still to take: a fork of the retained cache
    /// that begins alike, that cache itself where there is no room for both, or an empty one. One that runs alone need only fit its next token.
    /// </summary>
    /// <param name="sequence">A sequence that waits.</param>
    /// <param name="running">Those that run.</param>
    /// <returns>False if there is no room; then nothing has changed.</returns>
    public bool TryStart(Sequence sequence, IReadOnlyList<Sequence> running)
    {
        var tokens = sequence.Continuable;
        var target = running.Count == 0 ? sequence.Tokens.Count + 1 : Target(sequence);
        var promised = PromisedBytes(running);
        if (sequence.Reading is { Content: not null } reading && reading.Length > (retained.Find(tokens)?.Length ?? 0)
            && TryDropFor(promised, () => Math.Max(cacheBytes(reading.Tokens), cacheBytes(target)), null))
        {
            var restored = spill!.Load(reading);
            StopReading(sequence);
            if (restored is not null)
            {
                // It was there for this alone; the turn's own cache is what others may want.
                if (sequence.Spilled == reading.Entry)
                    spill.Delete(reading.Entry);
                sequence.Spilled = null;
                Give(sequence, restored, null);
                return true;
            }
        }

        if (retained.Find(tokens) is var (source, length))
        {
            if (TryDropFor(promised, () => source.Cache.ForkBytes(length, target), source))
            {
                Give(sequence, source.Cache.Fork(length), source);
                return true;
            }

            if (source.Cache.CanTruncate(length) && TryDropFor(promised, () => source.Cache.GrowthBytes(target), source))
            {
                retained.Take(source);
                sequence.Cache = source.Cache; // the sequence's from here on, also if it cannot go back
                source.Cache.Truncate(length);
                Give(sequence, source.Cache, null);
                return true;
            }
        }

        if (!TryDropFor(promised, () => cacheBytes(target), null))
            return false;
        Give(sequence, createCache(), null);
        return true;
    }

    /// <summary>Bytes that the prompts under way have still to take, with room for their first tokens.</summary>
    public static long PromisedBytes(IEnumerable<Sequence> running) => running.Where(s => s.IsPrefill).Sum(s => s.Cache!.GrowthBytes(Target(s)));

    /// <summary>True if <see cref="TryStart"/> will succeed once others are preempted, so that preempting them is worth it.</summary>
    public bool FitsWithout(Sequence sequence, IReadOnlyList<Sequence> preempted, IReadOnlyList<Sequence> running)
    {
        var promised = PromisedBytes(running.Except(preempted));
        var freed = FreedBytes(retained.Caches.Concat(preempted.Select(s => s.Cache!)));
        return Fits(cacheBytes(running.Count == preempted.Count ? sequence.Tokens.Count + 1 : Target(sequence)), promised, freed);
    }

    /// <summary>Lets a cache take the memory for its next tokens, and for a prompt that ends there.</summary>
    /// <returns>False if there is not enough without dropping a running sequence; then the cache has not changed.</returns>
    public bool TryReserve(IKvCache cache, int length)
    {
        if (!DropUntil(() => cache.GrowthBytes(length), 0, null))
            return false;
        cache.Reserve(length);
        return true;
    }

    /// <summary>
    /// Lets the cache of something other than a sequence take the memory for its tokens, beside what the prompts under way have still to take. Retained caches
    /// leave for it only if that is enough.
    /// </summary>
    /// <returns>False if there is not enough; then nothing has changed.</returns>
    public bool TryReserveBeside(IKvCache cache, int length, IReadOnlyList<Sequence> running)
    {
        if (!TryDropFor(PromisedBytes(running), () => cache.GrowthBytes(length), null))
            return false;
        cache.Reserve(length);
        return true;
    }

    /// <summary>A copy of a cache to be retained; null if the memory is needed for those that run.</summary>
    public IKvCache? TryFork(IKvCache cache) => DropUntil(() => cache.ForkBytes(cache.Length, cache.Length), 0, null) ? cache.Fork() : null;

    /// <summary>
    /// Begins to read the spilled cache that a sequence can continue, if one holds more of its tokens than a retained one.
    /// </summary>
    /// <param name="sequence">A sequence that waits.</param>
    /// <param name="whenDone">Called from another thread once it is read.</param>
    /// <returns>True while it is being read.</returns>
    public bool IsReading(Sequence sequence, Action whenDone)
    {
        if (spill is null)
            return false;
        var tokens = sequence.Continuable;
        sequence.Reading ??= spill.BeginRead(tokens, retained.Find(tokens)?.Length ?? 0, whenDone);
        return sequence.Reading?.IsUnderWay == true;
    }

    /// <summary>Writes the cache of a sequence that has to make way to the spill directory, if there is one.</summary>
    public void Spill(Sequence sequence)
    {
        if (sequence.Cache is { } cache && cache.Length <= sequence.Tokens.Count)
            sequence.Spilled = spill?.Save(sequence.Tokens[..cache.Length], cache);
    }

    /// <summary>Gives up what was read for a sequence.</summary>
    public static void StopReading(Sequence sequence)
    {
        sequence.Reading?.Dispose();
        sequence.Reading = null;
    }

    private static void Give(Sequence sequence, IKvCache cache, RetainedCache? source)
    {
        StopReading(sequence); // what was read, and was of no use after all
        (sequence.Cache, sequence.Source) = (cache, source ?? sequence.Source);
        sequence.Start(cache.Length);
    }

    private static int Target(Sequence sequence) =>
        Math.Min(sequence.Tokens.Count + HeadTokens, sequence.Request.PromptIds.Length + sequence.Request.MaxTokens);

    // Bytes that are free once none of these caches is there: a unit that another cache shares stays.
    private static long FreedBytes(IEnumerable<IKvCache> caches)
    {
        var owners = new Dictionary<KvUnit, int>(ReferenceEqualityComparer.Instance);
        foreach (var unit in caches.SelectMany(c => c.Units))
            CollectionsMarshal.GetValueRefOrAddDefault(owners, unit, out _)++;
        return owners.Where(o => o.Value == o.Key.Owners).Sum(o => o.Key.Bytes);
    }

    // Subtracts only, so that a pool without a limit does not overflow.
    private bool Fits(long needed, long promised, long freed) => needed <= pool.FreeBytes - promised || needed - freed <= pool.FreeBytes - promised;

    // Drops retained caches only if that will be enough.
    private bool TryDropFor(long promised, Func<long> needed, RetainedCache? kept) =>
        Fits(needed(), promised, 0)
        || (Fits(needed(), promised, FreedBytes(retained.Caches.Where(c => c != kept?.Cache))) && DropUntil(needed, promised, kept));

    private bool DropUntil(Func<long> needed, long promised, RetainedCache? kept)
    {
        while (!Fits(needed(), promised, 0))
        {
            if (!retained.DropOldest(kept))
                return false;
        }

        return true;
    }
}
