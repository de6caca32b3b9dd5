using Agents.Conversation;
using Agents.Scoring;

namespace Agents.Display;

/// <summary>Shows a conversation while it happens.</summary>
internal interface IConversationView : ITurnListener
{
    /// <summary>Runs a conversation inside the view.</summary>
    Task RunAsync(Func<Task> conversation);

    /// <summary>The user has spoken.</summary>
    void BeginTurn(int number, string userText);

    /// <summary>The agent has answered.</summary>
    void EndTurn(AgentTurn turn, TurnScore score);

    /// <summary>The turn came to nothing; the conversation is as it was before.</summary>
    void AbandonTurn();
}
