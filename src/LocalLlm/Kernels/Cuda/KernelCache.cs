using System.Diagnostics;
using System.Security.Cryptography;
using LocalLlm.Interop;

namespace LocalLlm.Kernels.Cuda;

/// <summary>
/// Compiled kernels in a folder, so that a process pays for the compiler only once in the life of a version. Processes that need the same kernel at
/// the same time wait for the one that compiles it. Whatever is wrong with the folder costs time only.
/// </summary>
/// <param name="folder">Made when it is needed, for its owner only.</param>
/// <param name="warn">Told why nothing can be kept.</param>
/// <param name="lockTime">How long to wait for another process; null for two minutes, which no kernel takes.</param>
internal sealed class KernelCache(string folder, Action<string> warn, TimeSpan? lockTime = null)
{
    private readonly TimeSpan lockTime = lockTime ?? TimeSpan.FromMinutes(2);

    /// <summary>The user's own folder.</summary>
    public static string DefaultFolder => Path.Combine(UserCache.Root(), "kernels");

    /// <summary>A compiled kernel: from the folder, or compiled and kept there.</summary>
    /// <param name="key">Names what is compiled, with everything that it depends on; a file's name.</param>
    /// <param name="compile">Compiles it. What it throws is thrown.</param>
    public byte[] Get(string key, Func<byte[]> compile)
    {
        if (!TryOwn())
            return compile(); // nor is anything read: whoever else can write there could have it loaded
        var path = Path.Combine(folder, key);
        if (Read(path) is { } kept)
            return kept;
        using var compiling = Lock();
        if (compiling is null)
            return compile();
        if (Read(path) is { } others)
            return others; // compiled while this one waited
        var code = compile();
        Write(path, code);
        return code;
    }

    // The file: SHA-256 of the code, the code. Null where there is none or it is damaged.
    private static byte[]? Read(string path)
    {
        try
        {
            var bytes = File.ReadAllBytes(path);
            var code = bytes.AsSpan(Math.Min(SHA256.HashSizeInBytes, bytes.Length));
            return code.Length > 0 && SHA256.HashData(code).AsSpan().SequenceEqual(bytes.AsSpan(0, SHA256.HashSizeInBytes)) ? code.ToArray() : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private bool TryOwn()
    {
        try
        {
            UserCache.CreateOwned(folder);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Warn(e.Message);
            return false;
        }
    }

    // A file that one process opens at a time. It stays: whoever deleted it could take it from under another that has just opened it.
    private FileStream? Lock()
    {
        for (var start = Stopwatch.GetTimestamp(); ;)
        {
            try
            {
                return new FileStream(Path.Combine(folder, "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (Stopwatch.GetElapsedTime(start) < lockTime)
            {
                Thread.Sleep(20);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                Warn(e.Message);
                return null;
            }
        }
    }

    private void Write(string path, byte[] code)
    {
        var temporary = $"{path}.{Guid.NewGuid():N}";
        try
        {
            try
            {
                using (var file = new FileStream(temporary, FileMode.CreateNew, FileAccess.Write))
                {
                    file.Write(SHA256.HashData(code));
                    file.Write(code);
                }

                File.Move(temporary, path, overwrite: true);
            }
            finally
            {
                File.Delete(temporary);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Warn(e.Message);
        }
    }

    private void Warn(string cause) => warn($"Compiled CUDA kernels cannot be kept in '{folder}', so that every start compiles them anew: {cause}");
}
