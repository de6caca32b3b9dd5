using LocalLlm.Scheduling;

namespace LocalLlm.Tests.Scheduling;

/// <content>Readers that are slow: their own sequences pause, the others go on.</content>
public sealed partial class EngineLoopTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task SlowReader_FarBehind_PausesItsSequenceAlone()
    {
        using var loop = Loop();
        var slow = Submit(loop, "a", maxUnread: 5);
        await PausedAsync(loop, 1);

        (await ReadAsync(Submit(loop, "a")).WaitAsync(Patience)).Text.ShouldBe("bcdefghijklmnopqrstuvwxyz");
        (slow.SampledTokens, loop.Statistics().PausedRequests).ShouldBe((5, 1));

        var (text, end) = await ReadAsync(slow).WaitAsync(Patience);
        (text, end.Usage.CompletionTokens).ShouldBe(("bcdefghijklmnopqrstuvwxyz", 26));
        loop.Preemptions.ShouldBe(0); // nobody wanted its place
    }

    [Fact]
    public async Task SlowReader_WhoTakesThePlaceOfAnother_MakesWayAndGoesOn()
    {
        using var loop = Loop(maxSequences: 1, retained: 0);
        var slow = Submit(loop, "a", priority: 5, maxUnread: 3);
        await PausedAsync(loop, 1);

        (await ReadAsync(Submit(loop, "m")).WaitAsync(Patience)).Text.ShouldBe("nopqrstuvwxyz");
        var waits = loop.Statistics();
        (waits.RunningRequests, waits.WaitingRequests, waits.Preemptions).ShouldBe((0, 1, 1L));
        census.Alive.ShouldBe(0);

        (await ReadAsync(slow).WaitAsync(Patience)).Text.ShouldBe("bcdefghijklmnopqrstuvwxyz");
    }

    [Fact]
    public async Task SlowReader_OfHighPriority_TakesThePlaceBackOnceItsReaderHasReadHalf()
    {
        using var loop = Loop(maxSequences: 1, retained: 0);
        var slow = Submit(loop, "a", priority: 5, maxUnread: 8);
        await PausedAsync(loop, 1);
        var other = Submit(loop, new string('a', 2000) + "a", maxTokens: 20);
        await using var reader = slow.ReadAllAsync().GetAsyncEnumerator();
        while (loop.Statistics().Preemptions == 0)
            await Task.Delay(1);

        // Three are read, one after the other, while the other one computes its long prompt: no reason to take turns.
        for (var i = 0; i < 3; i++)
            (await reader.MoveNextAsync()).ShouldBeTrue();
        await Task.Delay(20);
        loop.Preemptions.ShouldBe(1);

        (await ReadAsync(other).WaitAsync(Patience)).Text.ShouldBe("bcdefghijklmnopqrstu");
        var text = "bcd";
        while (await reader.MoveNextAsync())
            text += reader.Current is TokenEvent token ? token.Text : ((EndEvent)reader.Current).Text;
        text.ShouldBe("bcdefghijklmnopqrstuvwxyz");
    }

    [Fact]
    public async Task SlowReader_WhoHoldsMemory_MakesWayToThoseThatGrow()
    {
        using var loop = Loop(retained: 0, memoryBytes: 200);
        var slow = Submit(loop, new string('a', 100), maxUnread: 2);
        await PausedAsync(loop, 1);

        // It starts beside the paused one, older and of a higher priority, and fits no more when it grows.
        var next = Submit(loop, "a" + new string('c', 90) + "a", priority: -1);
        (await ReadAsync(next).WaitAsync(Patience)).Text.ShouldBe("bcdefghijklmnopqrstuvwxyz");
        loop.Preemptions.ShouldBe(1);
        (await ReadAsync(slow).WaitAsync(Patience)).Text.ShouldBe("bcdefghijklmnopqrstuvwxyz");
    }

    [Fact]
    public async Task SlowReader_BeforeOneThatCanNeverFit_TheErrorDoesNotWaitForTheReader()
    {
        using var loop = Loop(retained: 0, memoryBytes: 200);
        var slow = Submit(loop, "a", maxUnread: 2);
        await PausedAsync(loop, 1);

        var large = ReadAsync(Submit(loop, new string('b', 300))).WaitAsync(Patience);
        (await Should.ThrowAsync<LocalLlmException>(() => large)).Message.ShouldContain("KvCache.MemoryBytes is 200");
        (await ReadAsync(slow).WaitAsync(Patience)).Text.ShouldBe("bcdefghijklmnopqrstuvwxyz");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Cancel_WhilePaused_EndsItAndFreesItsMemory(bool isPreempted)
    {
        using var loop = Loop(maxSequences: 1, retained: 0);
        var slow = Submit(loop, "a", maxUnread: 2);
        await PausedAsync(loop, 1);
        if (isPreempted)
            await ReadAsync(Submit(loop, "y")).WaitAsync(Patience);

        slow.Cancel();
        loop.Wake();

        await Should.ThrowAsync<OperationCanceledException>(() => ReadAsync(slow).WaitAsync(Patience));
        (census.Alive, loop.Running, loop.Waiting).ShouldBe((0, 0, 0));
        (await ReadAsync(Submit(loop, "x")).WaitAsync(Patience)).Text.ShouldBe("yz");
    }

    [Fact]
    public async Task Dispose_WhilePaused_EndsItWithAnErrorAfterWhatIsUnread()
    {
        var loop = Loop();
        var slow = Submit(loop, "a", maxUnread: 2);
        await PausedAsync(loop, 1);

        loop.Dispose();

        var read = 0;
        (await Should.ThrowAsync<LocalLlmException>(async () =>
        {
            await foreach (var _ in slow.ReadAllAsync())
                read++;
        })).Message.ShouldContain("disposed");
        read.ShouldBe(2);
    }

    [Fact]
    public async Task Reader_Cancelled_IsToldBeforeWhatIsUnread()
    {
        using var loop = Loop();
        using var source = new CancellationTokenSource();
        var sequence = Submit(loop, "a");
        var read = 0;
        await Should.ThrowAsync<OperationCanceledException>(async () =>
        {
            await foreach (var _ in sequence.ReadAllAsync(source.Token))
            {
                read++;
                while (!sequence.HasEnded)
                    await Task.Delay(1);
                await source.CancelAsync();
            }
        });
        read.ShouldBe(1);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(7)]
    public async Task SlowReaders_ManyInLittleMemory_NoneIsLostAndNoneWaitsForEver(int maxUnread)
    {
        using var loop = Loop(maxSequences: 3, retained: 1, memoryBytes: 120);
        await Task.WhenAll(Enumerable.Range(0, 200).Select(i => Task.Run(async () =>
        {
            var random = new Random(i);
            var sequence = Submit(loop, new string((char)('a' + (i % 3)), 1 + random.Next(40)), priority: random.Next(3), maxUnread: maxUnread);
            var text = "";
            await foreach (var item in sequence.ReadAllAsync())
            {
                text += item is EndEvent end ? end.Text : ((TokenEvent)item).Text;
                if (random.Next(10) == 0)
                    await Task.Delay(random.Next(3));
            }

            text.ShouldBe("bcdefghijklmnopqrstuvwxyz"[(i % 3)..]);
        }))).WaitAsync(Patience);
        (loop.Running, loop.Waiting).ShouldBe((0, 0));
    }

    private static async Task PausedAsync(EngineLoop loop, int count)
    {
        while (loop.Statistics().PausedRequests != count)
            await Task.Delay(1, TestContext.Current.CancellationToken);
    }
}
