using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using CsCheck;
using LocalLlm.Sessions;
using Microsoft.Extensions.Logging;

namespace LocalLlm.Tests.Sessions;

public sealed class SpillStoreTests : IDisposable
{
    private static readonly byte[] Ours = SHA256.HashData("ours"u8);
    private readonly string directory = Path.Combine(Path.GetTempPath(), "spill-" + Guid.NewGuid().ToString("N"));
    private readonly Warnings warnings = new();

    public void Dispose()
    {
        if (Directory.Exists(directory))
            Directory.Delete(directory, recursive: true);
    }

    [Fact]
    public void Write_ThenOpenedAnew_IsFoundByTheTokensThatItBegins()
    {
        using (var store = Open())
        {
            Write(store, "short", 1, 2);
            Write(store, "long", 1, 2, 3, 4);
            Write(store, "other", 1, 9, 3);
            Read(store, store.Find([1, 2, 3, 4, 5])?.Entry).ShouldBe("long");
        }

        using var again = Open();
        again.Count.ShouldBe(3);
        Read(again, again.Find([1, 2, 3, 4, 5])?.Entry).ShouldBe("long");
        Read(again, again.Find([1, 2, 3, 4])?.Entry).ShouldBe("long");
        Read(again, again.Find([1, 2, 3])?.Entry).ShouldBe("short");
        again.Find([1, 2, 3], min: 3).ShouldBeNull();
        again.Find([1, 2, 3], min: 3, (from, to) => (from, to) == (4, 3)).ShouldNotBeNull().Length.ShouldBe(3);
        again.Find([2, 3]).ShouldBeNull();
        warnings.Texts.ShouldBeEmpty();
    }

    [Fact]
    public void Write_TheSameTokensAgain_KeepsTheLastContent()
    {
        using (var store = Open())
        {
            for (var i = 0; i < 20; i++)
                Write(store, "content " + i, 1, 2);
        }

        using var again = Open();
        again.Count.ShouldBe(1);
        Read(again, again.Find([1, 2, 3])?.Entry).ShouldBe("content 19");
    }

    [Fact]
    public void Files_AreTheirOwnersAlone()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Windows has access lists instead of modes; files inherit those of the user's folder.");
            return;
        }

        using (var store = Open())
            Write(store, "x", 1);
        File.GetUnixFileMode(directory).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        File.GetUnixFileMode(Directory.GetFiles(directory).ShouldHaveSingleItem()).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
    }

    [Fact]
    public void AnyDamage_IsAMissWithAWarning()
    {
        byte[] intact;
        using (var store = Open())
            Write(store, "the content of a cache", 5, 6, 7);
        var path = Directory.GetFiles(directory).Single();
        intact = File.ReadAllBytes(path);
        Gen.Select(Gen.Int[0, intact.Length - 1], Gen.Byte[1, 255], Gen.Bool).Sample(
            damage =>
            {
                var (at, flip, cut) = damage;
                var bytes = cut ? intact[..at] : [.. intact];
                if (!cut)
                    bytes[at] ^= flip;
                File.WriteAllBytes(path, bytes);
                warnings.Texts.Clear();
                using var store = Open();
                if (store.Find([5, 6, 7, 8]) is var (entry, _))
                    store.Read(entry).ShouldBeNull();

                // What is not recognised as ours at all, or as of another version, is left alone in silence.
                var isForeign = at < (cut ? 8 : 12);
                warnings.Texts.Count.ShouldBe(isForeign ? 0 : 1);
                File.Exists(path).ShouldBe(isForeign);
                store.Find([5, 6, 7, 8]).ShouldBeNull();
            },
            iter: 300,
            threads: 1);
    }

    [Fact]
    public void OtherModelsFiles_AreNotUsedAndNotTouched()
    {
        using (var store = Open(fingerprint: SHA256.HashData("theirs"u8)))
            Write(store, "theirs", 1, 2);
        File.WriteAllText(Path.Combine(directory, "notes.kvcache"), "not a cache at all");
        using var ours = Open();
        ours.Count.ShouldBe(0);
        Write(ours, "ours", 1, 2);
        ours.Dispose();
        Directory.GetFiles(directory).Length.ShouldBe(3);
        warnings.Texts.ShouldBeEmpty();
    }

    [Fact]
    public void MaxBytes_LeastRecentlyUsedLeaveAndNamedOnesStay()
    {
        using (var store = Open())
        {
            Write(store, new string('n', 1000), [1], name: "kept");
            for (var i = 2; i < 6; i++)
                Write(store, new string('x', 1000), i);
        }

        foreach (var (file, age) in Directory.GetFiles(directory).Order().Select((f, i) => (f, i)))
            File.SetLastWriteTimeUtc(file, DateTime.UtcNow.AddHours(-10 + age));
        using (var store = Open())
            Read(store, store.Find([3])?.Entry).ShouldNotBeNull(); // used just now

        using (var limited = Open(maxBytes: 3600))
            Write(limited, new string('y', 1000), 6);
        Directory.GetFiles(directory).Sum(f => new FileInfo(f).Length).ShouldBeLessThanOrEqualTo(3600);
        using var again = Open();
        again.Count.ShouldBe(3);
        again.Find("kept").ShouldNotBeNull();
        again.Find([3]).ShouldNotBeNull();
        again.Find([6]).ShouldNotBeNull();
        warnings.Texts.ShouldBeEmpty();
    }

    [Fact]
    public void Write_LargerThanAllFilesMayBe_IsLeftOutWithAWarning()
    {
        using var store = Open(maxBytes: 500);
        store.Write([1], Content(store, new string('x', 1000))).ShouldBeNull();
        store.Find([1]).ShouldBeNull();
        warnings.Texts.ShouldHaveSingleItem().ShouldContain("500");
    }

    [Fact]
    public void Write_NamedOnesTakeAllTheRoom_IsAMissWithAWarning()
    {
        using var store = Open(maxBytes: 2000);
        Write(store, new string('x', 1500), [1], name: "kept");
        Write(store, new string('x', 1500), 2);
        store.Dispose();
        warnings.Texts.ShouldHaveSingleItem().ShouldContain("could not be written");
        using var again = Open();
        again.Count.ShouldBe(1);
    }

    [Fact]
    public void Delete_WrittenOrNot_LeavesNothing()
    {
        using (var store = Open())
        {
            for (var i = 0; i < 50; i++)
            {
                Write(store, "x", i);
                store.Delete(store.Find([i])!.Value.Entry);
                store.Find([i]).ShouldBeNull();
            }
        }

        Directory.GetFiles(directory).ShouldBeEmpty();
    }

    [Fact]
    public void Read_AFileThatIsGone_IsAMissInSilence()
    {
        using (var store = Open())
            Write(store, "x", 1);
        using var again = Open();
        var entry = again.Find([1]).ShouldNotBeNull().Entry;
        File.Delete(entry.Path);
        again.Read(entry).ShouldBeNull();
        again.Find([1]).ShouldBeNull();
        warnings.Texts.ShouldBeEmpty();
    }

    [Fact]
    public void Write_TheDirectoryIsGone_IsAMissWithAWarning()
    {
        using var store = Open();
        Directory.Delete(directory);
        Write(store, "x", 1);
        store.Dispose();
        store.Find([1]).ShouldBeNull();
        warnings.Texts.ShouldHaveSingleItem().ShouldContain("could not be written");
    }

    [Fact]
    public async Task ConcurrentUse_FindsWholeContentsOnly()
    {
        using var store = Open(maxBytes: 20_000);
        await Task.WhenAll(Enumerable.Range(0, 4).Select(worker => Task.Run(() =>
        {
            var random = new Random(worker);
            for (var i = 0; i < 200; i++)
            {
                var key = random.Next(8);
                if (random.Next(3) == 0)
                    Write(store, new string((char)('a' + key), 2000), key);
                else if (store.Find([key, 1]) is var (entry, _) && Read(store, entry) is { } content)
                    content.ShouldBe(new string((char)('a' + key), 2000));
            }
        }, TestContext.Current.CancellationToken)));
    }

    [Fact]
    public void Read_WhileItIsBeingWritten_BothSeeTheWholeContent()
    {
        var bytes = new byte[8 << 20];
        new Random(1).NextBytes(bytes);
        using (var store = Open())
        {
            for (var i = 0; i < 12; i++)
            {
                var content = store.CreateContent();
                content.Write(bytes);
                var entry = store.Write([i], content).ShouldNotBeNull();
                for (var read = 0; read < 4; read++)
                {
                    using var copy = store.Read(entry).ShouldNotBeNull();
                    copy.ToArray().AsSpan().SequenceEqual(bytes).ShouldBeTrue();
                }
            }
        }

        using var again = Open();
        for (var i = 0; i < 12; i++)
        {
            using var copy = again.Read(again.Find([i]).ShouldNotBeNull().Entry).ShouldNotBeNull();
            copy.ToArray().AsSpan().SequenceEqual(bytes).ShouldBeTrue();
        }
    }

    [Fact]
    public void Open_HalfWrittenFilesOfYesterday_AreDeleted()
    {
        Directory.CreateDirectory(directory);
        var (old, young) = (Path.Combine(directory, "tokens-1.kvcache.a.part"), Path.Combine(directory, "tokens-2.kvcache.b.part"));
        File.WriteAllText(old, "x");
        File.WriteAllText(young, "x");
        File.SetLastWriteTimeUtc(old, DateTime.UtcNow.AddHours(-25));
        using var store = Open();
        Directory.GetFiles(directory).ShouldBe([young]);
        warnings.Texts.ShouldBeEmpty();
    }

    [Fact]
    public void Delete_OfOneThatReplacesAFile_DeletesBoth()
    {
        using (var store = Open())
            Write(store, "old", [1], name: "a");
        using (var store = Open())
        {
            Write(store, new string('x', 1 << 20), 9);
            Write(store, "new", [1], name: "a");
            store.Delete(store.Find("a")!);
        }

        using var again = Open();
        again.Find("a").ShouldBeNull();
        again.Count.ShouldBe(1);
    }

    [Fact]
    public void Delete_OfOneThatWasReplaced_LeavesTheNewOne()
    {
        using (var store = Open())
            Write(store, "old", [1], name: "a");
        using (var store = Open())
        {
            var stale = store.Find("a")!;
            Write(store, "new", [1, 2], name: "a");
            store.Delete(stale);
        }

        using var again = Open();
        Read(again, again.Find("a")).ShouldBe("new");
    }

    [Fact]
    public async Task Write_AnotherTakesItsPlaceBeforeItIsWritten_BothAreToldTheSame()
    {
        using var store = Open();
        Write(store, new string('x', 1 << 22), 9); // keeps the writer busy
        var first = store.Write([1], Content(store, "first"), "a").ShouldNotBeNull();
        var second = store.Write([1, 2], Content(store, "second"), "a").ShouldNotBeNull();

        (await first.Written).ShouldBeNull();
        (await second.Written).ShouldBeNull();
        Read(store, store.Find("a")).ShouldBe("second");
    }

    [Fact]
    public void Find_SavedByAnotherProcessMeanwhile_IsFound()
    {
        using var store = Open();
        store.Find("a").ShouldBeNull();
        using (var other = Open())
            Write(other, "x", [1, 2], name: "a");
        Read(store, store.Find("a")).ShouldBe("x");
        using (var other = Open())
            Write(other, "y", [3], name: "a");
        store.Find("a").ShouldNotBeNull().Tokens.ShouldBe([3]);
        using (var other = Open())
            other.Delete(other.Find("a")!);
        store.Find("a").ShouldBeNull();
    }

    [Fact]
    public void MaxBytes_NamedOnesLeaveNoRoom_NothingLeavesInVain()
    {
        using (var store = Open())
        {
            Write(store, new string('n', 1500), [1], name: "kept");
            Write(store, "x", 2);
            Write(store, "x", 3);
        }

        using (var limited = Open(maxBytes: 2200))
            Write(limited, new string('y', 1000), 4);
        using var again = Open();
        again.Count.ShouldBe(3);
        again.Find([4]).ShouldBeNull();
        warnings.Texts.ShouldHaveSingleItem().ShouldContain("could not be written");
    }

    [Fact]
    public void Reading_WhoeverIsToldThatItIsDone_FindsItDone()
    {
        using var store = Open();
        Write(store, "x", [.. Enumerable.Range(0, 200)]);
        var spill = new CacheSpill(store, (_, _) => throw new InvalidOperationException(), (_, _) => false, warnings);
        for (var i = 0; i < 200; i++)
        {
            using var made = new ManualResetEventSlim();
            using var done = new ManualResetEventSlim();
            SpillReading? reading = null;
            var underWay = true;
            reading = spill.BeginRead([.. Enumerable.Range(0, 201)], 0, () =>
            {
                made.Wait();
                underWay = reading!.IsUnderWay;
                done.Set();
            });
            made.Set();
            done.Wait(TimeSpan.FromSeconds(30)).ShouldBeTrue();
            underWay.ShouldBeFalse();
            reading.ShouldNotBeNull().Content.ShouldNotBeNull();
            reading.Dispose();
        }
    }

    private SpillStore Open(long? maxBytes = null, byte[]? fingerprint = null) => new(directory, maxBytes, fingerprint ?? Ours, warnings);

    private static void Write(SpillStore store, string content, params int[] tokens) => Write(store, content, tokens, name: null);

    private static void Write(SpillStore store, string content, int[] tokens, string? name) =>
        store.Write(tokens, Content(store, content), name).ShouldNotBeNull();

    private static MemoryStream Content(SpillStore store, string content)
    {
        var stream = store.CreateContent();
        stream.Write(Encoding.UTF8.GetBytes(content));
        return stream;
    }

    private static string? Read(SpillStore store, SpilledCache? entry)
    {
        using var content = store.Read(entry.ShouldNotBeNull());
        return content is null ? null : Encoding.UTF8.GetString(content.ToArray());
    }

    private sealed class Warnings : ILogger
    {
        public ConcurrentBag<string> Texts { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Texts.Add(formatter(state, exception));
    }
}
