namespace LocalLlm;

/// <summary>
/// An output constraint, or a tool's schema, that cannot be enforced: it is wrong, contradicts itself, or uses keywords that are not supported.
/// All that is wrong is named at once, each with its place (a JSON pointer into the schema). Thrown before anything is generated.
/// </summary>
public sealed class ConstraintException : LocalLlmException
{
    /// <summary>Creates an error.</summary>
    public ConstraintException()
    {
    }

    /// <summary>Creates an error with a message.</summary>
    public ConstraintException(string message) : base(message)
    {
    }

    /// <summary>Creates an error with a message and its cause.</summary>
    public ConstraintException(string message, Exception? innerException) : base(message, innerException)
    {
    }

    /// <summary>Creates an error from all that is wrong.</summary>
    /// <param name="subject">What cannot be enforced, for instance "The response format's schema".</param>
    /// <param name="problems">What is wrong, at least one entry.</param>
    public ConstraintException(string subject, IReadOnlyList<string> problems) : base($"{subject} cannot be enforced: {string.Join("; ", problems)}.") =>
        Problems = problems;

    /// <summary>What is wrong, an entry each.</summary>
    public IReadOnlyList<string> Problems { get; } = [];
}
