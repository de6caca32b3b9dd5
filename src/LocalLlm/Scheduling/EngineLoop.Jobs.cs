using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace LocalLlm.Scheduling;

/// <summary>Work for the engine thread that is no generation, done in steps.</summary>
internal interface IEngineJob
{
    /// <summary>Does one step; by the engine thread, under inference mode. What it throws ends the job.</summary>
    /// <returns>False once the job is done, and has told its result.</returns>
    bool Step();

    /// <summary>Ends the job with an error and frees what it holds; by the engine thread.</summary>
    void Fail(Exception error);
}

/// <content>Jobs: one step of the oldest between two steps of the sequences, so that neither waits for the other to end.</content>
internal sealed partial class EngineLoop
{
    private readonly ConcurrentQueue<IEngineJob> jobs = new();

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

    /// <returns>False if there was none.</returns>
    private bool RunJob()
    {
        if (!jobs.TryPeek(out var job))
            return false;
        var isDone = true;
        try
        {
            isDone = !job.Step();
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
            jobs.TryDequeue(out _);
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
