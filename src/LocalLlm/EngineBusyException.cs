namespace LocalLlm;

/// <summary>The engine has more requests than its options let wait. Nothing of the request was computed; it can be made again later.</summary>
public sealed class EngineBusyException : LocalLlmException
{
    /// <summary>Creates the exception with a message.</summary>
    public EngineBusyException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with a message and a cause.</summary>
    public EngineBusyException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }

    /// <summary>Creates the exception.</summary>
    public EngineBusyException()
        : this("The engine has too many requests.")
    {
    }

    /// <summary>Creates the exception.</summary>
    /// <param name="message">What happened and what to do.</param>
    /// <param name="running">Requests that ran at that moment.</param>
    /// <param name="waiting">Requests that waited.</param>
    public EngineBusyException(string message, int running, int waiting)
        : base(message) => (Running, Waiting) = (running, waiting);

    /// <summary>Requests that ran at that moment.</summary>
    public int Running { get; }

    /// <summary>Requests that waited.</summary>
    public int Waiting { get; }
}
