using LocalLlm.Loading;
using LocalLlm.Scheduling;
using LocalLlm.Tokenization;

namespace LocalLlm;

/// <summary>Checks and encodes texts, has the engine thread embed them, and shapes the vectors. Safe for concurrent use.</summary>
internal sealed class TextEmbedder(
    EngineLoop loop, TextTokenizer tokenizer, SentenceTransformersConfig config, EmbeddingJobOptions job, int hiddenSize, int contextTokens, int vocabularySize,
    Func<int, long> cacheBytes, long memoryBytes)
{
    public async Task<EmbeddingResult> EmbedAsync(IReadOnlyList<string> texts, EmbeddingOptions options, CancellationToken cancellationToken)
    {
        Check(texts, options);
        cancellationToken.ThrowIfCancellationRequested();
        var isMean = Pooling(options) == EmbeddingPooling.Mean;
        var ids = Encode(texts, Prompt(options), options.MaxTokens ?? contextTokens);
        if (ids.Count == 0)
            return new EmbeddingResult([], 0);

        var work = new EmbeddingJob(ids, isMean, job, cancellationToken);
        loop.Submit(work);
        var states = await work.Result.WaitAsync(cancellationToken).ConfigureAwait(false);
        return new EmbeddingResult([.. states.Select(s => Shape(s, options))], ids.Sum(i => i.Length));
    }

    private void Check(IReadOnlyList<string> texts, EmbeddingOptions options)
    {
        var errors = new List<string>();
        if (!Enum.IsDefined(options.Pooling))
            errors.Add($"Pooling is {options.Pooling}, must be one of {string.Join(", ", Enum.GetNames<EmbeddingPooling>())}");
        if (options.Dimensions is { } dimensions && (dimensions < 1 || dimensions > hiddenSize))
            errors.Add($"Dimensions is {dimensions}, must be 1 to {hiddenSize}, the model's hidden size, or null for all");
        if (options.MaxTokens is { } most && (most < 1 || most > contextTokens))
            errors.Add($"MaxTokens is {most}, must be 1 to {contextTokens}, the model's context, or null for that");
        for (var i = 0; i < texts.Count; i++)
        {
            if (texts[i] is null)
                errors.Add($"text {i} is null");
        }

        if (errors.Count > 0)
            throw new ArgumentException($"The texts cannot be embedded: {string.Join("; ", errors)}.", nameof(options));
    }

    private EmbeddingPooling Pooling(EmbeddingOptions options)
    {
        if (options.Pooling != EmbeddingPooling.Auto)
            return options.Pooling;
        return config.Problem is null
            ? config.Pooling
            : throw new NotSupportedException($"The model folder's own way of embedding cannot be followed: {config.Problem}. Set "
                + $"{nameof(EmbeddingOptions)}.{nameof(EmbeddingOptions.Pooling)} to {nameof(EmbeddingPooling.Mean)} or {nameof(EmbeddingPooling.LastToken)} "
                + "to choose another.");
    }

    private string Prompt(EmbeddingOptions options)
    {
        if ((options.PromptName ?? config.DefaultPromptName) is not { Length: > 0 } name)
            return "";
        return config.Prompts.TryGetValue(name, out var prompt)
            ? prompt
            : throw new ArgumentException($"There is no prompt '{name}' in the model folder's config_sentence_transformers.json; it has "
                + $"{(config.Prompts.Count == 0 ? "none" : string.Join(", ", config.Prompts.Keys.Order(StringComparer.Ordinal)))}.", nameof(options));
    }

    private List<int[]> Encode(IReadOnlyList<string> texts, string prompt, int mostTokens)
    {
        var encoded = new List<int[]>(texts.Count);
        for (var i = 0; i < texts.Count; i++)
        {
            var ids = tokenizer.EncodeWhole(prompt + texts[i]);
            if (ids.Length == 0)
                throw new ArgumentException($"Text {i} is empty, and this model's tokenizer adds nothing to a text, so there is nothing to embed.", nameof(texts));
            if (ids.FirstOrDefault(id => id >= vocabularySize, -1) is >= 0 and var unknown)
                throw new LocalLlmException($"The tokenizer gives token {unknown} ('{tokenizer.TokenText(unknown)}'), but the model has embeddings for "
                    + $"{vocabularySize} tokens only: its tokenizer files belong to another model.");
            if (ids.Length > mostTokens)
                throw new ContextLengthException($"Text {i} has {ids.Length} tokens; {mostTokens} are allowed by "
                    + $"{(mostTokens < contextTokens ? nameof(EmbeddingOptions) + "." + nameof(EmbeddingOptions.MaxTokens) : "the model's context")}. "
                    + "Nothing was truncated: split the text.");
            if (cacheBytes(ids.Length) is var bytes && bytes > memoryBytes)
            {
                throw new LocalLlmException($"Text {i} has {ids.Length:N0} tokens, which need {bytes:N0} bytes while it is embedded, in full precision; KvCache.MemoryBytes is "
                    + $"{memoryBytes:N0}. Split the text or raise it.");
            }

            encoded.Add(ids);
        }

        return encoded;
    }

    private static ReadOnlyMemory<float> Shape(float[] states, EmbeddingOptions options)
    {
        var vector = options.Dimensions is { } dimensions ? states[..dimensions] : states;
        if (!options.Normalize)
            return vector;
        var length = 0.0;
        foreach (var number in vector)
            length += (double)number * number;
        // All zeros have no direction and stay as they are.
        for (var i = 0; i < vector.Length && length > 0; i++)
            vector[i] = (float)(vector[i] / Math.Sqrt(length));
        return vector;
    }
}
