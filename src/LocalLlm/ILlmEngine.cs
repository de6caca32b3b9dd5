namespace LocalLlm;

/// <summary>A loaded model that generates text. Safe for concurrent use.</summary>
public interface ILlmEngine : IAsyncDisposable
{
    /// <summary>What is loaded.</summary>
    LlmModelInfo Model { get; }

    /// <summary>
    /// Generates an answer. The request is checked before the first update; cancelling ends it promptly, in the prompt as well. Up to 256 tokens are generated
    /// ahead of whoever reads the updates; then this generation pauses until one is read, and makes way where others need its place or memory.
    /// </summary>
    /// <param name="request">What to generate.</param>
    /// <param name="cancellationToken">Ends the generation with <see cref="OperationCanceledException"/>.</param>
    /// <exception cref="ArgumentException">The request is wrong; the message names the property.</exception>
    /// <exception cref="ContextLengthException">The prompt does not fit the model's context; nothing is truncated.</exception>
    /// <exception cref="LocalLlmException">The engine failed, or was disposed of meanwhile.</exception>
    IAsyncEnumerable<GenerationUpdate> GenerateAsync(GenerationRequest request, CancellationToken cancellationToken = default);

    /// <summary>What the engine is doing now, without waiting for it; null from an engine that does not tell.</summary>
    EngineStatistics? GetStatistics() => null;
}

/// <summary>Facts about a loaded model.</summary>
public sealed record LlmModelInfo
{
    /// <summary>The folder's name, or the name given in the options.</summary>
    public required string ModelId { get; init; }

    /// <summary>The value of <c>architectures[0]</c> in config.json.</summary>
    public required string Architecture { get; init; }

    /// <summary>The most tokens of prompt and output together.</summary>
    public required int ContextTokens { get; init; }

    /// <summary>Weights of the model, tied ones counted once.</summary>
    public required long ParameterCount { get; init; }

    /// <summary>Where it runs: "cpu" or "cuda:0".</summary>
    public required string Device { get; init; }

    /// <summary>
    /// Bits per element of old tokens in the KV cache, scales not counted: those of the pages (2 by default; the more of keys' and values' where
    /// they differ), or the width of the dense type for a cache without pages.
    /// </summary>
    public required int KvBits { get; init; }

    /// <summary>Bytes that one token holds in an uncompressed fp16 KV cache.</summary>
    public required long KvBytesPerTokenFp16 { get; init; }
}

/// <summary>A prompt that does not fit the context.</summary>
public sealed class ContextLengthException : LocalLlmException
{
    /// <summary>Creates an error.</summary>
    public ContextLengthException()
    {
    }

    /// <summary>Creates an error with a message.</summary>
    public ContextLengthException(string message) : base(message)
    {
    }

    /// <summary>Creates an error with a message and its cause.</summary>
    public ContextLengthException(string message, Exception? innerException) : base(message, innerException)
    {
    }

    /// <summary>Creates an error from the figures.</summary>
    public ContextLengthException(int promptTokens, int contextTokens)
        : base($"The prompt has {promptTokens} tokens; the context holds {contextTokens}, and at least one must be left for the answer. "
            + $"Nothing was truncated: shorten the conversation, or raise {nameof(LlmEngineOptions)}.{nameof(LlmEngineOptions.ContextTokens)} "
            + "if the model was trained for more.") =>
        (PromptTokens, ContextTokens) = (promptTokens, contextTokens);

    /// <summary>Tokens of the prompt.</summary>
    public int PromptTokens { get; }

    /// <summary>Tokens that the context holds.</summary>
    public int ContextTokens { get; }
}
