using System.Diagnostics;
using LocalLlm.Sessions;
using Microsoft.Extensions.Logging.Abstractions;

namespace LocalLlm.Tests.Sessions;

/// <summary>A disk that fills up while a file is written, a directory that may not be written to, and a process that is killed.</summary>
public sealed class SpillFaultTests : IDisposable
{
    private const string DirectoryVariable = "LOCALLLM_TESTS_SPILL_DIRECTORY";
    private const int ContentBytes = 3 << 20;

    private readonly string directory = Directory.CreateTempSubdirectory("spill-faults-").FullName;

    public void Dispose()
    {
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        Directory.Delete(directory, recursive: true);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1 << 20)]
    [InlineData(ContentBytes - 1)]
    public void Write_DiskIsFullInTheMiddle_LeavesNothingAndTheNextIsWritten(int room)
    {
        using (var store = Open())
        {
            store.Write([1, 2, 3], new FullDisk(Content(1), room)).ShouldNotBeNull();
            store.Write([4, 5], new MemoryStream(Content(2)));
        }

        Path.GetFileName(Directory.GetFiles(directory).ShouldHaveSingleItem()).ShouldEndWith(SpillFile.Extension);
        using var again = Open();
        again.Find([1, 2, 3, 4]).ShouldBeNull();
        Read(again, 4, 5).ShouldBe(Content(2));
    }

    [Fact]
    public void Write_DiskIsFull_KeepsTheFileThatItWouldReplace()
    {
        using (var store = Open())
            store.Write([1, 2, 3], new MemoryStream(Content(1)));
        using (var store = Open())
            store.Write([1, 2, 3], new FullDisk(Content(2), 1 << 20));

        using var again = Open();
        Read(again, 1, 2, 3).ShouldBe(Content(1));
    }

    [Fact]
    public void Write_DirectoryIsReadOnly_IsAMissAndLaterOnesAreWritten()
    {
        if (OperatingSystem.IsWindows() || Environment.UserName == "root")
        {
            Assert.Skip("needs a directory that may not be written to: modes do not bind root, and Windows has none");
            return;
        }

        using var store = Open();
        File.SetUnixFileMode(directory, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        var entry = store.Write([1, 2, 3], new MemoryStream(Content(1)));
        while (entry?.Unwritten is not null)
            Thread.Sleep(1);
        store.Count.ShouldBe(0);

        File.SetUnixFileMode(directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        store.Write([4, 5], new MemoryStream(Content(2)));
        Read(store, 4, 5).ShouldBe(Content(2));
    }

    [Fact]
    public void Write_ProcessIsKilled_WhatIsThereIsWhole()
    {
        for (var kill = 0; kill < 3; kill++)
        {
            var before = Directory.GetFiles(directory, "*" + SpillFile.Extension).Length;
            using var child = StartChild();
            while (Directory.GetFiles(directory, "*" + SpillFile.Extension).Length < before + 2 && !child.HasExited)
                Thread.Sleep(1);
            Thread.Sleep(7 * kill);
            child.Kill();
            child.WaitForExit();

            using var store = Open();
            store.Count.ShouldBeGreaterThanOrEqualTo(before + 2);
            for (var number = 0; number < 1000; number++)
            {
                if (store.Find([kill, number, 7]) is var (entry, _))
                    Read(store, entry.Tokens).ShouldBe(Content(number));
            }

            store.Count.ShouldBe(Directory.GetFiles(directory, "*" + SpillFile.Extension).Length, "a file was no use");
        }
    }

    /// <summary>What the child process does; in the parent it is skipped.</summary>
    [Fact]
    public void Child_WritesUntilItIsKilled()
    {
        if (Environment.GetEnvironmentVariable(DirectoryVariable) is not { Length: > 0 } text)
        {
            Assert.Skip("is run by the test that kills it");
            return;
        }

        var (kill, path) = (int.Parse(text[..1], System.Globalization.CultureInfo.InvariantCulture), text[1..]);
        using var store = new SpillStore(path, null, new byte[32], NullLogger.Instance);
        for (var number = 0; number < 1000; number++)
            store.Write([kill, number], new MemoryStream(Content(number)));
    }

    private Process StartChild()
    {
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "LocalLlm.Tests" + (OperatingSystem.IsWindows() ? ".exe" : "")))
        {
            ArgumentList = { "-noLogo", "-method", $"{typeof(SpillFaultTests).FullName}.{nameof(Child_WritesUntilItIsKilled)}" },
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        // What the test platform tells its own processes is not for the child.
        foreach (var name in start.Environment.Keys.Where(n => n.StartsWith("TESTINGPLATFORM_", StringComparison.Ordinal)).ToArray())
            start.Environment.Remove(name);
        start.Environment[DirectoryVariable] = starts++ + directory;
        return Process.Start(start)!;
    }

    private int starts;

    private SpillStore Open() => new(directory, null, new byte[32], NullLogger.Instance);

    private static byte[] Read(SpillStore store, params int[] tokens) =>
        store.Read(store.Find([.. tokens, -1]).ShouldNotBeNull().Entry).ShouldNotBeNull().ToArray();

    private static byte[] Content(int seed)
    {
        var bytes = new byte[ContentBytes];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    /// <summary>A content that the disk has no room for.</summary>
    private sealed class FullDisk(byte[] content, int room) : MemoryStream(content)
    {
        public override int Read(byte[] buffer, int offset, int count) =>
            Position + count > room ? throw new IOException("No space left on device") : base.Read(buffer, offset, count);
    }
}
