using System.Collections.Concurrent;
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

    /// <summary>The most prompt tokens of a step.</summary>
    public required int PrefillChunkTokens { get; init; }

    /// <summary>Conversations whose caches are retained.</summary>
    public required int RetainedConversations { get; init; }

    /// <summary>Bytes for all caches; null for no limit.</summary>
    public required long? MemoryBytes { get; init; }

    /// <summary>An empty cache.</summary>
    public required Func<IKvCache> CreateCache { get; init; }

    /// <summary>Bytes of a cache at its largest, up to a length.</summary>
    public required Func<int, long> CacheBytes { get; init; }

    /// <summary>True where a cache may be unable to go back to the prompt's end, so that a copy is kept there.</summary>
    public required bool KeepPromptEnds { get; init; }

    /// <summary>Bytes of a token in an uncompressed fp16 cache.</summary>
    public required long KvBytesPerTokenFp16 { get; init; }

    /// <summary>Where the batch's tensors live.</summary>
    public required Device Device { get; init; }
}

/// <summary>
/// The one thread that touches tensors. Each turn of the loop is a step: take in requests, plan, run the packed batch, commit, sample, publish.
/// A failed step ends the sequences in it and no others.
/// </summary>
internal sealed partial class EngineLoop : IDisposable
{
    private readonly EngineLoopOptions options;
    private readonly StepForward forward;
    private readonly TextTokenizer tokenizer;
    private readonly ILogger logger;
    private readonly ConcurrentQueue<Sequence> incoming = new();
    private readonly Queue<Sequence> waiting = new();
    private readonly List<Sequence> running = [];
    private readonly SemaphoreSlim work = new(0);
    private readonly PrefixIndex retained;
    private readonly Thread thread;
    private readonly Lock stateLock = new();
    private readonly LoopCounters counters = new();
    private Exception? stopped;
    private string? fault;
    private long reservedBytes;
    private int sequencesCounted;
    private long cachesCounted;

    public EngineLoop(EngineLoopOptions options, StepForward forward, TextTokenizer tokenizer, ILogger logger)
    {
        (this.options, this.forward, this.tokenizer, this.logger) = (options, forward, tokenizer, logger);
        // Two for each conversation: the end of its last prompt and the end of its last turn.
        retained = new PrefixIndex((int)Math.Min(int.MaxValue, 2L * options.RetainedConversations));
        thread = new Thread(Run) { IsBackground = true, Name = "LocalLlm engine" };
        thread.Start();
    }

    /// <summary>Queues a sequence; its events tell the rest.</summary>
    /// <exception cref="LocalLlmException">The engine has stopped.</exception>
    public void Submit(Sequence sequence)
    {
        lock (stateLock)
        {
            if (stopped is not null)
                throw new LocalLlmException(stopped.Message, stopped);
            incoming.Enqueue(sequence);
        }

        work.Release();
    }

    /// <summary>What the loop is doing; from any thread.</summary>
    public EngineStatistics Statistics()
    {
        var statistics = counters.Read();
        lock (stateLock)
        {
            return statistics with
            {
                // Those that the loop has not seen yet wait as well.
                WaitingRequests = statistics.WaitingRequests + incoming.Count,
                MaxSequences = options.MaxSequences,
                KvLimitBytes = options.MemoryBytes,
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
                if (running.Count > 0)
                    Step();
                else if (!hasJob)
                    work.Wait();
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

        while (incoming.TryDequeue(out var sequence))
            waiting.Enqueue(sequence);
        foreach (var sequence in waiting.Concat(running).ToList())
            End(sequence, stopped!);
        FailJobs(stopped!);
        waiting.Clear();
        retained.Dispose();
        Count();
    }

    /// <summary>
    /// Publishes what runs, waits and is held. Adding up the caches takes time, so between steps of the same number of
    /// sequences that is done ten times a second.
    /// </summary>
    private void Count()
    {
        counters.SetRequests(running.Count, waiting.Count);
        var now = Environment.TickCount64;
        if (running.Count > 0 && running.Count == sequencesCounted && now - cachesCounted < 100)
            return;
        (sequencesCounted, cachesCounted) = (running.Count, now);
        var bytes = 0L;
        foreach (var sequence in running)
            bytes += sequence.Cache?.Bytes ?? 0;
        counters.SetCaches(bytes, reservedBytes, retained.Bytes, retained.Count);
    }

    /// <summary>Drops cancelled sequences and starts waiting ones, in order of arrival, while there is room.</summary>
    private void Admit()
    {
        while (incoming.TryDequeue(out var sequence))
            waiting.Enqueue(sequence);
        foreach (var sequence in running.Where(s => s.IsCancelled).ToList())
            End(sequence, new OperationCanceledException());
        while (waiting.TryPeek(out var next) && (next.IsCancelled || (running.Count < options.MaxSequences && TryReserve(next))))
        {
            waiting.Dequeue();
            if (next.IsCancelled)
                End(next, new OperationCanceledException());
            else
                Start(next);
        }
    }

    /// <summary>Sets bytes aside for the sequence at its longest; retained caches make room for it.</summary>
    private bool TryReserve(Sequence sequence)
    {
        var bytes = options.CacheBytes(sequence.Request.PromptIds.Length + sequence.Request.MaxTokens);
        if (options.MemoryBytes is { } limit && reservedBytes + bytes > limit)
            return false;
        sequence.ReservedBytes = bytes;
        reservedBytes += bytes;
        return true;
    }

    private void Start(Sequence sequence)
    {
        running.Add(sequence);
        sequence.MarkStarted();
        try
        {
            if (retained.Lend(sequence.Request.PromptIds) is var (cache, source))
                (sequence.Cache, sequence.Source, sequence.CachedPromptTokens) = (cache, source, cache.Length);
            else
                sequence.Cache = options.CreateCache();
            TrimRetained();
        }
        catch (Exception e)
        {
            LogStartFailed(logger, e);
            End(sequence, Failure(e));
        }
    }

    private void Step()
    {
        var demands = running.ConvertAll(s => new SequenceDemand(s.PendingTokens, s.IsPrompt));
        var counts = StepPlanner.Plan(CollectionsMarshal.AsSpan(demands), options.PrefillChunkTokens);
        var planned = running.Zip(counts).Where(p => p.Second > 0).Select(p => (Sequence: p.First, Count: p.Second)).ToList();
        try
        {
            using var scope = NewDisposeScope();
            var (batch, sampling) = Pack(planned);
            using var logits = forward(batch);
            foreach (var (slice, (sequence, _)) in batch.Slices.Zip(planned))
                CommitOrEnd(slice, sequence);
            using var host = logits.to(float32).cpu().contiguous();
            var values = MemoryMarshal.Cast<byte, float>(host.bytes);
            var vocabulary = sampling.Count == 0 ? 0 : values.Length / sampling.Count;
            for (var row = 0; row < sampling.Count; row++)
            {
                if (running.Contains(sampling[row]))
                    Advance(sampling[row], values.Slice(row * vocabulary, vocabulary));
            }
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
        if (slice.Fault is null)
        {
            slice.Cache.Commit(slice.Plan);
            return;
        }

        LogCommitFailed(logger, slice.Fault);
        End(sequence, slice.Fault);
    }

    /// <summary>Builds the batch; the sequences whose last pending token is in it want logits, in the order of the rows.</summary>
    private (StepBatch Batch, List<Sequence> Sampling) Pack(List<(Sequence Sequence, int Count)> planned)
    {
        var rows = planned.Sum(p => p.Count);
        var (ids, positions) = (new long[rows], new long[rows]);
        var logitRows = new List<long>();
        var sampling = new List<Sequence>();
        var slices = new List<StepSlice>();
        var row = 0;
        foreach (var (sequence, count) in planned)
        {
            var length = sequence.Cache!.Length;
            slices.Add(new StepSlice(sequence.Cache, row, count, sequence.Cache.PlanAppend(count)));
            for (var i = 0; i < count; i++, row++)
                (ids[row], positions[row]) = (sequence.Tokens[length + i], length + i);
            if (count == sequence.PendingTokens)
            {
                logitRows.Add(row - 1);
                sampling.Add(sequence);
            }
        }

        var batch = new StepBatch(tensor(ids, device: options.Device), tensor(positions, device: options.Device),
            tensor(logitRows.ToArray(), dtype: int64, device: options.Device), slices);
        return (batch, sampling);
    }

    /// <summary>Samples a sequence's next token and ends the sequence if it is the last. A failure here concerns this sequence only.</summary>
    private void Advance(Sequence sequence, Span<float> logits)
    {
        try
        {
            if (sequence.SampledTokens == 0)
                sequence.Cache!.EndPrompt();
            if (options.KeepPromptEnds && options.RetainedConversations > 0 && sequence.SampledTokens == 0)
                sequence.PromptEnd = retained.Retain([.. sequence.Tokens], sequence.Cache!.Fork());
            var end = sequence.SampleNext(logits, tokenizer);
            counters.CountToken();
            if (end is { } reason)
            {
                sequence.Complete(reason, options.KvBytesPerTokenFp16);
                RetainTurn(sequence);
                Remove(sequence);
            }

            TrimRetained();
        }
        catch (Exception e)
        {
            LogSequenceFailed(logger, e);
            End(sequence, Failure(e));
        }
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
        if (sequence.Source is { } source && source != entry && source != entry.PromptEnd)
        {
            if (source.PromptEnd is { } older && older != entry.PromptEnd)
                retained.Drop(older);
            retained.Drop(source);
        }
    }

    private void TrimRetained()
    {
        while (options.MemoryBytes is { } limit && reservedBytes + retained.Bytes > limit && retained.DropOldest())
        {
        }
    }

    private void End(Sequence sequence, Exception error)
    {
        sequence.Fault(error);
        Remove(sequence);
    }

    private void Remove(Sequence sequence)
    {
        running.Remove(sequence);
        reservedBytes -= sequence.ReservedBytes;
        sequence.ReservedBytes = 0;
        sequence.Cache?.Dispose();
        sequence.Cache = null;
    }

    private static LocalLlmException Failure(Exception error) =>
        error as LocalLlmException ?? new LocalLlmException("The generation failed in the engine: " + error.Message, error);
}
