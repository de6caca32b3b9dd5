namespace Agents.Options;

/// <summary>Arguments that make no sense; the message is one line that says what is wrong and what would be right.</summary>
internal sealed class CommandLineException(string message) : Exception(message);
