using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging;
using Microsoft.IO;

namespace LocalLlm.Sessions;

/// <summary>A conversation's cache in the spill directory, or on its way there.</summary>
/// <param name="path">The file.</param>
/// <param name="header">What it holds.</param>
internal sealed class SpilledCache(string path, SpillHeader header)
{
    private readonly TaskCompletionSource<Exception?> written = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The file.</summary>
    public string Path => path;

    /// <summary>What it holds.</summary>
    public SpillHeader Header => header;

    /// <summary>The tokens that it holds, in order.</summary>
    public int[] Tokens => header.Tokens;

    /// <summary>The content while it is not in the file yet.</summary>
    public MemoryStream? Unwritten { get; set; }

    /// <summary>Ends once the writer has done with it: with null if it is in the file, or with what was wrong.</summary>
    public Task<Exception?> Written => written.Task;

    /// <summary>Ends <see cref="Written"/>.</summary>
    public void SetWritten(Exception? error) => written.TrySetResult(error);
}

/// <summary>
/// The spill directory: caches of idle conversations as files, found by their tokens, also after a restart. A file that is damaged, of another
/// model or of another format is a miss. Files are written by a thread of its own; safe for concurrent use.
/// </summary>
internal sealed partial class SpillStore : IDisposable
{
    /// <summary>Contents that may wait for the writer. They are memory outside of the caches' limit, so more of them wait for the disk.</summary>
    private const int MostUnwritten = 8;

    private const long IdleBytes = 64L << 20;
    private static readonly TimeSpan AbandonedAfter = TimeSpan.FromDays(1);

    private readonly string directory;
    private readonly long? maxBytes;
    private readonly byte[] fingerprint;
    private readonly ILogger logger;
    // What one content took is kept for the next, but not what a rush of them took.
    private readonly RecyclableMemoryStreamManager memory = new(new RecyclableMemoryStreamManager.Options { MaximumSmallPoolFreeBytes = IdleBytes });
    private readonly Lock entriesLock = new();
    private readonly Dictionary<string, SpilledCache> entries = new(StringComparer.Ordinal); // by path
    private readonly BlockingCollection<SpilledCache> unwritten = new(MostUnwritten);
    private readonly Thread writer;

    /// <summary>Opens a directory, which is made if it is not there, and reads what its files hold.</summary>
    /// <param name="directory">The directory.</param>
    /// <param name="maxBytes">The most bytes of all files in it, other models' too; null for no limit.</param>
    /// <param name="fingerprint">Of the model and the cache's format; 32 bytes. Only files with the same one are used.</param>
    /// <param name="logger">For warnings.</param>
    /// <exception cref="IOException">The directory cannot be made or read.</exception>
    /// <exception cref="UnauthorizedAccessException">The directory cannot be made or read.</exception>
    public SpillStore(string directory, long? maxBytes, byte[] fingerprint, ILogger logger)
    {
        (this.directory, this.maxBytes, this.fingerprint, this.logger) = (Path.GetFullPath(directory), maxBytes, fingerprint, logger);
        if (OperatingSystem.IsWindows())
            Directory.CreateDirectory(this.directory);
        else
            Directory.CreateDirectory(this.directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        foreach (var path in Directory.EnumerateFiles(this.directory, "*" + SpillFile.Extension))
        {
            if (TryOpen(path, static (_, header) => header) is { } header)
                entries.Add(path, new SpilledCache(path, header));
        }

        // What a process left behind that ended while it wrote; a younger one may be another process's.
        foreach (var part in Directory.EnumerateFiles(this.directory, $"*{SpillFile.Extension}.*{SpillFile.PartExtension}"))
        {
            if (File.GetLastWriteTimeUtc(part) < DateTime.UtcNow - AbandonedAfter)
                DeleteFile(part);
        }

        writer = new Thread(WriteAll) { IsBackground = true, Name = "LocalLlm spill" };
        writer.Start();
    }

    /// <summary>Caches that can be found.</summary>
    public int Count
    {
        get
        {
            lock (entriesLock)
                return entries.Count;
        }
    }

    /// <summary>Caches that can be found, and the bytes of their files, those included that are not written yet; from any thread.</summary>
    public (int Caches, long Bytes) Held
    {
        get
        {
            lock (entriesLock)
                return (entries.Count, entries.Values.Sum(e => SpillFile.Bytes(e.Header)));
        }
    }

    /// <summary>Memory to write a cache to, for <see cref="Write"/>.</summary>
    public MemoryStream CreateContent() => memory.GetStream();

    /// <summary>Whether there is a cache of exactly these tokens that was not saved under a name.</summary>
    public bool Contains(int[] tokens)
    {
        lock (entriesLock)
            return entries.ContainsKey(UnnamedPath(tokens));
    }

    /// <summary>Finds the cache that holds the longest beginning of <paramref name="tokens"/>.</summary>
    /// <param name="tokens">What is looked for.</param>
    /// <param name="min">The fewest tokens that are worth it.</param>
    /// <param name="canTruncate">Whether a cache of the first number of tokens can go back to the second; null if none can.</param>
    /// <returns>The cache and the length to go back to; null if there is none.</returns>
    public (SpilledCache Entry, int Length)? Find(ReadOnlySpan<int> tokens, int min = 1, Func<int, int, bool>? canTruncate = null)
    {
        lock (entriesLock)
        {
            (SpilledCache Entry, int Length)? best = null;
            foreach (var entry in entries.Values)
            {
                var common = tokens.CommonPrefixLength(entry.Tokens);
                if (common >= min && (best is null || common > best.Value.Length) && (common == entry.Tokens.Length || canTruncate?.Invoke(entry.Tokens.Length, common) == true))
                    best = (entry, common);
            }

            return best;
        }
    }

    /// <summary>The cache saved under a name, by whatever process; null if there is none.</summary>
    public SpilledCache? Find(string name)
    {
        var path = NamedPath(name);
        lock (entriesLock)
        {
            if (entries.GetValueOrDefault(path) is { Unwritten: not null } pending)
                return pending;
        }

        var header = TryOpen(path, static (_, header) => header);
        lock (entriesLock)
        {
            var known = entries.GetValueOrDefault(path);
            if (known?.Unwritten is not null || (known is not null && header is not null && known.Tokens.AsSpan().SequenceEqual(header.Tokens)))
                return known;
            if (header is not null)
                return entries[path] = new SpilledCache(path, header);
            entries.Remove(path);
            return null;
        }
    }

    /// <summary>The caches saved under names.</summary>
    public IReadOnlyList<SpilledCache> Named()
    {
        lock (entriesLock)
            return [.. entries.Values.Where(e => e.Header.Name is not null)];
    }

    /// <summary>
    /// Takes a cache's content, which is written in the background; until then it is found all the same. Where too many are unwritten, it waits
    /// for the disk.
    /// </summary>
    /// <param name="tokens">The tokens that it holds.</param>
    /// <param name="content">From <see cref="CreateContent"/>; owned by the store from now on.</param>
    /// <param name="name">A name under which it is kept until it is deleted; null for one that may leave.</param>
    /// <returns>The entry; null if it is larger than all files may be together.</returns>
    public SpilledCache? Write(int[] tokens, MemoryStream content, string? name = null)
    {
        var header = new SpillHeader(fingerprint, name, tokens, content.Length);
        if (maxBytes is { } limit && SpillFile.Bytes(header) > limit)
        {
            LogTooLarge(logger, tokens.Length, SpillFile.Bytes(header), limit);
            content.Dispose();
            return null;
        }

        var entry = new SpilledCache(name is null ? UnnamedPath(tokens) : NamedPath(name), header) { Unwritten = content };
        lock (entriesLock)
            entries[entry.Path] = entry;
        unwritten.Add(entry);
        return entry;
    }

    /// <summary>Reads a cache's content and marks it as used.</summary>
    /// <returns>The content, owned by the caller; null if the file is gone or damaged, which is logged.</returns>
    public MemoryStream? Read(SpilledCache entry)
    {
        lock (entriesLock)
        {
            if (entry.Unwritten is { } pending)
            {
                // The position is the writer's, which may be reading at this moment.
                var copy = memory.GetStream();
                pending.WriteTo(copy);
                copy.Position = 0;
                return copy;
            }
        }

        return TryOpen(entry.Path, (file, header) =>
        {
            if (!header.Tokens.AsSpan().SequenceEqual(entry.Tokens))
                return null; // another process put something else there
            var content = memory.GetStream();
            try
            {
                SpillFile.ReadContent(file, header, content);
                Touch(entry.Path);
                return content;
            }
            catch
            {
                content.Dispose();
                throw;
            }
        });
    }

    /// <summary>Deletes a cache.</summary>
    public void Delete(SpilledCache entry)
    {
        lock (entriesLock)
        {
            if (entries.GetValueOrDefault(entry.Path) != entry)
                return; // what is there now is another's
            entries.Remove(entry.Path);
            DeleteFile(entry.Path); // and one that is being written follows when it is
        }
    }

    /// <summary>Writes what is not written yet, and closes.</summary>
    public void Dispose()
    {
        if (unwritten.IsAddingCompleted)
            return;
        unwritten.CompleteAdding();
        writer.Join();
    }

    private string UnnamedPath(int[] tokens)
    {
        var bytes = new byte[fingerprint.Length + (tokens.Length * sizeof(int))];
        fingerprint.CopyTo(bytes, 0);
        Buffer.BlockCopy(tokens, 0, bytes, fingerprint.Length, tokens.Length * sizeof(int));
        return PathOf("tokens", bytes);
    }

    private string NamedPath(string name) => PathOf("name", [.. fingerprint, .. Encoding.UTF8.GetBytes(name)]);

    private string PathOf(string kind, byte[] identity) =>
        Path.Combine(directory, $"{kind}-{Convert.ToHexStringLower(SHA256.HashData(identity).AsSpan(0, 16))}{SpillFile.Extension}");

    private void WriteAll()
    {
        foreach (var entry in unwritten.GetConsumingEnumerable())
        {
            try
            {
                if (!IsCurrent(entry))
                {
                    Superseded(entry);
                    continue;
                }

                MakeRoom(SpillFile.Bytes(entry.Header), entry.Path);
                SpillFile.Write(entry.Path, entry.Header, entry.Unwritten!);
                Written(entry, null);
            }
            catch (Exception e)
            {
                // Whatever it was, the next one may succeed, and without this thread none would.
                LogNotWritten(logger, e, entry.Path, entry.Tokens.Length);
                Written(entry, e);
            }
        }
    }

    private void Superseded(SpilledCache entry)
    {
        SpilledCache? successor;
        lock (entriesLock)
        {
            entry.Unwritten!.Dispose();
            entry.Unwritten = null;
            successor = entries.GetValueOrDefault(entry.Path);
        }

        if (successor is null)
            entry.SetWritten(new FileNotFoundException("It was deleted before it was written."));
        else
            successor.Written.ContinueWith(t => entry.SetWritten(t.Result), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
    }

    private void Written(SpilledCache entry, Exception? error)
    {
        // What was there before is still in the file where the new content is not.
        var older = error is null ? null : TryOpen(entry.Path, static (_, header) => header);
        lock (entriesLock)
        {
            entry.Unwritten!.Dispose();
            entry.Unwritten = null;
            var isCurrent = entries.GetValueOrDefault(entry.Path) == entry;
            if (isCurrent && error is not null)
            {
                if (older is null)
                    entries.Remove(entry.Path);
                else
                    entries[entry.Path] = new SpilledCache(entry.Path, older);
            }
            else if (!isCurrent && !entries.ContainsKey(entry.Path))
                DeleteFile(entry.Path); // deleted meanwhile, and with it what was there before
        }

        entry.SetWritten(error);
    }

    // False where it was deleted, or another took its place, before it was written.
    private bool IsCurrent(SpilledCache entry)
    {
        lock (entriesLock)
            return entries.GetValueOrDefault(entry.Path) == entry;
    }

    /// <summary>Deletes the least recently used files until so many bytes more fit; those saved under a name stay.</summary>
    private void MakeRoom(long bytes, string replaced)
    {
        if (maxBytes is not { } limit)
            return;
        var files = new DirectoryInfo(directory).EnumerateFiles("*" + SpillFile.Extension).Where(f => f.FullName != replaced).ToList();
        var total = files.Sum(Length) + bytes;
        // Nothing leaves for what cannot fit all the same.
        if (files.Where(IsNamed).Sum(Length) is var saved && saved + bytes > limit)
            throw new IOException($"Saved conversations take {saved:N0} bytes of the {limit:N0} that all files may take, so {bytes:N0} more do not fit.");
        foreach (var file in files.Where(f => !IsNamed(f)).OrderBy(f => f.LastWriteTimeUtc))
        {
            if (total <= limit)
                return;
            lock (entriesLock)
            {
                if (entries.TryGetValue(file.FullName, out var entry) && entry.Unwritten is null)
                    entries.Remove(file.FullName);
                DeleteFile(file.FullName);
            }

            total -= Length(file);
        }

        static bool IsNamed(FileInfo file) => file.Name.StartsWith("name-", StringComparison.Ordinal);
    }

    // Somebody else may have deleted it meanwhile.
    private static long Length(FileInfo file)
    {
        try
        {
            return file.Length;
        }
        catch (FileNotFoundException)
        {
            return 0;
        }
    }

    private T? TryOpen<T>(string path, Func<FileStream, SpillHeader, T?> use)
        where T : class
    {
        try
        {
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, bufferSize: 0);
            var header = SpillFile.ReadHeader(file);
            return header is not null && header.Fingerprint.AsSpan().SequenceEqual(fingerprint) ? use(file, header) : null;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            Forget(path);
            return null; // it left for others to come
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
        {
            LogDamaged(logger, path, e.Message);
            Forget(path);
            DeleteFile(path);
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogNotRead(logger, e, path);
            return null;
        }
    }

    private void Forget(string path)
    {
        lock (entriesLock)
        {
            if (entries.TryGetValue(path, out var entry) && entry.Unwritten is null)
                entries.Remove(path);
        }
    }

    /// <summary>Sets the time by which the least recently used file is found; where that cannot be set, the file is as good as before.</summary>
    private void Touch(string path)
    {
        try
        {
            File.SetLastWriteTimeUtc(path, DateTime.UtcNow);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogNotTouched(logger, e, path);
        }
    }

    private void DeleteFile(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogNotDeleted(logger, e, path);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "The spilled KV cache {Path} is damaged: {Reason}. It is deleted; its conversation will be computed anew")]
    private static partial void LogDamaged(ILogger logger, string path, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The spilled KV cache {Path} cannot be read; its conversation will be computed anew")]
    private static partial void LogNotRead(ILogger logger, Exception exception, string path);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The KV cache of {Tokens} tokens could not be written to {Path}; its conversation will be computed anew")]
    private static partial void LogNotWritten(ILogger logger, Exception exception, string path, int tokens);

    [LoggerMessage(Level = LogLevel.Debug, Message = "The spilled KV cache {Path} cannot be marked as used")]
    private static partial void LogNotTouched(ILogger logger, Exception exception, string path);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The spilled KV cache {Path} cannot be deleted")]
    private static partial void LogNotDeleted(ILogger logger, Exception exception, string path);

    [LoggerMessage(Level = LogLevel.Warning,
        Message = "The KV cache of {Tokens} tokens takes {Bytes} bytes as a file; all files together may take {Limit}. It is not kept; raise the limit to keep it")]
    private static partial void LogTooLarge(ILogger logger, int tokens, long bytes, long limit);
}
