using LocalLlm;
using Microsoft.Extensions.AI;

namespace SK.Connectors.LogQuant.Mapping;

/// <summary>From the engine's last update to usage, finish reason and additional properties.</summary>
internal static class ResponseMapper
{
    public static ChatFinishReason FinishReason(FinishReason reason) => reason switch
    {
        LocalLlm.FinishReason.Stop => ChatFinishReason.Stop,
        LocalLlm.FinishReason.Length => ChatFinishReason.Length,
        LocalLlm.FinishReason.ToolCalls => ChatFinishReason.ToolCalls,
        _ => throw new NotSupportedException($"The engine's finish reason {reason} is unknown to this client."),
    };

    /// <summary>One response of all updates of an answer.</summary>
    public static ChatResponse Join(IReadOnlyList<ChatResponseUpdate> updates)
    {
        var response = updates.ToChatResponse();
        var logprobs = updates.SelectMany(Logprobs).ToList();
        // Joining keeps of equal keys the last one's value only.
        if (logprobs.Count > 0 && response.Messages.LastOrDefault() is { } message)
            (message.AdditionalProperties ??= [])[LogQuantMetadata.ContentTokenLogProbabilities] = logprobs;
        // Joining leaves our properties on the message; callers look for them on the response.
        response.AdditionalProperties ??= response.Messages.LastOrDefault()?.AdditionalProperties?.Clone();
        return response;
    }

    private static IEnumerable<TokenLogprob> Logprobs(ChatResponseUpdate update) =>
        update.AdditionalProperties?.GetValueOrDefault(LogQuantMetadata.ContentTokenLogProbabilities) as IEnumerable<TokenLogprob> ?? [];

    public static UsageDetails Usage(GenerationUsage usage) => new()
    {
        InputTokenCount = usage.PromptTokens,
        OutputTokenCount = usage.CompletionTokens,
        TotalTokenCount = (long)usage.PromptTokens + usage.CompletionTokens,
        CachedInputTokenCount = usage.CachedPromptTokens,
        ReasoningTokenCount = usage.ReasoningTokens,
    };

    public static AdditionalPropertiesDictionary Properties(GenerationUsage usage)
    {
        var properties = new AdditionalPropertiesDictionary
        {
            [LogQuantMetadata.CachedPromptTokens] = usage.CachedPromptTokens,
            [LogQuantMetadata.ReasoningTokens] = usage.ReasoningTokens,
            [LogQuantMetadata.KvBytes] = usage.KvBytes,
            [LogQuantMetadata.KvBytesFp16] = usage.KvBytesFp16,
            [LogQuantMetadata.TimeToFirstToken] = usage.TimeToFirstToken,
        };
        // The first token ends the prompt's work; the time of decoding holds the others.
        if (usage.CompletionTokens > 1 && usage.DecodeTime > TimeSpan.Zero)
            properties[LogQuantMetadata.DecodeTokensPerSecond] = (usage.CompletionTokens - 1) / usage.DecodeTime.TotalSeconds;
        return properties;
    }
}
