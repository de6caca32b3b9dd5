using System.Collections.Concurrent;

namespace LocalLlm.Tests.Scheduling;

/// <content>Faults at every stage: those concerned end with an error, what they held is free, and the others go on.</content>
public sealed partial class EngineLoopTests
{
    [Fact]
    public async Task OutOfMemory_WhereAnyBlockIsTaken_EndsThatSequenceAlone()
    {
        // At the start, in a prompt, while decoding, and where the prompt's end is kept.
        truncatableFrom = int.MaxValue;
        for (var allocation = 0; allocation < 30; allocation++)
        {
            using var loop = Loop(prefillChunk: 4, retained: 2);
            using var gate = new ManualResetEventSlim();
            beforeStep = _ => gate.Wait();
            var left = allocation;
            census.Allocating = () =>
            {
                if (left-- == 0)
                    throw new InsufficientMemoryException("no memory left");
            };
            var sequences = new[] { Submit(loop, "caaaaaaaaf"), Submit(loop, "daaag"), Submit(loop, "eh") };
            gate.Set();

            var (errors, texts) = (new List<string>(), new List<string>());
            foreach (var sequence in sequences)
            {
                try
                {
                    texts.Add((await ReadAsync(sequence).WaitAsync(Patience)).Text);
                }
                catch (LocalLlmException e)
                {
                    errors.Add(e.Message);
                }
            }

            errors.Count.ShouldBe(left < 0 ? 1 : 0, $"allocation {allocation}");
            errors.ShouldAllBe(e => e.Contains("no memory left"));
            texts.ShouldBeSubsetOf(["ghijklmnopqrstuvwxyz", "hijklmnopqrstuvwxyz", "ijklmnopqrstuvwxyz"]);
            texts.ShouldBeUnique();
            census.Allocating = () => { };
            (await ReadAsync(Submit(loop, "x")).WaitAsync(Patience)).Text.ShouldBe("yz");
            loop.Statistics().Fault.ShouldBeNull();
        }
    }

    [Fact]
    public async Task OutOfMemory_WhereARetainedCacheGoesBack_FreesThatCache()
    {
        using var loop = Loop(retained: 1, memoryBytes: 38);
        await ReadAsync(Submit(loop, new string('a', 30) + "w"));
        census.Truncating = () => throw new InsufficientMemoryException("no memory left");

        // There is no room for a fork beside it, so the cache itself is to be continued.
        var next = ReadAsync(Submit(loop, new string('a', 30) + "wxu", maxTokens: 1)).WaitAsync(Patience);

        (await Should.ThrowAsync<LocalLlmException>(() => next)).Message.ShouldContain("no memory left");
        (census.Alive, census.Pool.UsedBytes).ShouldBe((0, 0L));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task OutOfMemory_WhereASpilledCacheGoesBack_FreesIt(bool burns)
    {
        using var loop = Loop(prefillChunk: 1000, retained: 1, spillDirectory: SpillFolder);
        for (var i = 0; i < 4; i++)
            await ReadAsync(Submit(loop, new string((char)('a' + i), 140) + "w"));
        if (burns)
            census.Truncating = () => throw new InsufficientMemoryException("no memory left");

        var next = ReadAsync(Submit(loop, new string('a', 140) + "u", maxTokens: 2)).WaitAsync(Patience);

        if (burns)
            (await Should.ThrowAsync<LocalLlmException>(() => next)).Message.ShouldContain("no memory left");
        else
            (await next).End.Usage.CachedPromptTokens.ShouldBe(140);
        loop.Statistics().CacheRestores.ShouldBe(1);
        loop.Dispose();
        census.Alive.ShouldBe(0);
    }

    [Fact]
    public async Task Faults_AtRandomAmongManyInLittleMemory_LeaveEveryOtherAnswerAndNoMemory()
    {
        var failures = 0;
        using var loop = Loop(maxSequences: 5, retained: 3, memoryBytes: 900, spillDirectory: SpillFolder);
        var chance = new Random(5);
        beforeStep = _ => Fail("the kernel burnt");
        census.Allocating = () => Fail("no memory left");
        census.Saving = _ => Fail("no copy");
        var outcomes = new ConcurrentBag<bool>();
        await Task.WhenAll(Enumerable.Range(0, 60).Select(async c =>
        {
            var random = new Random(c);
            var history = new string((char)('a' + (c % 26)), 130 + random.Next(40));
            for (var turn = 0; turn < 6; turn++)
            {
                var maxTokens = 1 + random.Next(9);
                var expected = string.Concat(Enumerable.Range(history[^1] + 1, maxTokens).TakeWhile(x => x <= 'z').Select(x => (char)x));
                var sequence = Submit(loop, history, maxTokens, priority: random.Next(3), maxUnread: 1 + random.Next(4));
                var isCancelled = random.Next(5) == 0;
                if (isCancelled)
                {
                    await Task.Delay(random.Next(3));
                    sequence.Cancel();
                    loop.Wake();
                }

                try
                {
                    (await ReadAsync(sequence).WaitAsync(Patience)).Text.ShouldBe(expected);
                    outcomes.Add(true);
                }
                catch (OperationCanceledException)
                {
                    isCancelled.ShouldBeTrue();
                }
                catch (LocalLlmException e)
                {
                    e.InnerException.ShouldBeOfType<InsufficientMemoryException>();
                    outcomes.Add(false);
                }

                history += expected + (char)('a' + random.Next(26));
            }
        })).WaitAsync(Patience);

        failures.ShouldBeGreaterThan(0);
        outcomes.ShouldContain(true);
        outcomes.ShouldContain(false);
        loop.Statistics().Fault.ShouldBeNull();
        (loop.Running, loop.Waiting).ShouldBe((0, 0));
        loop.Dispose();
        (census.Pool.UsedBytes, census.Pool.IdleBytes, census.Alive, census.Units).ShouldBe((0L, 0L, 0, 0));

        void Fail(string message)
        {
            if (chance.Next(40) != 0)
                return;
            failures++;
            throw new InsufficientMemoryException(message);
        }
    }

    [Fact]
    public async Task Spill_ADirectoryThatTurnsUnusable_CostsTheCachesAndNothingElse()
    {
        using var loop = Loop(prefillChunk: 1000, retained: 1, spillDirectory: SpillFolder);
        Directory.Delete(SpillFolder, recursive: true);
        await File.WriteAllTextAsync(SpillFolder, "not a directory");
        for (var turn = 0; turn < 3; turn++)
        {
            for (var i = 0; i < 5; i++)
                (await ReadAsync(Submit(loop, new string((char)('a' + i), 140 + (8 * turn)) + "w")).WaitAsync(Patience)).Text.ShouldBe("xyz");
        }

        loop.Statistics().Fault.ShouldBeNull();
    }
}
