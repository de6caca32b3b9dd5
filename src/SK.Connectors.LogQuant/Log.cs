using Microsoft.Extensions.Logging;

namespace SK.Connectors.LogQuant;

/// <summary>Log messages; contents of conversations are logged by Microsoft.Extensions.AI's logging client alone, at Trace.</summary>
internal static partial class Log
{
    [LoggerMessage(1, LogLevel.Warning,
        "The additional property '{Name}' is unknown to this client and has no effect. "
        + "It knows {MinP}, {RepetitionPenalty}, {TemplateVariables}, {Json}, {Regex} and {Choice}.")]
    public static partial void UnknownOption(
        ILogger logger, string name, string minP, string repetitionPenalty, string templateVariables, string json, string regex, string choice);

    [LoggerMessage(3, LogLevel.Warning, "{Rounds} rounds of tool calls have been made for one request; no tools are offered any more.")]
    public static partial void RoundLimitReached(ILogger logger, int rounds);

    [LoggerMessage(4, LogLevel.Warning, "{Depth} automatic tool calls are nested in each other; no tools are offered any more.")]
    public static partial void DepthLimitReached(ILogger logger, int depth);

    [LoggerMessage(5, LogLevel.Debug, "Calling {Function} (call {Index} of {Count} in round {Round}).")]
    public static partial void CallingFunction(ILogger logger, string function, int index, int count, int round);

    [LoggerMessage(6, LogLevel.Warning, "The call of {Function} failed; the model gets the error as its result.")]
    public static partial void FunctionFailed(ILogger logger, Exception? exception, string function);

    [LoggerMessage(7, LogLevel.Information, "Loading the model in '{Path}'.")]
    public static partial void LoadingModel(ILogger logger, string path);
}
