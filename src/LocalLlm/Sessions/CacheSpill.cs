using LocalLlm.KvCache;
using Microsoft.Extensions.Logging;

namespace LocalLlm.Sessions;

/// <summary>
/// Moves caches between memory and the spill directory. All but the reading of files is the engine thread's: a file is read elsewhere while others decode.
/// </summary>
/// <param name="store">The directory; disposed of with this object.</param>
/// <param name="load">Makes a cache of a file's content; the number is its tokens.</param>
/// <param name="canTruncate">Whether a cache of the first number of tokens can, so far as that tells, go back to the second.</param>
/// <param name="logger">For warnings.</param>
internal sealed partial class CacheSpill(SpillStore store, Func<Stream, int, IKvCache> load, Func<int, int, bool> canTruncate, ILogger logger) : IDisposable
{
    /// <summary>Shorter caches are computed again as fast as they are read.</summary>
    public const int MinTokens = 128;

    private long saved;
    private long loaded;

    /// <summary>Caches that were given to the directory.</summary>
    public long Saved => Volatile.Read(ref saved);

    /// <summary>Caches that came back from it.</summary>
    public long Loaded => Volatile.Read(ref loaded);

    /// <summary>
    /// Writes a cache that is about to leave memory, unless it is in the directory already. Whatever goes wrong is logged: its memory is needed,
    /// and others wait for it.
    /// </summary>
    /// <param name="tokens">The tokens that it holds.</param>
    /// <param name="cache">The cache.</param>
    /// <returns>The entry if it is written; null if it was there, is short, or cannot be written.</returns>
    public SpilledCache? Save(IReadOnlyList<int> tokens, IKvCache cache)
    {
        if (tokens.Count < MinTokens || store.Contains([.. tokens]))
            return null;
        try
        {
            return Write([.. tokens], cache, name: null);
        }
        catch (Exception e)
        {
            LogLost(logger, e, tokens.Count);
            return null;
        }
    }

    /// <summary>Begins to write a cache under a name.</summary>
    /// <exception cref="LocalLlmException">It is larger than all files may be together, or of a kind that cannot be saved.</exception>
    public SpilledCache Save(IReadOnlyList<int> tokens, IKvCache cache, string name) => Write([.. tokens], cache, name)
        ?? throw new LocalLlmException(cache is ISavableKvCache
            ? $"The KV cache of {tokens.Count:N0} tokens takes {cache.Bytes:N0} bytes, more than KvCache.SpillBytes lets all files take together. Raise it to save the conversation."
            : "A KV cache of this kind cannot be saved.");

    /// <summary>Begins to read the spilled cache that holds the longest beginning of some tokens.</summary>
    /// <param name="tokens">Tokens to continue.</param>
    /// <param name="held">Tokens of them that a cache in memory holds.</param>
    /// <param name="whenDone">Called from another thread once the file is read.</param>
    /// <returns>Null if none holds enough more than memory does.</returns>
    public SpillReading? BeginRead(ReadOnlySpan<int> tokens, int held, Action whenDone) =>
        store.Find(tokens, held + MinTokens, canTruncate) is var (entry, length)
            ? new SpillReading(entry, length, Task.Run(() => store.Read(entry)), whenDone)
            : null;

    /// <summary>Makes a cache of what was read, at the length that was found.</summary>
    /// <returns>Null if there is none, or it cannot go back to that length; what is wrong is logged.</returns>
    /// <exception cref="KvMemoryException">The pool has no room for it.</exception>
    public IKvCache? Load(SpillReading reading)
    {
        if (reading.Content is not { } content || Load(content, reading.Tokens) is not { } cache)
            return null;
        try
        {
            if (reading.Length == cache.Length)
                return cache;
            if (cache.CanTruncate(reading.Length))
            {
                cache.Truncate(reading.Length);
                return cache;
            }
        }
        catch
        {
            cache.Dispose();
            throw;
        }

        cache.Dispose();
        return null;
    }

    /// <summary>Makes a cache of a file's content.</summary>
    /// <returns>Null if the content is not one, which is logged.</returns>
    /// <exception cref="KvMemoryException">The pool has no room for it.</exception>
    public IKvCache? Load(Stream content, int tokens)
    {
        try
        {
            var cache = load(content, tokens);
            Interlocked.Increment(ref loaded);
            return cache;
        }
        catch (InvalidDataException e)
        {
            LogUnusable(logger, e, tokens);
            return null;
        }
    }

    /// <inheritdoc cref="SpillStore.Named"/>
    public IReadOnlyList<SpilledCache> Named() => store.Named();

    /// <inheritdoc cref="SpillStore.Held"/>
    public (int Caches, long Bytes) Held => store.Held;

    /// <inheritdoc cref="SpillStore.Find(string)"/>
    public SpilledCache? Find(string name) => store.Find(name);

    /// <inheritdoc cref="SpillStore.Read"/>
    public MemoryStream? Read(SpilledCache entry) => store.Read(entry);

    /// <inheritdoc cref="SpillStore.Delete"/>
    public void Delete(SpilledCache entry) => store.Delete(entry);

    /// <summary>Writes what is not written yet, and closes.</summary>
    public void Dispose() => store.Dispose();

    private SpilledCache? Write(int[] tokens, IKvCache cache, string? name)
    {
        if (cache is not ISavableKvCache savable)
            return null;
        var content = store.CreateContent();
        try
        {
            savable.Save(new CacheWriter(content));
        }
        catch
        {
            content.Dispose();
            throw;
        }

        var entry = store.Write(tokens, content, name);
        if (entry is not null)
            Interlocked.Increment(ref saved);
        return entry;
    }

    [LoggerMessage(Level = LogLevel.Warning,
        Message = "A KV cache of {Tokens} tokens could not be copied for the spill directory; its conversation is computed anew")]
    private static partial void LogLost(ILogger logger, Exception exception, int tokens);

    [LoggerMessage(Level = LogLevel.Warning, Message = "A spilled KV cache of {Tokens} tokens cannot be used; its conversation is computed anew")]
    private static partial void LogUnusable(ILogger logger, Exception exception, int tokens);
}

/// <summary>A spilled cache that is being read for a sequence.</summary>
internal sealed class SpillReading : IDisposable
{
    private readonly Task<MemoryStream?> content;

    /// <summary>Follows a read.</summary>
    /// <param name="entry">The spilled cache.</param>
    /// <param name="length">The tokens of it that the sequence can use.</param>
    /// <param name="content">Its content, or null if it is gone or damaged.</param>
    /// <param name="whenDone">
    /// Called from another thread once <see cref="IsUnderWay"/> is false: whoever is told, and looks, must not see it under way.
    /// </param>
    public SpillReading(SpilledCache entry, int length, Task<MemoryStream?> content, Action whenDone)
    {
        (Entry, Length, this.content) = (entry, length, content);
        content.ContinueWith(_ => whenDone(), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
    }

    /// <summary>The spilled cache.</summary>
    public SpilledCache Entry { get; }

    /// <summary>The tokens of it that the sequence can use.</summary>
    public int Length { get; }

    /// <summary>The tokens that it holds.</summary>
    public int Tokens => Entry.Tokens.Length;

    /// <summary>True while the file is being read.</summary>
    public bool IsUnderWay => !content.IsCompleted;

    /// <summary>The content; null if it is gone or damaged, or not there yet.</summary>
    public MemoryStream? Content => content.IsCompletedSuccessfully ? content.Result : null;

    /// <summary>Gives the content's memory back, once it is read.</summary>
    public void Dispose() => content.ContinueWith(
        static done => (done.IsCompletedSuccessfully ? done.Result : null)?.Dispose(), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
}
