namespace LocalLlm.Interop;

/// <summary>libtorch could not be loaded; the message says what was tried, where, and the fix.</summary>
public sealed class LibTorchLoadException : LocalLlmException
{
    /// <summary>Creates an error.</summary>
    public LibTorchLoadException()
    {
    }

    /// <summary>Creates an error with a message.</summary>
    public LibTorchLoadException(string message) : base(message)
    {
    }

    /// <summary>Creates an error with a message and its cause.</summary>
    public LibTorchLoadException(string message, Exception? innerException) : base(message, innerException)
    {
    }
}
