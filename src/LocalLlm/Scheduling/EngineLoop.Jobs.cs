using System.Collections.Concurrent;
using LocalLlm.KvCache;
using Microsoft.Extensions.Logging;

namespace LocalLlm.Scheduling;

/// <summary>Work for the engine thread that is no generation, done in steps.</summary>
internal interface IEngineJob
{
    /// <summary>
    /// True while it holds memory of the pool. It takes all that it needs before it begins something, so that it always gets on and gives it back.
    /// </summary>
    bool HoldsMemory { get; }

    /// <summary>Does one step; by the engine thread, under inference mode. What it throws ends the job.</summary>
    /// <param name="tryReserve">Takes the memory with which a cache reaches a length; false where it has to wait for it.</param>
    JobProgress Step(Func<IKvCache, int, bool> tryReserve);

    /// <summary>Ends the job with an error and frees what it holds; by the engine thread.</summary>
    void Fail(Exception error);
}

/// <summary>How far a job has come.</summary>
internal enum JobProgress
{
    /// <summary>There is more to do.</summary>
    Going,

    /// <summary>It waits for memory that others hold, and holds none.</summary>
    Waiting,

    /// <summary>It is done, and has told its result.</summary>
    Done,
}

/// <content>Jobs: one step of the oldest between two steps of the sequences, so that neither waits for the other to end.</content>
internal sealed partial class EngineLoop
{
    private readonly ConcurrentQueue<IEngineJob> jobs = new();
    private long? jobWaitingSince; // for memory

    /// <summary>Queues a job.</summary>
    /// <exception cref="LocalLlmException">The engine has stopped.</exception>
    public void Submit(IEngineJob job)
    {
        lock (stateLock)
        {
            if (stopped is not null)
                throw new LocalLlmException(stopped.Message, stopped);
            jobs.Enqueue(job);
        }

        work.Release();
    }

    /// <summary>True while memory is held that no preemption brings back, but the next steps do.</summary>
    private bool JobHoldsMemory => jobs.TryPeek(out var job) && job.HoldsMemory;

    /// <summary>True where the oldest job has waited for memory so long that nobody else may take it first.</summary>
    private bool IsJobOverdue => jobWaitingSince is { } since && options.Time.GetElapsedTime(since) >= AdmissionPolicy.AgeingInterval;

    /// <returns>False if there was none.</returns>
    private bool RunJob()
    {
        if (!jobs.TryPeek(out var job))
            return false;
        var isDone = true;
        try
        {
            var progress = job.Step((cache, length) => memory.TryReserveBeside(cache, length, running));
            jobWaitingSince = progress == JobProgress.Waiting ? jobWaitingSince ?? options.Time.GetTimestamp() : null;
            if (progress == JobProgress.Waiting && running.Find(s => s.IsPaused) is { } paused)
                Preempt(paused);
            else if (progress == JobProgress.Waiting && running.Count == 0)
                throw new LocalLlmException($"The text needs more memory than KvCache.MemoryBytes ({options.Pool.LimitBytes:N0} bytes) leaves. Raise it or split the text.");
            isDone = progress == JobProgress.Done;
        }
        catch (OperationCanceledException e)
        {
            job.Fail(e);
        }
        catch (Exception e)
        {
            LogJobFailed(logger, e);
            job.Fail(Failure(e));
        }

        if (isDone)
        {
            jobWaitingSince = null;
            jobs.TryDequeue(out _);
        }

        return true;
    }

    private void FailJobs(Exception error)
    {
        while (jobs.TryDequeue(out var job))
            job.Fail(error);
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "An embedding failed")]
    private static partial void LogJobFailed(ILogger logger, Exception exception);
}
