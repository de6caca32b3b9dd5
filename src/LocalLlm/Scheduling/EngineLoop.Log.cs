using Microsoft.Extensions.Logging;

namespace LocalLlm.Scheduling;

/// <content>Log messages. None of them holds a prompt's or an answer's text.</content>
internal sealed partial class EngineLoop
{
    [LoggerMessage(Level = LogLevel.Critical, Message = "The engine loop failed; the engine takes no more requests")]
    private static partial void LogLoopFailed(ILogger logger, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The spilled KV caches could not be looked through; the sequence starts without")]
    private static partial void LogReadFailed(ILogger logger, Exception exception);

    [LoggerMessage(Level = LogLevel.Error, Message = "A sequence could not be started")]
    private static partial void LogStartFailed(ILogger logger, Exception exception);

    [LoggerMessage(Level = LogLevel.Error, Message = "Memory for a sequence could not be taken")]
    private static partial void LogReserveFailed(ILogger logger, Exception exception);

    [LoggerMessage(Level = LogLevel.Debug, Message = "A sequence of {Tokens} tokens was preempted: its cache made way, and it will be computed again")]
    private static partial void LogPreempted(ILogger logger, int tokens);

    [LoggerMessage(Level = LogLevel.Error, Message = "A step of {Count} sequences failed")]
    private static partial void LogStepFailed(ILogger logger, Exception exception, int count);

    [LoggerMessage(Level = LogLevel.Error, Message = "A sequence's keys or values cannot be kept")]
    private static partial void LogCommitFailed(ILogger logger, Exception exception);

    [LoggerMessage(Level = LogLevel.Error, Message = "A sequence failed")]
    private static partial void LogSequenceFailed(ILogger logger, Exception exception);
}
