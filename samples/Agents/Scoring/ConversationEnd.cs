namespace Agents.Scoring;

/// <summary>Why a conversation ended.</summary>
internal enum ConversationEnd
{
    /// <summary>The script, or the user, came to the end.</summary>
    Complete,

    /// <summary>The model's context was full.</summary>
    ContextFull,

    /// <summary>Ctrl-C.</summary>
    Cancelled,
}
