using System.Globalization;
using System.Text.Json;
using LocalLlm;
using Microsoft.Extensions.AI;
using SK.Connectors.LogQuant.Engines;

namespace SK.Connectors.LogQuant;

/// <summary>
/// An <see cref="IEmbeddingGenerator{TInput, TEmbedding}"/> over a local engine. It borrows the engine: disposing of the generator leaves the engine
/// running. Safe for concurrent use, also beside chats on the same engine.
/// </summary>
/// <remarks>
/// <para><see cref="EmbeddingGenerationOptions.RawRepresentationFactory"/> may return a <see cref="EmbeddingOptions"/>, for the pooling for instance;
/// options that are set override it. The key <c>prompt_name</c> of <see cref="EmbeddingGenerationOptions.AdditionalProperties"/> names a prompt of the model
/// folder, for instance "query"; other keys are errors.</para>
/// </remarks>
public sealed class LogQuantEmbeddingGenerator : IEmbeddingGenerator<string, Embedding<float>>
{
    private const string PromptNameKey = "prompt_name";

    private readonly ILlmEngine _engine;
    private readonly ITextEmbedder _embedder;

    /// <summary>Creates a generator for an engine, which it does not dispose of.</summary>
    /// <param name="engine">The engine, which is an <see cref="ITextEmbedder"/> as well.</param>
    /// <exception cref="ArgumentException">The engine does not embed.</exception>
    public LogQuantEmbeddingGenerator(ILlmEngine engine)
    {
        ArgumentNullException.ThrowIfNull(engine);
        _engine = engine;
        _embedder = engine as ITextEmbedder
            ?? throw new ArgumentException($"The engine is a {engine.GetType()}, which is no {nameof(ITextEmbedder)} and so cannot embed.", nameof(engine));
    }

    /// <inheritdoc/>
    public async Task<GeneratedEmbeddings<Embedding<float>>> GenerateAsync(
        IEnumerable<string> values, EmbeddingGenerationOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(values);
        var request = Map(options);
        var model = await _engine.GetModelAsync(cancellationToken).ConfigureAwait(false);
        if (options?.ModelId is { } wanted && wanted != model.ModelId)
            throw new ArgumentException($"{nameof(EmbeddingGenerationOptions)}.{nameof(EmbeddingGenerationOptions.ModelId)} is '{wanted}', but this "
                + $"generator's engine runs '{model.ModelId}'. Leave it null, or use the generator of that model.", nameof(options));

        var result = await _embedder.EmbedAsync([.. values], request, cancellationToken).ConfigureAwait(false);
        var createdAt = DateTimeOffset.UtcNow;
        return new GeneratedEmbeddings<Embedding<float>>(
            result.Vectors.Select(v => new Embedding<float>(v) { ModelId = model.ModelId, CreatedAt = createdAt }))
        {
            Usage = new UsageDetails { InputTokenCount = result.PromptTokens, TotalTokenCount = result.PromptTokens },
        };
    }

    /// <inheritdoc/>
    /// <remarks>Offers <see cref="EmbeddingGeneratorMetadata"/>, <see cref="ILlmEngine"/>, <see cref="ITextEmbedder"/> and the generator itself.</remarks>
    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        if (serviceKey is not null)
            return null;
        if (serviceType == typeof(EmbeddingGeneratorMetadata))
            return new EmbeddingGeneratorMetadata(
                "logquant", defaultModelId: _engine.GetModelId(), defaultModelDimensions: _engine.TryGetModel() is null ? null : _embedder.EmbeddingDimensions);
        if (serviceType.IsInstanceOfType(this))
            return this;
        return serviceType.IsInstanceOfType(_engine) ? _engine : null;
    }

    /// <summary>Does nothing: the engine belongs to whoever made it.</summary>
    public void Dispose()
    {
    }

    private EmbeddingOptions Map(EmbeddingGenerationOptions? options)
    {
        var raw = options?.RawRepresentationFactory?.Invoke(this) switch
        {
            null => new EmbeddingOptions(),
            EmbeddingOptions given => given,
            var other => throw new NotSupportedException($"{nameof(EmbeddingGenerationOptions)}."
                + $"{nameof(EmbeddingGenerationOptions.RawRepresentationFactory)} returned a {other.GetType()}; this generator takes a "
                + $"{typeof(EmbeddingOptions)} or null."),
        };
        foreach (var (key, value) in options?.AdditionalProperties ?? [])
        {
            raw = key == PromptNameKey
                ? raw with { PromptName = Text(value) ?? raw.PromptName }
                : throw new NotSupportedException($"The additional property '{key}' is unknown to this generator; it knows {PromptNameKey}.");
        }

        return options?.Dimensions is { } dimensions ? raw with { Dimensions = dimensions } : raw;
    }

    private static string? Text(object? value) => value switch
    {
        JsonElement { ValueKind: JsonValueKind.Null or JsonValueKind.Undefined } => null,
        JsonElement { ValueKind: JsonValueKind.String } json => json.GetString(),
        _ => Convert.ToString(value, CultureInfo.InvariantCulture) is { Length: > 0 } text ? text : null,
    };
}
