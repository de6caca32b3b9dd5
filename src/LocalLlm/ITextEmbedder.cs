namespace LocalLlm;

/// <summary>An engine that turns texts into vectors: the model's hidden states after its last norm, pooled over a text. Safe for concurrent use.</summary>
public interface ITextEmbedder
{
    /// <summary>Numbers of a vector: the model's hidden size.</summary>
    int EmbeddingDimensions { get; }

    /// <summary>Embeds texts, side by side with each other and with generations.</summary>
    /// <param name="texts">The texts; no control token is recognised in them. Each gets what the tokenizer's files ask for before and after a text.</param>
    /// <param name="options">How to pool; null for the defaults.</param>
    /// <param name="cancellationToken">Ends the work before its next step, with <see cref="OperationCanceledException"/>.</param>
    /// <exception cref="ArgumentException">A text or an option is wrong; the message names it.</exception>
    /// <exception cref="ContextLengthException">A text does not fit; the message says which. Nothing is truncated.</exception>
    /// <exception cref="LocalLlmException">The engine failed, or was disposed of meanwhile.</exception>
    Task<EmbeddingResult> EmbedAsync(IReadOnlyList<string> texts, EmbeddingOptions? options = null, CancellationToken cancellationToken = default);
}

/// <summary>Vectors of texts.</summary>
/// <param name="Vectors">One for each text, in order.</param>
/// <param name="PromptTokens">Tokens of all texts together.</param>
public sealed record EmbeddingResult(IReadOnlyList<ReadOnlyMemory<float>> Vectors, int PromptTokens);

/// <summary>How texts become vectors.</summary>
public sealed record EmbeddingOptions
{
    /// <summary>Which hidden states make up the vector.</summary>
    public EmbeddingPooling Pooling { get; init; }

    /// <summary>Divide a vector by its length, so that the product of two is their cosine.</summary>
    public bool Normalize { get; init; } = true;

    /// <summary>Keep the first numbers only, 1 to the model's hidden size; for models trained so (Matryoshka, arXiv 2205.13147). Null keeps all.</summary>
    public int? Dimensions { get; init; }

    /// <summary>The most tokens of a text, 1 to the model's context; a longer one is an error. Null for the context.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>
    /// The name of a prompt in the folder's config_sentence_transformers.json, which is put before every text, for instance "query". Null takes the file's
    /// default prompt if it names one; an empty name takes none.
    /// </summary>
    public string? PromptName { get; init; }
}

/// <summary>Which hidden states of a text make up its vector.</summary>
public enum EmbeddingPooling
{
    /// <summary>What the folder's sentence-transformers files say; the last token's where there are none.</summary>
    Auto,

    /// <summary>The mean of all tokens'.</summary>
    Mean,

    /// <summary>The last token's.</summary>
    LastToken,
}
