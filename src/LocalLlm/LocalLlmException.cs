namespace LocalLlm;

/// <summary>An error of the engine. Its message says what was got, what the limit is, which option rules it and what to do.</summary>
public class LocalLlmException : Exception
{
    /// <summary>Creates an error.</summary>
    public LocalLlmException()
    {
    }

    /// <summary>Creates an error with a message.</summary>
    public LocalLlmException(string message) : base(message)
    {
    }

    /// <summary>Creates an error with a message and its cause.</summary>
    public LocalLlmException(string message, Exception? innerException) : base(message, innerException)
    {
    }
}

/// <summary>A model folder that cannot be loaded; lists everything that is wrong with it.</summary>
public sealed class ModelLoadException : LocalLlmException
{
    /// <summary>Creates an error without a list.</summary>
    public ModelLoadException() => Errors = [];

    /// <summary>Creates an error with one entry.</summary>
    public ModelLoadException(string message) : base(message) => Errors = [message];

    /// <summary>Creates an error with one entry and its cause.</summary>
    public ModelLoadException(string message, Exception? innerException) : base(message, innerException) => Errors = [message];

    /// <summary>Creates an error from all that is wrong with the folder <paramref name="path"/>.</summary>
    public ModelLoadException(string path, IReadOnlyList<string> errors)
        : base($"The model folder '{path}' cannot be loaded:{string.Concat(errors.Select(e => "\n  - " + e))}") => Errors = errors;

    /// <summary>Everything that is wrong, one entry each.</summary>
    public IReadOnlyList<string> Errors { get; }
}

/// <summary>A chat template that is wrong, that this engine cannot run, or that refused its input.</summary>
public sealed class ChatTemplateException : LocalLlmException
{
    /// <summary>Creates an error.</summary>
    public ChatTemplateException()
    {
    }

    /// <summary>Creates an error with a message.</summary>
    public ChatTemplateException(string message) : base(message)
    {
    }

    /// <summary>Creates an error with a message and its cause.</summary>
    public ChatTemplateException(string message, Exception? innerException) : base(message, innerException)
    {
    }

    /// <summary>Creates an error at a place of the template; the message names it.</summary>
    public ChatTemplateException(string message, int line, int column) : base($"{message} (line {line}, column {column})") =>
        (Line, Column) = (line, column);

    /// <summary>The line of the template, from 1; 0 if unknown.</summary>
    public int Line { get; }

    /// <summary>The column of the line, from 1; 0 if unknown.</summary>
    public int Column { get; }
}
