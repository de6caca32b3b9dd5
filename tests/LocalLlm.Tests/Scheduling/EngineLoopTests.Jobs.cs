using LocalLlm.KvCache;
using LocalLlm.Scheduling;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Scheduling;

/// <content>Embeddings beside sequences, in the same memory.</content>
public sealed partial class EngineLoopTests
{
    [Fact]
    public async Task Job_LongTextsAndSequencesInLittleMemory_AllEndWithinIt()
    {
        // A text takes 60 of 100 bytes from its beginning to its end, a sequence up to 28.
        using var loop = Loop(memoryBytes: 100, retained: 4);
        var sequences = Enumerable.Range(0, 8).Select(_ => Submit(loop, "a", maxTokens: 24)).ToList();
        var jobs = Enumerable.Range(0, 6).Select(_ => Embed(loop, texts: 3, length: 60)).ToList();

        foreach (var sequence in sequences)
            (await ReadAsync(sequence)).Text.ShouldBe("bcdefghijklmnopqrstuvwxy");
        foreach (var job in jobs)
            (await job.Result).ShouldAllBe(vector => vector.Length == 1 && vector[0] == 60);

        census.Pool.PeakBytes.ShouldBeLessThanOrEqualTo(100);
    }

    [Fact]
    public async Task Job_HoldsTheMemoryOfASequenceThatRunsAlone_TheSequenceWaits()
    {
        using var loop = Loop(memoryBytes: 100, retained: 0, prefillChunk: 1000);
        using var gate = new SemaphoreSlim(0);
        beforeStep = _ => gate.Wait();
        // It begins with few tokens; once the text is half done there is no room for more than forty.
        var sequence = Submit(loop, new string('a', 37) + "a", maxTokens: 24);
        var job = Embed(loop, texts: 1, length: 60, stepTokens: 1);
        gate.Release(10_000);

        (await ReadAsync(sequence)).Text.ShouldBe("bcdefghijklmnopqrstuvwxy");
        (await job.Result).Single()[0].ShouldBe(60);
        loop.Preemptions.ShouldBe(0);
    }

    [Fact]
    public async Task Job_BesideAReaderWhoIsBehind_GetsItsMemory()
    {
        using var loop = Loop(memoryBytes: 100, retained: 0);
        var slow = Submit(loop, new string('a', 60), maxUnread: 2);
        await PausedAsync(loop, 1);

        (await Embed(loop, texts: 2, length: 60).Result.WaitAsync(Patience)).ShouldAllBe(vector => vector[0] == 60);
        (await ReadAsync(slow).WaitAsync(Patience)).Text.ShouldBe("bcdefghijklmnopqrstuvwxyz");
    }

    [Fact]
    public async Task Job_WaitsInVain_RetainedCachesStay()
    {
        using var loop = Loop(memoryBytes: 100, retained: 2, prefillChunk: 1000);
        await ReadAsync(Submit(loop, "abcw"));
        using var gate = new SemaphoreSlim(0);
        beforeStep = _ => gate.Wait();
        var sequence = Submit(loop, new string('b', 60) + "a", maxTokens: 20);
        gate.Release(2);
        while (gate.CurrentCount > 0)
            await Task.Delay(1);
        var job = Embed(loop, texts: 1, length: 60); // not even without the retained ones
        var before = steps.Count;
        gate.Release(4);
        while (steps.Count < before + 4)
            await Task.Delay(1);

        var next = Submit(loop, "abcwxyz" + "a", maxTokens: 1);
        gate.Release(10_000);
        (await ReadAsync(next)).End.Usage.CachedPromptTokens.ShouldBeGreaterThan(0);
        await ReadAsync(sequence);
        (await job.Result).Single()[0].ShouldBe(60);
    }

    [Fact]
    public async Task Job_AmongSequencesThatKeepComing_GetsItsTurn()
    {
        var clock = new FakeClock();
        using var loop = Loop(maxSequences: 2, memoryBytes: 100, retained: 0, time: clock);
        using var stop = new CancellationTokenSource();
        beforeStep = _ => Thread.Sleep(1); // the clients are faster
        // Two at a time hold up to 56 of the 100 bytes, and others wait always.
        var clients = Enumerable.Range(0, 12).Select(_ => Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
                (await ReadAsync(Submit(loop, "a", maxTokens: 24))).Text.ShouldBe("bcdefghijklmnopqrstuvwxy");
        })).ToList();
        while (loop.Running < 2 || loop.Waiting == 0)
            await Task.Delay(1);
        var job = Embed(loop, texts: 1, length: 98); // needs all of it
        for (var i = 0; i < 20; i++)
        {
            await Task.Delay(1);
            clock.Advance(TimeSpan.FromSeconds(1));
        }

        (await job.Result.WaitAsync(Patience)).Single()[0].ShouldBe(98);
        await stop.CancelAsync();
        await Task.WhenAll(clients).WaitAsync(Patience);
    }

    [Fact]
    public async Task Job_NeedsMoreThanThereIs_IsAClearErrorAndOthersGoOn()
    {
        using var loop = Loop(memoryBytes: 100, retained: 2);
        var sequence = Submit(loop, "a", maxTokens: 24);
        var job = Embed(loop, texts: 1, length: 120);

        (await Should.ThrowAsync<LocalLlmException>(() => job.Result)).Message.ShouldContain("KvCache.MemoryBytes (100 bytes)");
        (await ReadAsync(sequence)).Text.ShouldBe("bcdefghijklmnopqrstuvwxy");
        (await ReadAsync(Submit(loop, "y"))).Text.ShouldBe("z");
    }

    [Fact]
    public async Task Job_FailsBetweenItsSteps_GivesItsMemoryBack()
    {
        using (var loop = Loop(memoryBytes: 100, retained: 0))
        {
            using var cancellation = new CancellationTokenSource();
            var ran = 0;
            var job = Embed(loop, texts: 1, length: 60, stepTokens: 1, during: () =>
            {
                if (++ran == 3)
                    cancellation.Cancel();
            }, cancellation.Token);

            await Should.ThrowAsync<OperationCanceledException>(() => job.Result);
            (await ReadAsync(Submit(loop, new string('a', 80) + "w"))).Text.ShouldBe("xyz");
        }

        census.Alive.ShouldBe(0);
        census.Pool.UsedBytes.ShouldBe(0);
    }

    // Each text's vector is its number of tokens.
    private EmbeddingJob Embed(EngineLoop loop, int texts, int length, int stepTokens = 16, Action? during = null, CancellationToken cancellationToken = default)
    {
        var job = new EmbeddingJob(
            [.. Enumerable.Range(0, texts).Select(_ => new int[length])], isMean: false,
            new EmbeddingJobOptions
            {
                StepTokens = stepTokens,
                CreateCache = () => FakeCache.Create(census),
                Hidden = batch =>
                {
                    during?.Invoke();
                    return (batch.Positions.index_select(0, batch.LogitRows) + 1).unsqueeze(1).to(float32);
                },
                Device = CPU,
            },
            cancellationToken);
        loop.Submit(job);
        return job;
    }
}
