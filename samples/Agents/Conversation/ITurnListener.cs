namespace Agents.Conversation;

/// <summary>Hears of a turn while it happens.</summary>
internal interface ITurnListener
{
    /// <summary>More of what the model thinks before it answers, if it does.</summary>
    void OnReasoning(string delta);

    /// <summary>More of the answer.</summary>
    void OnText(string delta);

    /// <summary>A tool was called and has answered.</summary>
    void OnToolUse(ToolUse use);

    /// <summary>One call of the model has ended.</summary>
    void OnRound(RoundUsage usage);
}
