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
