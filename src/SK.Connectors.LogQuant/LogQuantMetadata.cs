namespace SK.Connectors.LogQuant;

/// <summary>
/// Keys of what the engine reports beside the standard fields: in the <c>AdditionalProperties</c> of Microsoft.Extensions.AI's response and
/// message (the last update's, when streaming), and in the <c>Metadata</c> of Semantic Kernel's messages. The standard fields follow; they
/// are in the metadata only.
/// </summary>
public static class LogQuantMetadata
{
    /// <summary><see cref="int"/>: tokens of the prompt that a retained cache already held.</summary>
    public const string CachedPromptTokens = "CachedPromptTokens";

    /// <summary><see cref="int"/>: tokens sampled inside the reasoning.</summary>
    public const string ReasoningTokens = "ReasoningTokens";

    /// <summary><see cref="long"/>: bytes that the conversation's KV cache holds at the end.</summary>
    public const string KvBytes = "KvBytes";

    /// <summary><see cref="long"/>: bytes that the same tokens would hold in an uncompressed fp16 cache.</summary>
    public const string KvBytesFp16 = "KvBytesFp16";

    /// <summary><see cref="TimeSpan"/>: from the request's arrival to the first sampled token.</summary>
    public const string TimeToFirstToken = "TimeToFirstToken";

    /// <summary><see cref="double"/>: tokens per second after the first; absent when fewer than two were sampled.</summary>
    public const string DecodeTokensPerSecond = "DecodeTokensPerSecond";

    /// <summary>
    /// A list (<see cref="IReadOnlyList{T}"/>) of <see cref="LocalLlm.TokenLogprob"/>, if log probabilities were asked for: all sampled tokens but the
    /// one that ends the turn, those of reasoning and tool calls among them. A streamed part carries those sampled since the part before; joined, the
    /// parts' lists are the whole answer's.
    /// </summary>
    public const string ContentTokenLogProbabilities = "ContentTokenLogProbabilities";

    /// <summary><see cref="string"/>: the answer's id.</summary>
    public const string Id = "Id";

    /// <summary><see cref="DateTimeOffset"/>: when the answer began.</summary>
    public const string CreatedAt = "CreatedAt";

    /// <summary><see cref="string"/>: the model that answered.</summary>
    public const string ModelId = "ModelId";

    /// <summary><see cref="string"/>: "stop", "length" or "tool_calls"; null in a streamed part that is not a round's last.</summary>
    public const string FinishReason = "FinishReason";

    /// <summary><c>Microsoft.Extensions.AI.UsageDetails</c>; null in a streamed part that is not a round's last.</summary>
    public const string Usage = "Usage";
}
