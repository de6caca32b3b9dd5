using System.Text.Json;

namespace LocalLlm;

/// <summary>What to generate: a conversation to continue, or a raw prompt.</summary>
public sealed record GenerationRequest
{
    /// <summary>The conversation, oldest turn first; rendered by the model's chat template. Exclusive with <see cref="Prompt"/>.</summary>
    public IReadOnlyList<ChatTurn> Turns { get; init; } = [];

    /// <summary>A raw prompt, encoded as plain text (no control token is recognised in it) after the beginning-of-text token if the model has one.</summary>
    public string? Prompt { get; init; }

    /// <summary>The tools that the model may call, in the order in which the template shows them.</summary>
    public IReadOnlyList<ToolDefinition> Tools { get; init; } = [];

    /// <summary>Whether the answer calls tools; without effect where there are none, but for a required call, which is an error then.</summary>
    public ToolChoice ToolChoice { get; init; } = ToolChoice.Auto;

    /// <summary>Whether one answer may call more than one tool.</summary>
    public bool AllowParallelToolCalls { get; init; } = true;

    /// <summary>What the answer's text must be; null for any text. Tool calls, where they may be made, are not bound by it.</summary>
    public OutputConstraint? Constraint { get; init; }

    /// <summary>Sampling settings; null takes the model's <c>generation_config.json</c>.</summary>
    public SamplingOptions? Sampling { get; init; }

    /// <summary>The most tokens to generate; null for as many as the context and the memory for KV caches hold.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>
    /// Requests of a higher priority start first, and may interrupt those of a lower one, which go on later where they stopped. A request that waits rises by 1 every
    /// 10 seconds, so that each has its turn.
    /// </summary>
    public int Priority { get; init; }

    /// <summary>Texts that end the generation; they are not part of the output.</summary>
    public IReadOnlyList<string> StopSequences { get; init; } = [];

    /// <summary>Variables for the chat template beside the standard ones, for instance <c>enable_thinking</c>.</summary>
    public IReadOnlyDictionary<string, JsonElement> TemplateVariables { get; init; } = new Dictionary<string, JsonElement>();
}

/// <summary>How the next token is chosen from the logits. Null means: the model's own default, else the field's neutral value.</summary>
public sealed record SamplingOptions
{
    /// <summary>Greedy decoding: always the most probable token.</summary>
    public static SamplingOptions Greedy { get; } = new() { Temperature = 0 };

    /// <summary>Divides the logits; 0 is greedy. Range 0 to 100.</summary>
    public float? Temperature { get; init; }

    /// <summary>Keeps the k most probable tokens; 0 keeps all.</summary>
    public int? TopK { get; init; }

    /// <summary>Keeps the fewest most probable tokens whose probabilities sum to at least this. Range (0, 1].</summary>
    public float? TopP { get; init; }

    /// <summary>Keeps tokens at least this probable relative to the most probable one. Range 0 to 1.</summary>
    public float? MinP { get; init; }

    /// <summary>Divides positive and multiplies negative logits of tokens seen in the prompt or the output (CTRL, arXiv 1909.05858); 1 is off.</summary>
    public float? RepetitionPenalty { get; init; }

    /// <summary>Subtracted from a token's logit for each time it was generated. Range -2 to 2.</summary>
    public float? FrequencyPenalty { get; init; }

    /// <summary>Subtracted from a token's logit once it was generated. Range -2 to 2.</summary>
    public float? PresencePenalty { get; init; }

    /// <summary>Makes sampling repeatable; null draws a new seed.</summary>
    public long? Seed { get; init; }
}
