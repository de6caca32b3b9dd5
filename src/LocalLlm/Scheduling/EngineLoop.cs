using System.Runtime.InteropServices;
using LocalLlm.Batching;
using LocalLlm.KvCache;
using LocalLlm.Sessions;
using LocalLlm.Tokenization;
using Microsoft.Extensions.Logging;
using static TorchSharp.torch;

namespace LocalLlm.Scheduling;

/// <summary>Runs the packed tokens of a step through the model.</summary>
/// <returns>[L, vocabulary] float32, the logits of the batch's wanted rows.</returns>
internal delegate Tensor StepForward(StepBatch batch);

/// <summary>What the loop needs to know of the model and the caches.</summary>
internal sealed record EngineLoopOptions
{
    /// <summary>Sequences that run side by side.</summary>
    public required int MaxSequences { get; init; }

    /// <summary>Sequences that may wait beside those that run or could.</summary>
    public int MaxQueuedRequests { get; init; } = int.MaxValue;

    /// <summary>For how long a sequence may wait for its start; null for no limit.</summary>
    public TimeSpan? MaxQueueTime { get; init; }

    /// <summary>The clock of the queue.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>The most prompt tokens of a step.</summary>
    public required int PrefillChunkTokens { get; init; }

    /// <summary>Conversations whose caches are retained.</summary>
    public required int RetainedConversations { get; init; }

    /// <summary>The memory of all caches; the loop disposes of it.</summary>
    public required KvPool Pool { get; init; }

    /// <summary>An empty cache, of the pool's memory.</summary>
    public required Func<IKvCache> CreateCache { get; init; }

    /// <summary>The most bytes that a cache takes on its way to a length.</summary>
    public required Func<int, long> CacheBytes { get; init; }

    /// <summary>True where a cache may be unable to go back to the prompt's end, so that a copy is kept there.</summary>
    public required bool KeepPromptEnds { get; init; }

    /// <summary>Bytes of a token in an uncompressed fp16 cache.</summary>
    public required long KvBytesPerTokenFp16 { get; init; }

    /// <summary>Where the batch's tensors live.</summary>
    public required Device Device { get; init; }

    /// <summary>Time that the model has spent in attention so far.</summary>
    public Func<TimeSpan> AttentionTime { get; init; } = static () => TimeSpan.Zero;

    /// <summary>Where caches go that leave memory; null to lose them. The loop disposes of it.</summary>
    public CacheSpill? Spill { get; init; }
}

/// <summary>
/// The one thread that touches tensors. Each turn of the loop is a step: take in requests, plan, reserve memory, run the packed batch, commit, sample, publish.
/// A failed step ends the sequences in it and no others. Where memory runs out, retained caches leave, then a sequence is preempted: it waits, and goes on later
/// from the tokens that it has.
/// </summary>
internal sealed partial class EngineLoop : IDisposable
{
    private readonly EngineLoopOptions options;
    private readonly StepForward forward;
    private readonly TextTokenizer tokenizer;
    private readonly ILogger logger;
    private readonly SequenceQueue queue;
    private readonly List<Sequence> running = [];
    private readonly SemaphoreSlim work = new(0);
    private readonly PrefixIndex retained;
    private readonly SequenceMemory memory;
    private readonly StepBuilder builder;
    private readonly Thread thread;
    private readonly Lock stateLock = new();
    private readonly LoopCounters counters;
    private Exception? stopped;
    private int unfinished; // sequences that were submitted and have not ended
    private int runningCount;
    private long steps;
    private string? fault;
    private int sequencesCounted;
    private long cachesCounted;

    public EngineLoop(EngineLoopOptions options, StepForward forward, TextTokenizer tokenizer, ILogger logger)
    {
        (this.options, this.forward, this.tokenizer, this.logger) = (options, forward, tokenizer, logger);
        // Two for each conversation: the end of its last prompt and the end of its last turn.
        Action<RetainedCache>? leaving = options.Spill is { } spill ? entry => _ = spill.Save(entry.Tokens, entry.Cache) : null;
        retained = new PrefixIndex((int)Math.Min(int.MaxValue, 2L * options.RetainedConversations), leaving);
        queue = new SequenceQueue(options.Time);
        counters = new LoopCounters(options.Time);
        memory = new SequenceMemory(options.Pool, retained, options.CreateCache, options.CacheBytes, options.Spill);
        builder = new StepBuilder(options.PrefillChunkTokens, options.Device);
        thread = new Thread(Run) { IsBackground = true, Name = "LocalLlm engine" };
        thread.Start();
    }

    /// <summary>Sequences that run now.</summary>
    public int Running => Volatile.Read(ref runningCount);

    /// <summary>Sequences that wait now.</summary>
    public int Waiting => queue.Count;

    /// <summary>Times that a sequence was preempted.</summary>
    public long Preemptions => counters.Preemptions;

    /// <summary>Queues a sequence; its events tell the rest.</summary>
    /// <exception cref="EngineBusyException">The queue is full.</exception>
    /// <exception cref="LocalLlmException">The engine has stopped.</exception>
    public void Submit(Sequence sequence)
    {
        lock (stateLock)
        {
            if (stopped is not null)
                throw new LocalLlmException(stopped.Message, stopped);
            if (unfinished >= (long)options.MaxSequences + options.MaxQueuedRequests)
            {
                throw new EngineBusyException($"The engine's queue is full: {Running} requests run (MaxSequences is {options.MaxSequences}) and {Waiting} wait "
                    + $"(MaxQueuedRequests is {options.MaxQueuedRequests}). Try again later, or raise MaxQueuedRequests.", Running, Waiting);
            }

            unfinished++;
            sequence.ReaderCaughtUp = Wake;
            queue.Arrive(sequence);
        }

        work.Release();
    }

    /// <summary>What the loop is doing; from any thread.</summary>
    public EngineStatistics Statistics()
    {
        var statistics = counters.Read();
        var (spilledCaches, spilledBytes) = options.Spill?.Held ?? default;
        lock (stateLock)
        {
            return statistics with
            {
                RunningRequests = Running,
                WaitingRequests = Waiting,
                MaxSequences = options.MaxSequences,
                KvLimitBytes = options.Pool.LimitBytes,
                KvUsedBytes = options.Pool.UsedBytes,
                CacheSpills = options.Spill?.Saved ?? 0,
                CacheRestores = options.Spill?.Loaded ?? 0,
                SharedKvBytes = options.Pool.SharedBytes,
                SpilledCaches = spilledCaches,
                SpilledKvBytes = spilledBytes,
                IsStopped = stopped is not null,
                Fault = fault,
            };
        }
    }

    /// <summary>Wakes the loop, for instance after a cancellation.</summary>
    public void Wake() => work.Release();

    /// <summary>Stops the thread after the step under way; unfinished sequences end with an error.</summary>
    public void Dispose()
    {
        Stop(new LocalLlmException("The engine was disposed of before the generation ended."));
        work.Release();
        if (Thread.CurrentThread != thread)
            thread.Join();
    }

    private void Stop(Exception reason)
    {
        lock (stateLock)
            stopped ??= reason;
    }

    private void Run()
    {
        try
        {
            using var inference = inference_mode();
            while (stopped is null)
            {
                Admit();
                Count();
                var hasJob = RunJob();
                if (running.Exists(s => !s.IsPaused))
                    Step();
                else if (hasJob)
                    counters.Rest();
                else
                    AwaitWork();
            }
        }
        catch (Exception e)
        {
            // Outside a step nothing should fail; if it does, nobody may be left waiting.
            LogLoopFailed(logger, e);
            var failure = new LocalLlmException("The engine failed and takes no more requests: " + e.Message, e);
            lock (stateLock)
                fault ??= failure.Message;
            Stop(failure);
        }

        queue.Collect();
        foreach (var sequence in queue.RemoveAll(_ => true).Concat(running).ToList())
            End(sequence, stopped!);
        FailJobs(stopped!);
        retained.Dispose();
        options.Spill?.Dispose();
        options.Pool.Dispose();
        Count();
        counters.Rest();
    }

    /// <summary>Waits for something to do. What was signalled while sequences ran is one signal, not as many idle turns of the loop.</summary>
    private void AwaitWork()
    {
        counters.Rest();
        do
            work.Wait();
        while (work.CurrentCount > 0);
        counters.BeginRate();
    }

    /// <summary>
    /// Publishes what runs, waits and is held. Adding up the caches takes time, so between steps of the same number of
    /// sequences that is done ten times a second.
    /// </summary>
    private void Count()
    {
        counters.SetPaused(running.Count(s => s.IsPaused) + queue.Paused);
        var now = Environment.TickCount64;
        if (running.Count > 0 && running.Count == sequencesCounted && now - cachesCounted < 100)
            return;
        (sequencesCounted, cachesCounted) = (running.Count, now);
        var bytes = 0L;
        foreach (var sequence in running)
            bytes += sequence.Cache?.Bytes ?? 0;
        counters.SetCaches(bytes, SequenceMemory.PromisedBytes(running), retained.Bytes, retained.Count);
    }

    private static RunningRequest[] Requests(List<Sequence> sequences) =>
        [.. sequences.Select(s => new RunningRequest(s.Request.Priority, s.Arrival, s.IsPaused))];

    /// <summary>Takes a sequence's cache away; it waits with all its tokens, and goes on where it stopped once they are computed again.</summary>
    private void Preempt(Sequence sequence)
    {
        LogPreempted(logger, sequence.Tokens.Count);
        counters.CountPreemption();
        memory.Spill(sequence);
        Release(sequence);
        queue.Return(sequence);
    }

    /// <summary>
    /// Takes the memory that a step needs, for the oldest of the highest priority first. Whoever cannot get it, or has to make way, is preempted; the last one waits where a
    /// job has it.
    /// </summary>
    /// <returns>Those of the planned sequences that can run.</returns>
    private List<(Sequence Sequence, int Count)> Reserve(List<(Sequence Sequence, int Count)> planned)
    {
        foreach (var (sequence, count) in planned.OrderByDescending(p => p.Sequence.Request.Priority).ThenBy(p => p.Sequence.Arrival).ToList())
        {
            try
            {
                while (sequence.Cache is { } cache && !memory.TryReserve(cache, cache.Length + count))
                {
                    var victim = PreemptionPolicy.Victim(Requests(running));
                    if (victim < 0 && JobHoldsMemory)
                    {
                        planned.RemoveAll(p => p.Sequence == sequence);
                        break;
                    }

                    if (victim < 0)
                    {
                        throw new LocalLlmException($"The KV cache of this request needs {cache.GrowthBytes(cache.Length + count):N0} bytes more than the {cache.Bytes:N0} that it holds; "
                            + $"KvCache.MemoryBytes is {options.Pool.LimitBytes:N0}. Raise it or lower MaxTokens.");
                    }

                    Preempt(running[victim]);
                }
            }
            catch (Exception e)
            {
                LogReserveFailed(logger, e);
                End(sequence, Failure(e));
            }
        }

        // Generated tokens come first in the batch.
        return [.. planned.Where(p => p.Sequence.Cache is not null).OrderByDescending(p => p.Sequence.IsGenerated)];
    }

    private void Step()
    {
        var clock = new StepClock();
        // A reader that is behind holds up its own sequence alone.
        var active = running.FindAll(s => !s.IsPaused);
        var demands = active.ConvertAll(builder.Demand);
        var counts = StepPlanner.Plan(CollectionsMarshal.AsSpan(demands), options.PrefillChunkTokens);
        var planned = Reserve([.. active.Zip(counts).Where(p => p.Second > 0)]);
        if (planned.Count == 0)
            return; // all of them were preempted for those that this step left out, or wait
        try
        {
            using var scope = NewDisposeScope();
            var (batch, sampling) = builder.Pack(planned, ++steps);
            var (planning, attendedBefore) = (clock.Lap(), options.AttentionTime());
            using var logits = forward(batch);
            var (model, attention) = (clock.Lap(), options.AttentionTime() - attendedBefore);
            foreach (var (slice, (sequence, _)) in batch.Slices.Zip(planned))
                CommitOrEnd(slice, sequence);
            var committing = clock.Lap();
            using var host = logits.to(float32).cpu().contiguous();
            var values = MemoryMarshal.Cast<byte, float>(host.bytes);
            model += clock.Lap();
            var vocabulary = sampling.Count == 0 ? 0 : values.Length / sampling.Count;
            for (var row = 0; row < sampling.Count; row++)
            {
                if (running.Contains(sampling[row]))
                    Advance(sampling[row], values.Slice(row * vocabulary, vocabulary));
            }

            counters.CountStep(planning, attention, model - attention, committing, clock.Lap());
        }
        catch (Exception e)
        {
            // A step is a transaction: whoever was in it has an unfinished cache and ends here; nobody else notices.
            LogStepFailed(logger, e, planned.Count);
            foreach (var (sequence, _) in planned.Where(p => running.Contains(p.Sequence)))
                End(sequence, Failure(e));
        }
    }

    /// <summary>A sequence whose own numbers went wrong ends alone; its neighbours' rows do not depend on it.</summary>
    private void CommitOrEnd(StepSlice slice, Sequence sequence)
    {
        try
        {
            if (slice.Fault is not null)
                throw slice.Fault;
            slice.Cache.Commit(slice.Plan);
            if (slice.Cache.Length == sequence.Request.PromptIds.Length)
                slice.Cache.EndPrompt();
        }
        catch (LocalLlmException e)
        {
            LogCommitFailed(logger, e);
            End(sequence, e);
        }
    }

    /// <summary>Samples a sequence's next token and ends the sequence if it is the last. A failure here concerns this sequence only.</summary>
    private void Advance(Sequence sequence, Span<float> logits)
    {
        try
        {
            if (sequence.Request.MaxTokens == 0)
            {
                Finish(sequence, FinishReason.Length);
                return;
            }

            if (options.KeepPromptEnds && options.RetainedConversations > 0 && sequence.SampledTokens == 0 && memory.TryFork(sequence.Cache!) is { } copy)
                sequence.PromptEnd = retained.Retain([.. sequence.Tokens], copy);
            var end = sequence.SampleNext(logits, tokenizer);
            counters.CountToken();
            if (end is { } reason)
                Finish(sequence, reason);
        }
        catch (Exception e)
        {
            LogSequenceFailed(logger, e);
            End(sequence, Failure(e));
        }
    }

    private void Finish(Sequence sequence, FinishReason reason)
    {
        // Whoever reads the end finds the sequence's memory and its place in the queue free.
        var (bytes, tokens) = (sequence.Cache!.Bytes, sequence.Cache.Length);
        if (sequence.Request.SaveName is { } name)
            sequence.Saved = options.Spill!.Save(sequence.Tokens, sequence.Cache, name);
        RetainTurn(sequence);
        Remove(sequence);
        sequence.Complete(reason, bytes, options.KvBytesPerTokenFp16 * tokens);
    }

    /// <summary>Hands the finished sequence's cache to the index; it takes the place of the turn that it continued.</summary>
    private void RetainTurn(Sequence sequence)
    {
        if (options.RetainedConversations == 0)
            return;
        var cache = sequence.Cache!;
        sequence.Cache = null;
        var entry = retained.Retain(sequence.Tokens[..cache.Length], cache);
        entry.PromptEnd = sequence.PromptEnd;
        // Another conversation that only begins alike stays, and so does what this one may have to go back to.
        if (sequence.Source is not { } source || source == entry || source == entry.PromptEnd || !PrefixIndex.IsBeginning(source, entry))
            return;
        if (sequence.Request.MaxTokens == 0)
            entry.PromptEnd = source.PromptEnd;
        else if (source.PromptEnd is { } older && older != entry.PromptEnd)
            retained.Drop(older);
        retained.Drop(source);
    }

    private void End(Sequence sequence, Exception error)
    {
        Remove(sequence);
        sequence.Fault(error);
    }

    private void Remove(Sequence sequence)
    {
        Release(sequence);
        if (sequence.HasEnded)
            return;
        sequence.HasEnded = true;
        lock (stateLock)
            unfinished--;
    }

    private void Release(Sequence sequence)
    {
        running.Remove(sequence);
        Volatile.Write(ref runningCount, running.Count);
        sequence.Cache?.Dispose();
        sequence.Cache = null;
        SequenceMemory.StopReading(sequence);
    }

    private static LocalLlmException Failure(Exception error) =>
        error as LocalLlmException ?? new LocalLlmException("The generation failed in the engine: " + error.Message, error);
}
