using LocalLlm.Scheduling;

namespace LocalLlm.Tests.Scheduling;

/// <content>What the loop tells of itself.</content>
public sealed partial class EngineLoopTests
{
    [Fact]
    public async Task Statistics_FollowUp_TellTokensOfPromptsCachedAndGenerated()
    {
        EngineStatistics statistics;
        using (var loop = Loop())
        {
            await ReadAsync(Submit(loop, "uv")); // w x y z and the end
            await ReadAsync(Submit(loop, "uvwxyz" + "ab", maxTokens: 2));
            loop.Dispose();
            statistics = loop.Statistics();
        }

        (statistics.PromptTokens, statistics.CachedPromptTokens, statistics.CachedTokenRatio).ShouldBe((10, 6, 0.6));
        statistics.GeneratedTokens.ShouldBe(7);
        statistics.Steps.ShouldBe(steps.Count);
    }

    [Fact]
    public async Task Statistics_Preempted_CountsItsPromptOnce()
    {
        using var loop = Loop(maxSequences: 1, retained: 0);
        using var gate = new SemaphoreSlim(0);
        beforeStep = _ => gate.Wait();
        var low = Submit(loop, "a");
        gate.Release(3);
        while (steps.Count < 4)
            await Task.Delay(1);
        var high = Submit(loop, "wx", priority: 1);
        gate.Release(1000);
        await ReadAsync(high);
        await ReadAsync(low);

        loop.Statistics().ShouldSatisfyAllConditions(s => s.Preemptions.ShouldBe(1), s => s.PromptTokens.ShouldBe(3));
    }

    [Fact]
    public async Task Statistics_ForkRuns_TellWhatItShares()
    {
        using var loop = Loop(retained: 1, memoryBytes: 100);
        var (text, _) = await ReadAsync(Submit(loop, "aaaaaaaw")); // 11 tokens in 3 blocks of 4; the end is never run
        EngineStatistics? seen = null;
        beforeStep = _ => seen ??= loop.Statistics();

        await ReadAsync(Submit(loop, "aaaaaaaw" + text + "ab", maxTokens: 1));

        // The third block is written to, so the fork has its own, and a fourth.
        seen.ShouldNotBeNull().ShouldSatisfyAllConditions(
            s => s.SharedKvBytes.ShouldBe(8), s => s.KvUsedBytes.ShouldBe(20), s => s.KvFreeBytes.ShouldBe(80), s => s.KvLimitBytes.ShouldBe(100));
        loop.Statistics().SharedKvBytes.ShouldBe(0, "the turn took the place of the one that it continued");
    }

    [Fact]
    public async Task Statistics_CachesLeaveMemory_TellTheFiles()
    {
        EngineStatistics before, after;
        using (var loop = Loop(prefillChunk: 1000, retained: 1, spillDirectory: SpillFolder))
        {
            before = loop.Statistics();
            for (var i = 0; i < 4; i++)
                await ReadAsync(Submit(loop, new string((char)('a' + i), 140) + "w"));
            loop.Dispose();
            after = loop.Statistics();
        }

        (before.SpilledCaches, before.SpilledKvBytes).ShouldBe((0, 0));
        (after.SpilledCaches, after.SpilledKvBytes).ShouldBe((4, Directory.GetFiles(SpillFolder).Sum(f => new FileInfo(f).Length)));
    }

    [Fact]
    public async Task Statistics_TokensPerSecond_IsThatOfTheWork()
    {
        var clock = new FakeClock();
        var rates = new List<double>();
        EngineLoop? loop = null;
        beforeStep = _ =>
        {
            rates.Add(loop!.Statistics().TokensPerSecond);
            clock.Advance(TimeSpan.FromSeconds(2));
        };
        using (loop = Loop(time: clock))
        {
            await ReadAsync(Submit(loop, "v"));
            loop.Dispose();
            rates.ShouldBe([0, 0.5, 0.5, 0.5, 0.5]);
            loop.Statistics().TokensPerSecond.ShouldBe(0);
        }
    }

    [Fact]
    public async Task Statistics_StepTimes_AreEachOfItsPart()
    {
        // A pause takes at least its time, whatever the machine does.
        var (attention, pause) = (TimeSpan.Zero, TimeSpan.FromMilliseconds(20));
        attentionTime = () => attention;
        beforeStep = _ =>
        {
            Thread.Sleep(4 * pause);
            attention += pause;
        };
        EngineStatistics statistics;
        using (var loop = Loop(prefillChunk: 1000, retained: 1, spillDirectory: SpillFolder))
        {
            census.Committing = () => Thread.Sleep(pause);
            census.Saving = _ => Thread.Sleep(8 * pause); // when an end's cache is retained, and another leaves for it
            for (var i = 0; i < 3; i++)
                await ReadAsync(Submit(loop, new string((char)('a' + i), 140), maxTokens: 1));
            loop.Dispose();
            statistics = loop.Statistics();
        }

        var times = statistics.StepTimes;
        times.Attention.ShouldBe(3 * pause);
        // The clock of pauses is not that of steps, so a tenth less will do.
        times.Model.ShouldBeGreaterThanOrEqualTo(9 * pause * 0.9);
        times.Committing.ShouldBeGreaterThanOrEqualTo(3 * pause * 0.9);
        times.Sampling.ShouldBeGreaterThanOrEqualTo(8 * pause * 0.9);
        times.Planning.ShouldBeGreaterThan(TimeSpan.Zero);
    }
}
