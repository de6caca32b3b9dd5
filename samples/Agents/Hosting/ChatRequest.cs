using Microsoft.SemanticKernel.ChatCompletion;

namespace Agents.Hosting;

/// <summary>A conversation as the page sends it: everything said before, and the new message.</summary>
/// <param name="History">What was said before, with tool calls and results.</param>
/// <param name="Text">The user's new message.</param>
internal sealed record ChatRequest(ChatHistory History, string Text);

/// <summary>A request that makes no sense; the message says what is wrong, where, and what would be right.</summary>
internal sealed class ChatRequestException(int status, string message) : Exception(message)
{
    /// <summary>The HTTP status that says so.</summary>
    public int Status => status;
}
