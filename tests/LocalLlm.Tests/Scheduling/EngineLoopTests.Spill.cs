using System.Runtime.InteropServices;
using LocalLlm.Sessions;
using LocalLlm.Tokenization;

namespace LocalLlm.Tests.Scheduling;

/// <content>Caches that leave memory for the spill directory and come back.</content>
public sealed partial class EngineLoopTests
{
    private string SpillFolder => Path.Combine(folder, "spill");

    [Fact]
    public async Task Spill_OneConversationAfterTheOther_EachComesBackFromItsFile()
    {
        // Nobody runs while a file is read, so that a signal that goes missing would leave the loop asleep.
        using var loop = Loop(prefillChunk: 1000, retained: 1, spillDirectory: SpillFolder);
        var histories = Enumerable.Range(0, 5).Select(i => new string((char)('a' + i), 140)).ToArray();
        for (var turn = 0; turn < 60; turn++)
        {
            for (var i = 0; i < histories.Length; i++)
            {
                var sequence = Submit(loop, histories[i], maxTokens: 2);
                var (text, end) = await ReadAsync(sequence).WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
                text.ShouldBe($"{(char)('b' + i)}{(char)('c' + i)}");
                end.Usage.CachedPromptTokens.ShouldBe(turn == 0 ? 0 : histories[i].Length - 2);
                histories[i] += text + (char)('a' + i);
            }
        }
    }

    [Fact]
    public async Task Spill_Preempted_GoesOnFromItsFileWhichIsThenDeleted()
    {
        using (var loop = Loop(maxSequences: 1, prefillChunk: 1000, retained: 0, spillDirectory: SpillFolder))
        {
            using var gate = new SemaphoreSlim(0);
            beforeStep = _ => gate.Wait();
            var low = Submit(loop, new string('a', 200));
            gate.Release(5);
            while (steps.Count < 6)
                await Task.Delay(1);
            var high = Submit(loop, new string('w', 150), priority: 1);
            gate.Release(1000);

            (await ReadAsync(high)).Text.ShouldBe("xyz");
            (await ReadAsync(low)).Text.ShouldBe("bcdefghijklmnopqrstuvwxyz");
            loop.Preemptions.ShouldBe(1);
        }

        steps.Sum(s => s.Sum()).ShouldBe(200 + 25 + 150 + 3); // each token once
        Directory.GetFiles(SpillFolder).ShouldBeEmpty();
        census.PromptEnds.Order().ShouldBe([150, 200]);
    }

    [Fact]
    public async Task Spill_CacheThatCannotBeSaved_IsLostAndNobodyNotices()
    {
        using var loop = Loop(prefillChunk: 1000, retained: 1, spillDirectory: SpillFolder);
        census.Saving = _ => throw new InvalidOperationException("no copy");
        for (var i = 0; i < 6; i++)
            (await ReadAsync(Submit(loop, new string((char)('a' + i), 140) + "w"))).Text.ShouldBe("xyz");
        Directory.GetFiles(SpillFolder).ShouldBeEmpty();
    }

    [Fact]
    public async Task Spill_CancelledOrDisposedOfWhileReading_LeavesNothing()
    {
        for (var round = 0; round < 20; round++)
        {
            using var loop = Loop(prefillChunk: 1000, retained: 1, spillDirectory: SpillFolder);
            for (var i = 0; i < 4; i++)
                await ReadAsync(Submit(loop, new string((char)('a' + i), 140) + "w"));
            var first = Submit(loop, new string('a', 140) + "wxyzb", maxTokens: 2);
            first.Cancel();
            loop.Wake();
            var second = Submit(loop, new string('b', 140) + "wxyzb", maxTokens: 2);
            if (round % 2 == 0)
                (await ReadAsync(second)).Text.ShouldBe("cd");
        }
    }

    [Fact]
    public async Task Spill_AFileThatTakesLong_KeepsNobodyElseWaiting()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "there are no named pipes in the file system here");
        using var loop = Loop(maxSequences: 2, prefillChunk: 1000, retained: 1, spillDirectory: SpillFolder);
        for (var i = 0; i < 4; i++)
            await ReadAsync(Submit(loop, new string((char)('a' + i), 140) + "w"));
        var file = await FileAsync();
        File.Delete(file);
        mkfifo(file, 0x180).ShouldBe(0); // rw for its owner; who opens it waits for one that writes

        var slow = Submit(loop, new string('a', 140) + "wxyzb", maxTokens: 2);
        foreach (var c in "klm")
            (await ReadAsync(Submit(loop, new string(c, 20)))).Text.ShouldNotBeEmpty();
        slow.HasStarted.ShouldBeFalse();

        await File.WriteAllTextAsync(file, "no cache", TestContext.Current.CancellationToken);
        (await ReadAsync(slow)).Text.ShouldBe("cd");

        // Of the first conversation, once the writer has done its work.
        async Task<string> FileAsync()
        {
            var letter = tokenizer.Encode([new PromptSegment("a", IsTemplate: false)], addBos: false).Single();
            while (true)
            {
                foreach (var path in Directory.GetFiles(SpillFolder, "*" + SpillFile.Extension))
                {
                    using var stream = File.OpenRead(path);
                    if (SpillFile.ReadHeader(stream)!.Tokens[0] == letter)
                        return path;
                }

                await Task.Delay(5, TestContext.Current.CancellationToken);
            }
        }
    }

    [DllImport("libc", SetLastError = true, CharSet = CharSet.Ansi, BestFitMapping = false, ThrowOnUnmappableChar = true)]
    private static extern int mkfifo(string path, uint mode);

    [Fact]
    public async Task Spill_TooLittleMemoryForTheFilesTokens_StaysWithinItAndAnswers()
    {
        using var loop = Loop(maxSequences: 4, prefillChunk: 64, retained: 4, memoryBytes: 480, spillDirectory: SpillFolder);
        await Task.WhenAll(Enumerable.Range(0, 16).Select(async c =>
        {
            var random = new Random(c);
            var history = new string((char)('a' + c), 130 + random.Next(40));
            for (var turn = 0; turn < 8; turn++)
            {
                var maxTokens = 1 + random.Next(9);
                var expected = string.Concat(Enumerable.Range(history[^1] + 1, maxTokens).TakeWhile(x => x <= 'z').Select(x => (char)x));
                var (text, _) = await ReadAsync(Submit(loop, history, maxTokens, priority: random.Next(3))).WaitAsync(TimeSpan.FromSeconds(60));
                text.ShouldBe(expected);
                history += text + (char)('a' + random.Next(26));
            }
        }));

        census.Pool.PeakBytes.ShouldBeLessThanOrEqualTo(480);
        loop.Preemptions.ShouldBeGreaterThan(0);
    }
}
