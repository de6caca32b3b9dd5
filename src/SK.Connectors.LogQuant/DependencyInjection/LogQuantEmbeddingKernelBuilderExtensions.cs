using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Configuration;
using SK.Connectors.LogQuant;
using SK.Connectors.LogQuant.DependencyInjection;

namespace Microsoft.SemanticKernel;

/// <summary>Registers embedding generators over a local engine with a kernel.</summary>
/// <remarks>Registrations with the same service id and equal options share one engine, also with chat services.</remarks>
public static class LogQuantEmbeddingKernelBuilderExtensions
{
    /// <summary>
    /// Adds an <see cref="IEmbeddingGenerator{TInput, TEmbedding}"/> over a local model: <see cref="LogQuantEmbeddingGenerator"/> with telemetry and
    /// logging. The model may be a chat model or one made for embeddings.
    /// </summary>
    /// <param name="builder">Where to register.</param>
    /// <param name="modelPath">A Hugging Face model folder.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IKernelBuilder AddLogQuantEmbeddingGenerator(
        this IKernelBuilder builder, string modelPath, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        EngineRegistration.Add(builder.Services, modelPath, serviceId);
        ServiceRegistration.AddEmbeddingGenerator(builder.Services, ServiceRegistration.Registered(serviceId), serviceId);
        return builder;
    }

    /// <summary>
    /// Adds an <see cref="IEmbeddingGenerator{TInput, TEmbedding}"/> over a local model: <see cref="LogQuantEmbeddingGenerator"/> with telemetry and
    /// logging. The model may be a chat model or one made for embeddings.
    /// </summary>
    /// <param name="builder">Where to register.</param>
    /// <param name="options">How to load and run the model; copied.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IKernelBuilder AddLogQuantEmbeddingGenerator(
        this IKernelBuilder builder, LlmEngineOptions options, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        EngineRegistration.Add(builder.Services, options, serviceId);
        ServiceRegistration.AddEmbeddingGenerator(builder.Services, ServiceRegistration.Registered(serviceId), serviceId);
        return builder;
    }

    /// <summary>
    /// Adds an <see cref="IEmbeddingGenerator{TInput, TEmbedding}"/> over a local model: <see cref="LogQuantEmbeddingGenerator"/> with telemetry and
    /// logging. The model may be a chat model or one made for embeddings.
    /// </summary>
    /// <param name="builder">Where to register.</param>
    /// <param name="configure">Sets how to load and run the model: options named by the service id, which configuration may complete; they
    /// are validated when a host starts, else on first use.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IKernelBuilder AddLogQuantEmbeddingGenerator(
        this IKernelBuilder builder, Action<LlmEngineOptions> configure, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        EngineRegistration.Add(builder.Services, configure, serviceId);
        ServiceRegistration.AddEmbeddingGenerator(builder.Services, ServiceRegistration.Registered(serviceId), serviceId);
        return builder;
    }

    /// <summary>
    /// Adds an <see cref="IEmbeddingGenerator{TInput, TEmbedding}"/> over a local model: <see cref="LogQuantEmbeddingGenerator"/> with telemetry and
    /// logging. The model may be a chat model or one made for embeddings.
    /// </summary>
    /// <param name="builder">Where to register.</param>
    /// <param name="configuration">A section whose keys are the properties of <see cref="LlmEngineOptions"/>. What is wrong, unknown keys
    /// included, is told all at once when a host starts, else on first use.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IKernelBuilder AddLogQuantEmbeddingGenerator(
        this IKernelBuilder builder, IConfiguration configuration, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        EngineRegistration.Add(builder.Services, configuration, serviceId);
        ServiceRegistration.AddEmbeddingGenerator(builder.Services, ServiceRegistration.Registered(serviceId), serviceId);
        return builder;
    }

    /// <summary>
    /// Adds an <see cref="IEmbeddingGenerator{TInput, TEmbedding}"/> over an engine of one's own: <see cref="LogQuantEmbeddingGenerator"/> with telemetry and
    /// logging. The model may be a chat model or one made for embeddings.
    /// </summary>
    /// <param name="builder">Where to register.</param>
    /// <param name="engineFactory">Gives the engine, an <see cref="ITextEmbedder"/>, which is borrowed: whoever made it disposes of it.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IKernelBuilder AddLogQuantEmbeddingGenerator(
        this IKernelBuilder builder, Func<IServiceProvider, ILlmEngine> engineFactory, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ServiceRegistration.AddEmbeddingGenerator(builder.Services, engineFactory, serviceId);
        return builder;
    }
}
