using Agents.Display;
using Agents.Scenes;
using Agents.Scoring;

namespace Agents.Conversation;

/// <summary>A user who talks to one agent.</summary>
internal interface IConversation
{
    /// <summary>What the agent is told first.</summary>
    string SystemPrompt { get; }

    /// <summary>Holds the conversation.</summary>
    /// <param name="session">The agent, with an empty conversation.</param>
    /// <param name="board">Gets every turn.</param>
    /// <param name="terminal">Where to show it.</param>
    /// <param name="interrupt">Ctrl-C.</param>
    Task<ConversationEnd> RunAsync(AgentSession session, Scoreboard board, Terminal terminal, Interrupt interrupt);
}
