using System.Diagnostics;
using System.Text.Json;

namespace LocalLlm.Fuzz;

/// <summary>One kind of input, made at random: it is taken, or refused with one of the documented errors.</summary>
internal abstract class Fuzzer : IAsyncDisposable
{
    /// <summary>A name for the command line and for messages.</summary>
    public abstract string Name { get; }

    /// <summary>Prepares what all inputs share.</summary>
    public abstract Task OpenAsync(string modelPath);

    /// <summary>Tries one input.</summary>
    /// <param name="random">From which everything about the input follows.</param>
    /// <returns>True if it was taken, false if it was refused.</returns>
    /// <exception cref="Exception">Neither: a fault.</exception>
    public abstract Task<bool> TryAsync(Random random);

    public abstract ValueTask DisposeAsync();

    /// <summary>
    /// Whether an error is one that the engine documents for a wrong input: thrown by the engine itself, with a message of its own.
    /// </summary>
    protected static bool IsRefusal(Exception error) => error switch
    {
        ArgumentException => error.InnerException is null && new StackTrace(error).GetFrame(0)?.GetMethod()?.DeclaringType?.Assembly == typeof(LlmEngine).Assembly,
        LocalLlmException => error.InnerException is null or LocalLlmException or IOException or UnauthorizedAccessException or JsonException or InvalidDataException
            || (error is ChatTemplateException && error.InnerException is InvalidOperationException),
        _ => false,
    };
}
