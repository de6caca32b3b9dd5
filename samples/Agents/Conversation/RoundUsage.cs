using Microsoft.Agents.AI;
using Microsoft.Extensions.AI;
using SK.Connectors.LogQuant;

namespace Agents.Conversation;

/// <summary>What one round used: one call of the model, of which a turn with tools makes several.</summary>
internal sealed record RoundUsage
{
    /// <summary>"stop", "length" or "tool_calls".</summary>
    public string FinishReason { get; init; } = "";

    /// <summary>Tokens of the prompt, the cached ones included.</summary>
    public int PromptTokens { get; init; }

    public int CachedPromptTokens { get; init; }

    public int CompletionTokens { get; init; }

    public long KvBytes { get; init; }

    public long KvBytesFp16 { get; init; }

    public TimeSpan TimeToFirstToken { get; init; }

    /// <summary>From the first sampled token to the last.</summary>
    public TimeSpan DecodeTime { get; init; }

    /// <summary>Tokens of the conversation after this round.</summary>
    public int ContextTokens => PromptTokens + CompletionTokens;

    /// <summary>Reads a message's metadata; null if it is not a round's last.</summary>
    public static RoundUsage? From(IReadOnlyDictionary<string, object?>? metadata)
    {
        return metadata?.GetValueOrDefault(LogQuantMetadata.Usage) is UsageDetails usage
            ? From(usage, metadata.GetValueOrDefault(LogQuantMetadata.FinishReason) as string, name => metadata.GetValueOrDefault(name))
            : null;
    }

    /// <summary>Reads an agent's update; null if it is not a round's last.</summary>
    public static RoundUsage? From(AgentResponseUpdate update) => update.Contents.OfType<UsageContent>().FirstOrDefault() is { Details: var usage }
        ? From(usage, update.FinishReason?.Value, name => update.AdditionalProperties?.GetValueOrDefault(name))
        : null;

    private static RoundUsage From(UsageDetails usage, string? finishReason, Func<string, object?> property)
    {
        int completionTokens = (int)(usage.OutputTokenCount ?? 0);
        return new()
        {
            FinishReason = finishReason ?? "",
            PromptTokens = (int)(usage.InputTokenCount ?? 0),
            CompletionTokens = completionTokens,
            CachedPromptTokens = property(LogQuantMetadata.CachedPromptTokens) as int? ?? 0,
            KvBytes = property(LogQuantMetadata.KvBytes) as long? ?? 0,
            KvBytesFp16 = property(LogQuantMetadata.KvBytesFp16) as long? ?? 0,
            TimeToFirstToken = property(LogQuantMetadata.TimeToFirstToken) as TimeSpan? ?? default,
            DecodeTime = property(LogQuantMetadata.DecodeTokensPerSecond) is double and > 0 and var rate
                ? TimeSpan.FromSeconds((completionTokens - 1) / rate)
                : default,
        };
    }
}
