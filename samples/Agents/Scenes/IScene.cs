using Agents.Conversation;
using Agents.Display;
using Agents.Scoring;

namespace Agents.Scenes;

/// <summary>A conversation with the agent.</summary>
internal interface IScene
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
