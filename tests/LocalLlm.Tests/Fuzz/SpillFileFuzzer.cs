using System.Buffers.Binary;
using System.Security.Cryptography;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using LocalLlm.Sessions;
using Microsoft.Extensions.Logging.Abstractions;
using static TorchSharp.torch;

namespace LocalLlm.Fuzz;

/// <summary>Spill files with changed bytes, lengths and contents; those whose checksums were made to fit reach the reader of caches.</summary>
internal sealed class SpillFileFuzzer : Fuzzer
{
    private const int Tokens = 200;

    private static readonly byte[] Fingerprint = new byte[SHA256.HashSizeInBytes];

    private readonly KvPool pool = new(1 << 24);
    private readonly int[] tokens = [.. Enumerable.Range(0, Tokens)];
    private List<(KvCacheFactory Factory, byte[] Content, byte[] File)> caches = [];
    private string directory = "";

    public override string Name => "spill";

    public override Task OpenAsync(string modelPath)
    {
        LibTorch.EnsureLoaded();
        directory = Directory.CreateTempSubdirectory("fuzz-spill-").FullName;
        var shape = new KvShape(2, 1, 16, ScalarType.Float32, CPU);
        foreach (var kind in new[] { KvCacheKind.StreamingQuant, KvCacheKind.LogQuant, KvCacheKind.PartialLogQuant, KvCacheKind.HuggingFaceKivi, KvCacheKind.Dense })
        {
            var factory = new KvCacheFactory(new KvCacheOptions { Kind = kind, Window = 32 }, shape, pool: pool);
            using var inference = inference_mode();
            using var scope = NewDisposeScope();
            using var cache = factory.Create();
            Append(cache);
            var content = new MemoryStream();
            ((ISavableKvCache)cache).Save(new CacheWriter(content));
            var path = Path.Combine(directory, "tokens-0" + SpillFile.Extension);
            SpillFile.Write(path, new SpillHeader(Fingerprint, null, tokens, content.Length), content);
            caches.Add((factory, content.ToArray(), File.ReadAllBytes(path)));
        }

        return Task.CompletedTask;
    }

    public override Task<bool> TryAsync(Random random)
    {
        var (factory, content, file) = caches[random.Next(caches.Count)];
        foreach (var old in Directory.GetFiles(directory))
            File.Delete(old);
        var path = Path.Combine(directory, "tokens-1" + SpillFile.Extension);
        var isHonest = random.Next(20) == 0;
        if (isHonest || random.Next(2) == 0)
            File.WriteAllBytes(path, isHonest ? file : random.Next(2) == 0 ? RandomJson.Change(random, file) : WithLies(random, file));
        else
            WriteWithChecksums(random, path, content);

        var wasLoaded = false;
        using (var inference = inference_mode())
        using (var spill = new CacheSpill(new SpillStore(directory, null, Fingerprint, NullLogger.Instance), factory.Load, factory.CanTruncate, NullLogger.Instance))
        {
            using var done = new ManualResetEventSlim();
            if (spill.BeginRead([.. tokens, 7, 8], 0, done.Set) is { } reading)
            {
                done.Wait();
                using var cache = spill.Load(reading);
                reading.Dispose();
                if (wasLoaded = cache is not null)
                    Append(cache!, 3);
            }
        }

        if (pool.UsedBytes != 0)
            throw new InvalidOperationException($"{pool.UsedBytes} bytes were left behind");
        return isHonest && !wasLoaded ? throw new InvalidOperationException("a file as it was written is not read") : Task.FromResult(wasLoaded);
    }

    public override ValueTask DisposeAsync()
    {
        pool.Dispose();
        if (directory.Length > 0)
            Directory.Delete(directory, recursive: true);
        return ValueTask.CompletedTask;
    }

    private static void Append(IKvCache cache, int count = Tokens)
    {
        using var scope = NewDisposeScope();
        var plan = cache.PlanAppend(count);
        for (var layer = 0; layer < 2; layer++)
        {
            for (var segment = 0; segment < plan.Segments.Count; segment++)
            {
                var size = plan.Segments[segment].Count;
                cache.Append(layer, randn([size, 1, 16]), randn([size, 1, 16]), plan, segment);
            }
        }

        cache.Commit(plan);
    }

    // Numbers of the header that tell of more, or less, than there is.
    private static byte[] WithLies(Random random, byte[] file)
    {
        var changed = file.ToArray();
        var at = 8 + sizeof(int) + SHA256.HashSizeInBytes + (random.Next(3) * sizeof(int));
        if (random.Next(2) == 0)
            BinaryPrimitives.WriteInt32LittleEndian(changed.AsSpan(at), random.Next(3) switch { 0 => int.MaxValue, 1 => int.MinValue, _ => random.Next(100_000) });
        else
            BinaryPrimitives.WriteInt64LittleEndian(changed.AsSpan(at), random.NextInt64(-1000, long.MaxValue));
        return changed;
    }

    // A file that is whole, with a content that is not that of a cache.
    private void WriteWithChecksums(Random random, string path, byte[] content)
    {
        var changed = random.Next(3) == 0 ? content.ToArray() : RandomJson.Change(random, content);
        if (random.Next(3) == 0 && changed.Length > 12)
            BinaryPrimitives.WriteInt32LittleEndian(changed.AsSpan(4 * random.Next(3)), random.Next(2) == 0 ? int.MaxValue : random.Next(-5, 400));
        int[] told = random.Next(3) == 0 ? [.. tokens[..(129 + random.Next(Tokens - 129))]] : tokens;
        SpillFile.Write(path, new SpillHeader(Fingerprint, null, told, changed.Length), new MemoryStream(changed));
    }
}
