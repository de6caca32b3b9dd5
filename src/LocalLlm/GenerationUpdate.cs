namespace LocalLlm;

/// <summary>A part of a generation, in order: any number of deltas and tool calls, then one <see cref="GenerationCompleted"/>.</summary>
public abstract record GenerationUpdate;

/// <summary>More of the answer's text: whole characters, never half of a surrogate pair.</summary>
/// <param name="Text">The new text; never empty.</param>
public sealed record TextDelta(string Text) : GenerationUpdate;

/// <summary>More of the model's reasoning, which is not part of the answer.</summary>
/// <param name="Text">The new text; never empty.</param>
public sealed record ReasoningDelta(string Text) : GenerationUpdate;

/// <summary>A whole tool call.</summary>
/// <param name="Call">The call.</param>
public sealed record ToolCallUpdate(ToolCall Call) : GenerationUpdate;

/// <summary>The end of a generation.</summary>
/// <param name="FinishReason">Why it ended.</param>
/// <param name="Usage">What it used.</param>
public sealed record GenerationCompleted(FinishReason FinishReason, GenerationUsage Usage) : GenerationUpdate;

/// <summary>Why a generation ended.</summary>
public enum FinishReason
{
    /// <summary>The model ended its turn, or a stop sequence was met.</summary>
    Stop,

    /// <summary>The token limit or the context's end was reached.</summary>
    Length,

    /// <summary>The model ended its turn with tool calls.</summary>
    ToolCalls,
}

/// <summary>What a generation used and how long it took.</summary>
public sealed record GenerationUsage
{
    /// <summary>Tokens of the prompt, the cached ones included.</summary>
    public int PromptTokens { get; init; }

    /// <summary>Tokens of the prompt that a retained cache already held.</summary>
    public int CachedPromptTokens { get; init; }

    /// <summary>Tokens sampled, the end token included.</summary>
    public int CompletionTokens { get; init; }

    /// <summary>Tokens sampled inside the reasoning.</summary>
    public int ReasoningTokens { get; init; }

    /// <summary>Bytes that this conversation's KV cache holds at the end: codes, scales, rows, everything.</summary>
    public long KvBytes { get; init; }

    /// <summary>Bytes that the same tokens would hold in an uncompressed fp16 cache.</summary>
    public long KvBytesFp16 { get; init; }

    /// <summary>From the request's arrival until it got a place among the running ones.</summary>
    public TimeSpan QueueTime { get; init; }

    /// <summary>From the request's arrival to the first sampled token.</summary>
    public TimeSpan TimeToFirstToken { get; init; }

    /// <summary>From the first sampled token to the last.</summary>
    public TimeSpan DecodeTime { get; init; }
}
