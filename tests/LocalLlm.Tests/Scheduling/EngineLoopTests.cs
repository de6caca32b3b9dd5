using LocalLlm.Batching;
using LocalLlm.Interop;
using LocalLlm.Sampling;
using LocalLlm.Sampling.Constraints;
using LocalLlm.Sampling.Constraints.Automata;
using LocalLlm.Scheduling;
using LocalLlm.Sessions;
using LocalLlm.Tokenization;
using Microsoft.Extensions.Logging.Abstractions;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Scheduling;

/// <summary>The loop over a model that counts: after token n comes n + 1, and the last token of the vocabulary ends.</summary>
public sealed partial class EngineLoopTests : IDisposable
{
    private const int Vocabulary = 27; // a to z, and the end
    private const int End = 26;

    private FakeCache.Census census = new();
    private readonly List<int[]> steps = [];
    private readonly string folder = Directory.CreateTempSubdirectory("loop-").FullName;
    private readonly TextTokenizer tokenizer;
    private Action<int[]> beforeStep = _ => { };
    private Action<StepBatch> duringStep = _ => { };
    private int truncatableFrom;
    private Func<TimeSpan> attentionTime = () => TimeSpan.Zero;

    public EngineLoopTests()
    {
        LibTorch.EnsureLoaded();
        var vocabulary = string.Join(", ", Enumerable.Range(0, 26).Select(i => $"\"{(char)('a' + i)}\": {i}"));
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), $$"""
            {"added_tokens": [{"id": 26, "content": "<end>", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}],
             "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}, "post_processor": null,
             "decoder": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": { {{vocabulary}} }, "merges": []} }
            """);
        tokenizer = TextTokenizer.Load(folder);
    }

    public void Dispose()
    {
        Directory.Delete(folder, recursive: true);
        census.Alive.ShouldBe(0, "caches were left behind");
        (census.Pool.UsedBytes, census.Units).ShouldBe((0, 0), "memory was left behind");
    }

    [Fact]
    public async Task Run_OneSequence_CountsToTheEnd()
    {
        using var loop = Loop();

        var (text, end) = await ReadAsync(Submit(loop, "uvw"));

        text.ShouldBe("xyz");
        end.FinishReason.ShouldBe(FinishReason.Stop);
        (end.Usage.PromptTokens, end.Usage.CompletionTokens, end.Usage.CachedPromptTokens).ShouldBe((3, 4, 0));
    }

    [Fact]
    public async Task Run_ManySequences_EachGetsItsOwnAndTheyShareSteps()
    {
        using var loop = Loop();

        var sequences = Enumerable.Range(0, 20).Select(i => Submit(loop, $"{(char)('a' + i)}")).ToList();
        for (var i = 0; i < sequences.Count; i++)
            (await ReadAsync(sequences[i])).Text.ShouldBe(string.Concat(Enumerable.Range('b' + i, 25 - i).Select(c => (char)c)));

        steps.ShouldContain(s => s.Length > 1);
        steps.ShouldAllBe(s => s.Length <= 4);
    }

    [Fact]
    public async Task Run_LongPrompt_IsCutIntoChunks()
    {
        using var loop = Loop(prefillChunk: 8);

        (await ReadAsync(Submit(loop, new string('a', 30) + "y"))).Text.ShouldBe("z");

        steps.Take(4).Select(s => s.Single()).ShouldBe([8, 8, 8, 7]);
    }

    [Fact]
    public async Task Run_PromptInChunks_TellsTheCacheOnceWhereItEnds()
    {
        using var loop = Loop(prefillChunk: 8);

        (await ReadAsync(Submit(loop, new string('a', 18) + "w"))).Text.ShouldBe("xyz");

        census.PromptEnds.ShouldBe([19]);
    }

    [Fact]
    public async Task Run_MaxTokens_EndsWithLength()
    {
        using var loop = Loop();

        var (text, end) = await ReadAsync(Submit(loop, "a", maxTokens: 3));

        (text, end.FinishReason, end.Usage.CompletionTokens).ShouldBe(("bcd", FinishReason.Length, 3));
    }

    [Fact]
    public async Task Run_StopSequence_EndsWithoutItAndCountsItsTokens()
    {
        using var loop = Loop();

        var (text, end) = await ReadAsync(Submit(loop, "a", stops: ["fgh"]));

        (text, end.FinishReason, end.Usage.CompletionTokens).ShouldBe(("bcde", FinishReason.Stop, 7));
    }

    [Fact]
    public async Task Run_FollowUp_ContinuesTheRetainedCache()
    {
        using var loop = Loop();

        await ReadAsync(Submit(loop, "uv"));
        var (text, end) = await ReadAsync(Submit(loop, "uvwxyz" + "ab", maxTokens: 2));

        text.ShouldBe("cd");
        end.Usage.CachedPromptTokens.ShouldBe(6); // u v w x y z; the sampled end was never run
    }

    [Fact]
    public async Task Run_AnswerReplacedInTheFollowUp_GoesBackToThePromptsEnd()
    {
        truncatableFrom = int.MaxValue;
        using var loop = Loop();

        await ReadAsync(Submit(loop, "uv"));
        var (_, end) = await ReadAsync(Submit(loop, "uv" + "aa", maxTokens: 1));

        end.Usage.CachedPromptTokens.ShouldBe(2);
    }

    [Fact]
    public async Task Run_ConversationOfManyTurns_KeepsTwoCachesOnly()
    {
        truncatableFrom = int.MaxValue;
        using var loop = Loop();
        var history = "a";
        for (var turn = 0; turn < 20; turn++)
        {
            var (text, end) = await ReadAsync(Submit(loop, history, maxTokens: 2));
            if (turn > 0)
                end.Usage.CachedPromptTokens.ShouldBe(history.Length - 2);
            history += text + "a";
            census.Alive.ShouldBeLessThanOrEqualTo(2);
        }
    }

    [Fact]
    public async Task Cancel_DuringThePrompt_EndsPromptlyAndFreesTheCache()
    {
        using var loop = Loop(prefillChunk: 1, retained: 0);
        using var started = new SemaphoreSlim(0);
        beforeStep = _ =>
        {
            started.Release();
            Thread.Sleep(1);
        };
        var sequence = Submit(loop, new string('a', 100_000));
        await started.WaitAsync();

        sequence.Cancel();

        await Should.ThrowAsync<OperationCanceledException>(async () => await ReadAsync(sequence));
        (await ReadAsync(Submit(loop, "y"))).Text.ShouldBe("z");
        steps.Count.ShouldBeLessThan(10_000);
    }

    [Fact]
    public async Task Cancel_WhileWaiting_LetsTheOthersGoOn()
    {
        using var loop = Loop(maxSequences: 1);
        using var gate = new ManualResetEventSlim();
        beforeStep = _ => gate.Wait();
        var first = Submit(loop, "a");
        var second = Submit(loop, "a");
        var third = Submit(loop, "y");

        second.Cancel();
        gate.Set();

        await Should.ThrowAsync<OperationCanceledException>(async () => await ReadAsync(second));
        (await ReadAsync(first)).Text.ShouldEndWith("z");
        (await ReadAsync(third)).Text.ShouldBe("z");
    }

    [Fact]
    public async Task Step_Failure_EndsItsSequencesAndNoOthers()
    {
        using var loop = Loop(maxSequences: 1);
        var isFirst = true;
        beforeStep = _ =>
        {
            if (isFirst)
            {
                isFirst = false;
                throw new InvalidOperationException("the kernel burnt");
            }
        };
        var first = Submit(loop, "a");
        var second = Submit(loop, "y");

        (await Should.ThrowAsync<LocalLlmException>(async () => await ReadAsync(first))).Message.ShouldContain("the kernel burnt");
        (await ReadAsync(second)).Text.ShouldBe("z");
    }

    [Fact]
    public async Task Dispose_DuringAGeneration_EndsItWithAnError()
    {
        var loop = Loop();
        using var started = new SemaphoreSlim(0);
        beforeStep = _ =>
        {
            started.Release();
            while (!loop.Statistics().IsStopped)
                Thread.Sleep(1);
        };
        var sequence = Submit(loop, new string('a', 50));
        await started.WaitAsync();

        loop.Dispose();

        (await Should.ThrowAsync<LocalLlmException>(async () => await ReadAsync(sequence))).Message.ShouldContain("disposed");
        Should.Throw<LocalLlmException>(() => Submit(loop, "a"));
    }

    [Fact]
    public async Task Step_OneSequencesNumbersGoWrong_EndsItAloneAndItsNeighboursGoOn()
    {
        // The second sequence's cache refuses its keys in the first step that holds two sequences.
        using var started = new ManualResetEventSlim();
        beforeStep = _ => started.Wait();
        duringStep = batch =>
        {
            if (batch.Slices.Count == 2 && batch.Slices[1].Fault is null)
                batch.Slices[1].Append(0, batch.TokenIds, batch.TokenIds, 0);
        };
        using var loop = Loop();
        var (first, second) = (Submit(loop, "m"), Submit(loop, "c"));
        started.Set();

        (await ReadAsync(first)).Text.ShouldBe("nopqrstuvwxyz");
        (await Should.ThrowAsync<LocalLlmException>(async () => await ReadAsync(second))).Message.ShouldBe(FakeCache.Refusal);
        (await ReadAsync(Submit(loop, "x"))).Text.ShouldBe("yz");
    }

    [Fact]
    public async Task Run_Constraint_GivesATextOfItAndEnds()
    {
        using var loop = Loop();
        var grammar = CompiledGrammar.Create(
            new TextNode(CharDfas.FromStrings(["cow", "owl"])), ConstraintVocabulary.Create(tokenizer, new HashSet<int> { End }, Vocabulary));

        // After n the model wants o, after j it wants k, which is in neither.
        var (n, j, free) = (Submit(loop, "n", constraint: grammar.Start()), Submit(loop, "j", constraint: grammar.Start()), Submit(loop, "w"));

        (await ReadAsync(n)).Text.ShouldBe("owl");
        var (text, end) = await ReadAsync(j);
        (text, end.FinishReason, end.Usage.CompletionTokens).ShouldBe(("cow", FinishReason.Stop, 4));
        (await ReadAsync(free)).Text.ShouldBe("xyz");
    }

    [Fact]
    public async Task Run_ConstraintWithStopAndLimit_AreBothKept()
    {
        using var loop = Loop();
        var grammar = CompiledGrammar.Create(GrammarNode.Literal("cowbell"), ConstraintVocabulary.Create(tokenizer, new HashSet<int> { End }, Vocabulary));

        (await ReadAsync(Submit(loop, "a", stops: ["b"], constraint: grammar.Start()))).Text.ShouldBe("cow");
        (await ReadAsync(Submit(loop, "a", maxTokens: 2, constraint: grammar.Start()))).End.FinishReason.ShouldBe(FinishReason.Length);
    }

    [Fact]
    public async Task Run_ConstraintThatFails_EndsItsSequenceAlone()
    {
        using var loop = Loop();
        // There are no tokens for what comes after the c.
        var grammar = CompiledGrammar.Create(GrammarNode.Literal("c!"), ConstraintVocabulary.Create(tokenizer, new HashSet<int> { End }, Vocabulary));

        var (constrained, free) = (Submit(loop, "a", constraint: grammar.Start()), Submit(loop, "m"));

        (await Should.ThrowAsync<LocalLlmException>(async () => await ReadAsync(constrained))).Message.ShouldContain("none of the model's tokens can spell");
        (await ReadAsync(free)).Text.ShouldBe("nopqrstuvwxyz");
    }

    [Fact]
    public async Task Statistics_DuringAStep_TellWhatRunsAndWaits()
    {
        using var gate = new ManualResetEventSlim();
        using var reached = new SemaphoreSlim(0);
        beforeStep = _ =>
        {
            reached.Release();
            gate.Wait();
        };
        using var loop = Loop(maxSequences: 1, memoryBytes: 4000);
        var sequences = Enumerable.Range(0, 3).Select(_ => Submit(loop, "w", maxTokens: 2)).ToList();
        await reached.WaitAsync();

        var during = loop.Statistics();
        gate.Set();
        foreach (var sequence in sequences)
            (await ReadAsync(sequence)).End.Usage.QueueTime.ShouldBeGreaterThanOrEqualTo(TimeSpan.Zero);
        loop.Dispose();
        var after = loop.Statistics();

        (during.RunningRequests, during.WaitingRequests, during.MaxSequences, during.KvLimitBytes).ShouldBe((1, 2, 1, 4000L));
        during.KvUsedBytes.ShouldBe(4);
        (during.IsStopped, during.Fault).ShouldBe((false, null));
        (after.RunningRequests, after.WaitingRequests, after.GeneratedTokens, after.KvBytes, after.RetainedKvBytes).ShouldBe((0, 0, 6L, 0L, 0L));
        (after.IsStopped, after.Fault).ShouldBe((true, null));
    }

    [Fact]
    public async Task Statistics_LoopFailed_TellTheFault()
    {
        // The clock is asked outside a step, where nothing should fail.
        var clock = new FakeClock();
        using var gate = new ManualResetEventSlim();
        beforeStep = _ => gate.Wait();
        using var loop = Loop(maxSequences: 1, time: clock);
        var sequences = new[] { Submit(loop, "a"), Submit(loop, "a") };
        clock.Failure = new InvalidOperationException("the clock burnt");
        gate.Set();

        foreach (var sequence in sequences)
            await Should.ThrowAsync<LocalLlmException>(async () => await ReadAsync(sequence));

        loop.Statistics().IsStopped.ShouldBeTrue();
        loop.Statistics().Fault.ShouldNotBeNull().ShouldContain("the clock burnt");
    }

    private EngineLoop Loop(int maxSequences = 4, int prefillChunk = 8, int retained = 2, long? memoryBytes = null, int maxQueued = int.MaxValue,
        TimeSpan? maxQueueTime = null, TimeProvider? time = null, string? spillDirectory = null)
    {
        census = new FakeCache.Census(memoryBytes);
        return new EngineLoop(new EngineLoopOptions
        {
            MaxSequences = maxSequences,
            MaxQueuedRequests = maxQueued,
            MaxQueueTime = maxQueueTime,
            Time = time ?? TimeProvider.System,
            PrefillChunkTokens = prefillChunk,
            RetainedConversations = retained,
            Pool = census.Pool,
            CreateCache = () => FakeCache.Create(census, truncatableFrom),
            CacheBytes = FakeCache.BytesFor,
            KeepPromptEnds = truncatableFrom > 0,
            KvBytesPerTokenFp16 = 2,
            Device = CPU,
            AttentionTime = () => attentionTime(),
            Spill = spillDirectory is null ? null : new CacheSpill(
                new SpillStore(spillDirectory, null, new byte[32], NullLogger.Instance),
                (content, tokens) => FakeCache.Load(census, truncatableFrom, content, tokens), (tokens, length) => length >= truncatableFrom, NullLogger.Instance),
        },
        batch =>
        {
            var counts = batch.Slices.Select(s => s.Count).ToArray();
            steps.Add(counts);
            beforeStep(counts);
            duringStep(batch);
            using var next = batch.TokenIds.index_select(0, batch.LogitRows) + 1;
            return nn.functional.one_hot(next, Vocabulary).to(float32);
        },
        tokenizer, NullLogger.Instance);
    }

    private Sequence Submit(
        EngineLoop loop, string prompt, int maxTokens = 1000, string[]? stops = null, int priority = 0, TokenConstraint? constraint = null, int maxUnread = 256)
    {
        var ids = tokenizer.Encode(prompt);
        var sequence = new Sequence(
            new SequenceRequest
            {
                PromptIds = ids,
                ContinuesText = true,
                MaxTokens = maxTokens,
                Priority = priority,
                Sampling = SamplingSettings.Resolve(null, new SamplingOptions()),
                StopSequences = stops ?? [],
                EndIds = new HashSet<int> { End },
                VisibleSpecialIds = new HashSet<int>(),
                Constraint = constraint,
                MaxUnread = maxUnread,
            },
            tokenizer);
        loop.Submit(sequence);
        return sequence;
    }

    private static async Task<(string Text, EndEvent End)> ReadAsync(Sequence sequence)
    {
        var text = "";
        await foreach (var item in sequence.ReadAllAsync())
        {
            if (item is EndEvent end)
                return (text + end.Text, end);
            text += ((TokenEvent)item).Text;
        }

        throw new InvalidOperationException("no end");
    }
}
