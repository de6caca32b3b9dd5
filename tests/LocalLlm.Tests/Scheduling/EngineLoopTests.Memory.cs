using LocalLlm.Scheduling;

namespace LocalLlm.Tests.Scheduling;

public sealed partial class EngineLoopTests
{
    [Fact]
    public async Task Memory_ForOneWholeGeneration_EachEndsAndNoneIsRepeated()
    {
        // Blocks of 4: 24 tokens and a prompt of 1 need 28 of the 40 bytes at their end.
        using var loop = Loop(memoryBytes: 40, retained: 4);

        var sequences = Enumerable.Range(0, 6).Select(_ => Submit(loop, "a", maxTokens: 24)).ToList();
        foreach (var sequence in sequences)
        {
            var (text, end) = await ReadAsync(sequence);
            text.ShouldBe("bcdefghijklmnopqrstuvwxy");
            (end.Usage.CompletionTokens, end.Usage.PromptTokens).ShouldBe((24, 1));
        }

        census.Pool.PeakBytes.ShouldBeLessThanOrEqualTo(40);
    }

    [Fact]
    public async Task Memory_SequencesGrowBeyondIt_TheLatestIsPreemptedAndGoesOn()
    {
        // Two prompts of 80 tokens start side by side in 200 bytes, for 160 + 2 · 20 fit; then they grow.
        using var loop = Loop(memoryBytes: 184, retained: 0, prefillChunk: 1000);
        using var gate = new ManualResetEventSlim();
        beforeStep = _ => gate.Wait();
        var prompt = new string('a', 79);
        var (first, second) = (Submit(loop, prompt + "b", maxTokens: 24), Submit(loop, prompt + "a", maxTokens: 24));
        gate.Set();

        (await ReadAsync(first)).Text.ShouldBe("cdefghijklmnopqrstuvwxyz");
        var (text, end) = await ReadAsync(second);

        text.ShouldBe("bcdefghijklmnopqrstuvwxy");
        (end.Usage.CompletionTokens, end.Usage.CachedPromptTokens).ShouldBe((24, 0));
        loop.Preemptions.ShouldBeGreaterThan(0);
        census.PromptEnds.ShouldAllBe(length => length == 80);
        census.PromptEnds.Count.ShouldBe(3); // the cache of the recomputation is told too
    }

    [Fact]
    public async Task Memory_RetainedCaches_LeaveBeforeAnyoneIsPreempted()
    {
        using var loop = Loop(memoryBytes: 100, retained: 4);
        for (var i = 0; i < 4; i++)
            await ReadAsync(Submit(loop, $"{(char)('a' + i)}{(char)('a' + i)}w"));
        census.Pool.UsedBytes.ShouldBeGreaterThan(16);

        (await ReadAsync(Submit(loop, new string('b', 70), maxTokens: 20))).Text.Length.ShouldBe(20);

        loop.Preemptions.ShouldBe(0);
    }

    [Fact]
    public async Task Memory_ConversationThatFillsIt_ContinuesItsOwnCache()
    {
        // 60 bytes are retained; a fork would share them, and the tail's copy and the growth fit as well. A budget without room for the copy hands the cache over.
        using var loop = Loop(memoryBytes: 64, retained: 4);
        var (text, _) = await ReadAsync(Submit(loop, new string('b', 40) + "u", maxTokens: 3));

        var (_, end) = await ReadAsync(Submit(loop, new string('b', 40) + "u" + text + new string('c', 12), maxTokens: 6));

        end.Usage.CachedPromptTokens.ShouldBe(43);
    }

    [Fact]
    public async Task Memory_PromptThatCanNeverFit_EndsWithTheArithmetic()
    {
        using var loop = Loop(memoryBytes: 40);

        var error = await Should.ThrowAsync<LocalLlmException>(async () => await ReadAsync(Submit(loop, new string('a', 60))));

        error.Message.ShouldContain("needs 64 bytes for 60 tokens and one more");
        (await ReadAsync(Submit(loop, "x"))).Text.ShouldBe("yz");
    }

    [Fact]
    public async Task Memory_NotEnoughForTheNextTokenOfOneAlone_EndsIt()
    {
        using var loop = Loop(memoryBytes: 12, retained: 0);

        // The head that admission wants is cut to the request's own limit, which the encoder checks; here nobody has.
        var sequence = Submit(loop, "a", maxTokens: 8);
        (await ReadAsync(sequence)).Text.ShouldBe("bcdefghi");
        var tooLong = Submit(loop, "a", maxTokens: 24);
        (await Should.ThrowAsync<LocalLlmException>(async () => await ReadAsync(tooLong))).Message.ShouldContain("KvCache.MemoryBytes");
    }

    [Fact]
    public async Task Priority_HigherWhileAllPlacesAreTaken_InterruptsAndTheOtherGoesOn()
    {
        using var loop = Loop(maxSequences: 1);
        using var gate = new SemaphoreSlim(0);
        beforeStep = _ => gate.Wait();
        var low = Submit(loop, "a", priority: 0);
        gate.Release(3); // three tokens
        while (steps.Count < 4)
            await Task.Delay(1);
        var high = Submit(loop, "w", priority: 1);
        gate.Release(1000);

        (await ReadAsync(high)).Text.ShouldBe("xyz");
        (await ReadAsync(low)).Text.ShouldBe("bcdefghijklmnopqrstuvwxyz");
        loop.Preemptions.ShouldBe(1);
    }

    [Fact]
    public async Task Priority_WaitingOnes_StartInTheirOrder()
    {
        using var loop = Loop(maxSequences: 1, retained: 0);
        using var gate = new ManualResetEventSlim();
        beforeStep = _ => gate.Wait();
        var sequences = new[] { ("a", 9), ("aa", 0), ("aaa", 2), ("aaaa", 1), ("aaaaa", 2) }.Select(p => Submit(loop, p.Item1, maxTokens: 1, priority: p.Item2)).ToList();
        gate.Set();

        foreach (var sequence in sequences)
            await ReadAsync(sequence);

        // Which of them was there when the loop first looked is chance; the step says by its length which it was.
        steps.Select(s => s.Single()).Where(length => length != steps[0][0]).ShouldBe(new[] { 1, 3, 5, 4, 2 }.Where(length => length != steps[0][0]));
    }

    [Fact]
    public async Task Queue_Full_IsAnsweredAtOnceAndTakesOthersLater()
    {
        using var loop = Loop(maxSequences: 1, maxQueued: 2);
        using var gate = new ManualResetEventSlim();
        beforeStep = _ => gate.Wait();
        var sequences = Enumerable.Range(0, 3).Select(_ => Submit(loop, "x")).ToList();
        while (loop.Running == 0)
            await Task.Delay(1);

        var error = Should.Throw<EngineBusyException>(() => Submit(loop, "x"));

        (error.Running, error.Waiting).ShouldBe((1, 2));
        error.Message.ShouldContain("1 requests run (MaxSequences is 1) and 2 wait (MaxQueuedRequests is 2)");
        gate.Set();
        foreach (var sequence in sequences)
            (await ReadAsync(sequence)).Text.ShouldBe("yz");
        (await ReadAsync(Submit(loop, "x"))).Text.ShouldBe("yz");
    }

    [Fact]
    public async Task Queue_NoneMayWait_TakesOneAfterTheOther()
    {
        using var loop = Loop(maxSequences: 1, maxQueued: 0);
        for (var i = 0; i < 50; i++)
            (await ReadAsync(Submit(loop, "x"))).Text.ShouldBe("yz");
    }

    [Fact]
    public async Task Queue_WaitTooLong_EndsTheOneThatHasNotStarted()
    {
        var clock = new FakeClock();
        using var loop = Loop(maxSequences: 1, maxQueueTime: TimeSpan.FromSeconds(30), time: clock);
        using var gate = new SemaphoreSlim(0);
        beforeStep = _ => gate.Wait();
        var (first, second) = (Submit(loop, "a"), Submit(loop, "x"));
        while (loop.Running == 0)
            await Task.Delay(1);
        clock.Advance(TimeSpan.FromSeconds(20));
        var third = Submit(loop, "x");
        gate.Release();
        clock.Advance(TimeSpan.FromSeconds(10));
        gate.Release(1000);

        var error = await Should.ThrowAsync<EngineBusyException>(async () => await ReadAsync(second));

        error.Message.ShouldContain("has waited for 00:00:30 (MaxQueueTime)");
        (await ReadAsync(first)).Text.ShouldEndWith("z");
        (await ReadAsync(third)).Text.ShouldBe("yz");
    }

    [Fact]
    public async Task Cancel_WhilePreempted_FreesItAndLetsTheOthersGoOn()
    {
        using var loop = Loop(maxSequences: 1);
        using var gate = new SemaphoreSlim(0);
        beforeStep = _ => gate.Wait();
        var low = Submit(loop, "a");
        gate.Release();
        while (steps.Count < 2)
            await Task.Delay(1);
        var high = Submit(loop, "a", priority: 1);
        gate.Release(5);
        while (loop.Preemptions == 0)
            await Task.Delay(1);

        low.Cancel();
        gate.Release(1000);

        await Should.ThrowAsync<OperationCanceledException>(async () => await ReadAsync(low));
        (await ReadAsync(high)).Text.ShouldEndWith("z");
    }

    [Theory]
    [InlineData(60)]
    [InlineData(100)]
    [InlineData(400)]
    public async Task Memory_ManyTurnsOfManyConversations_EachEqualsTheOneAlone(int memoryBytes)
    {
        using var loop = Loop(maxSequences: 6, memoryBytes: memoryBytes, retained: 3, prefillChunk: 16);
        var conversations = Enumerable.Range(0, 20).Select(async c =>
        {
            var random = new Random(c);
            var history = new string((char)('a' + (c % 20)), 1 + random.Next(8));
            for (var turn = 0; turn < 4 && history.Length < 30; turn++)
            {
                var maxTokens = 1 + random.Next(9);
                var sequence = Submit(loop, history, maxTokens, priority: random.Next(3));
                if (random.Next(5) == 0)
                {
                    sequence.Cancel();
                    loop.Wake();
                    await Should.ThrowAsync<OperationCanceledException>(async () =>
                    {
                        await ReadAsync(sequence);
                        throw new OperationCanceledException(); // it had ended already
                    });
                    continue;
                }

                var expected = string.Concat(Enumerable.Range(history[^1] + 1, maxTokens).TakeWhile(x => x <= 'z').Select(x => (char)x));
                var (text, _) = await ReadAsync(sequence);
                text.ShouldBe(expected);
                history += text + (char)('a' + random.Next(26));
            }
        });
        await Task.WhenAll(conversations);

        census.Pool.PeakBytes.ShouldBeLessThanOrEqualTo(memoryBytes);
    }
}
