namespace Agents.Conversation;

/// <summary>What the agent did about one user message.</summary>
/// <param name="Answer">The text after the last tool call.</param>
/// <param name="Uses">The tool calls, in order.</param>
/// <param name="Rounds">What each call of the model used.</param>
internal sealed record AgentTurn(string Answer, IReadOnlyList<ToolUse> Uses, IReadOnlyList<RoundUsage> Rounds)
{
    /// <summary>The answer was cut off at the token limit.</summary>
    public bool IsCut => Rounds is [.., { FinishReason: "length" }];

    /// <summary>The agent called tools again and again, and was stopped.</summary>
    public bool IsStopped => Rounds is [.., { FinishReason: "tool_calls" }];

    /// <summary>Tokens of the prompt when the turn's first round began: where in the conversation the user's message stands.</summary>
    public int Position => Rounds is [var first, ..] ? first.PromptTokens : 0;
}
