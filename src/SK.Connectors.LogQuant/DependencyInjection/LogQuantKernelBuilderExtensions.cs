using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Configuration;
using SK.Connectors.LogQuant;
using SK.Connectors.LogQuant.DependencyInjection;

namespace Microsoft.SemanticKernel;

/// <summary>Registers a local engine and services over it with a kernel.</summary>
/// <remarks>
/// <para>Without a service id the registrations are unkeyed, with one they are keyed singletons. Several models are several service ids.
/// A kernel made by <c>services.AddKernel()</c> does not find a keyed-only service as its default: register without an id, or name the id
/// in the settings.</para>
/// <para>The engine is a singleton of its own, shared by all services with the same id and equal options, loaded on first use and disposed
/// of with the container, synchronously or not. A <c>Kernel</c> does not dispose of its services; dispose of <c>kernel.Services</c> to
/// free the model.</para>
/// </remarks>
public static class LogQuantKernelBuilderExtensions
{
    /// <summary>Adds the engine (<see cref="ILlmEngine"/>) of a local model, for services that are given it later or for use by itself.</summary>
    /// <param name="builder">Where to register.</param>
    /// <param name="modelPath">A Hugging Face model folder.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IKernelBuilder AddLogQuantEngine(this IKernelBuilder builder, string modelPath, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        EngineRegistration.Add(builder.Services, modelPath, serviceId);
        return builder;
    }

    /// <summary>Adds the engine (<see cref="ILlmEngine"/>) of a local model, for services that are given it later or for use by itself.</summary>
    /// <param name="builder">Where to register.</param>
    /// <param name="options">How to load and run the model; copied.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IKernelBuilder AddLogQuantEngine(this IKernelBuilder builder, LlmEngineOptions options, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        EngineRegistration.Add(builder.Services, options, serviceId);
        return builder;
    }

    /// <summary>Adds the engine (<see cref="ILlmEngine"/>) of a local model, for services that are given it later or for use by itself.</summary>
    /// <param name="builder">Where to register.</param>
    /// <param name="configure">Sets how to load and run the model: options named by the service id, which configuration may complete; they
    /// are validated when a host starts, else on first use.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IKernelBuilder AddLogQuantEngine(
        this IKernelBuilder builder, Action<LlmEngineOptions> configure, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        EngineRegistration.Add(builder.Services, configure, serviceId);
        return builder;
    }

    /// <summary>Adds an engine (<see cref="ILlmEngine"/>) of one's own, for services that are given it later or for use by itself.</summary>
    /// <param name="builder">Where to register.</param>
    /// <param name="engineFactory">Makes the engine, which the container then owns.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IKernelBuilder AddLogQuantEngine(
        this IKernelBuilder builder, Func<IServiceProvider, ILlmEngine> engineFactory, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        EngineRegistration.Add(builder.Services, engineFactory, serviceId);
        return builder;
    }

    /// <summary>Adds <see cref="LogQuantChatCompletionService"/> over a local model, as chat completion and as text generation.</summary>
    /// <param name="builder">Where to register.</param>
    /// <param name="modelPath">A Hugging Face model folder.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IKernelBuilder AddLogQuantChatCompletion(this IKernelBuilder builder, string modelPath, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        EngineRegistration.Add(builder.Services, modelPath, serviceId);
        ServiceRegistration.AddChatCompletion(builder.Services, ServiceRegistration.Registered(serviceId), serviceId);
        return builder;
    }

    /// <summary>Adds <see cref="LogQuantChatCompletionService"/> over a local model, as chat completion and as text generation.</summary>
    /// <param name="builder">Where to register.</param>
    /// <param name="options">How to load and run the model; copied.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IKernelBuilder AddLogQuantChatCompletion(this IKernelBuilder builder, LlmEngineOptions options, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        EngineRegistration.Add(builder.Services, options, serviceId);
        ServiceRegistration.AddChatCompletion(builder.Services, ServiceRegistration.Registered(serviceId), serviceId);
        return builder;
    }

    /// <summary>Adds <see cref="LogQuantChatCompletionService"/> over a local model, as chat completion and as text generation.</summary>
    /// <param name="builder">Where to register.</param>
    /// <param name="configure">Sets how to load and run the model: options named by the service id, which configuration may complete; they
    /// are validated when a host starts, else on first use.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IKernelBuilder AddLogQuantChatCompletion(
        this IKernelBuilder builder, Action<LlmEngineOptions> configure, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        EngineRegistration.Add(builder.Services, configure, serviceId);
        ServiceRegistration.AddChatCompletion(builder.Services, ServiceRegistration.Registered(serviceId), serviceId);
        return builder;
    }

    /// <summary>Adds <see cref="LogQuantChatCompletionService"/> over an engine of one's own, as chat completion and as text generation.</summary>
    /// <param name="builder">Where to register.</param>
    /// <param name="engineFactory">Gives the engine, which is borrowed: whoever made it disposes of it.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IKernelBuilder AddLogQuantChatCompletion(
        this IKernelBuilder builder, Func<IServiceProvider, ILlmEngine> engineFactory, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ServiceRegistration.AddChatCompletion(builder.Services, engineFactory, serviceId);
        return builder;
    }

    /// <summary>
    /// Adds an <see cref="IChatClient"/> over a local model: <see cref="LogQuantChatClient"/> with
    /// function invocation that knows the kernel, telemetry and logging.
    /// </summary>
    /// <param name="builder">Where to register.</param>
    /// <param name="modelPath">A Hugging Face model folder.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IKernelBuilder AddLogQuantChatClient(this IKernelBuilder builder, string modelPath, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        EngineRegistration.Add(builder.Services, modelPath, serviceId);
        ServiceRegistration.AddChatClient(builder.Services, ServiceRegistration.Registered(serviceId), serviceId);
        return builder;
    }

    /// <summary>
    /// Adds an <see cref="IChatClient"/> over a local model: <see cref="LogQuantChatClient"/> with
    /// function invocation that knows the kernel, telemetry and logging.
    /// </summary>
    /// <param name="builder">Where to register.</param>
    /// <param name="options">How to load and run the model; copied.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IKernelBuilder AddLogQuantChatClient(this IKernelBuilder builder, LlmEngineOptions options, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        EngineRegistration.Add(builder.Services, options, serviceId);
        ServiceRegistration.AddChatClient(builder.Services, ServiceRegistration.Registered(serviceId), serviceId);
        return builder;
    }

    /// <summary>
    /// Adds an <see cref="IChatClient"/> over a local model: <see cref="LogQuantChatClient"/> with
    /// function invocation that knows the kernel, telemetry and logging.
    /// </summary>
    /// <param name="builder">Where to register.</param>
    /// <param name="configure">Sets how to load and run the model: options named by the service id, which configuration may complete; they
    /// are validated when a host starts, else on first use.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IKernelBuilder AddLogQuantChatClient(
        this IKernelBuilder builder, Action<LlmEngineOptions> configure, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        EngineRegistration.Add(builder.Services, configure, serviceId);
        ServiceRegistration.AddChatClient(builder.Services, ServiceRegistration.Registered(serviceId), serviceId);
        return builder;
    }

    /// <summary>
    /// Adds an <see cref="IChatClient"/> over an engine of one's own: <see cref="LogQuantChatClient"/> with
    /// function invocation that knows the kernel, telemetry and logging.
    /// </summary>
    /// <param name="builder">Where to register.</param>
    /// <param name="engineFactory">Gives the engine, which is borrowed: whoever made it disposes of it.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IKernelBuilder AddLogQuantChatClient(
        this IKernelBuilder builder, Func<IServiceProvider, ILlmEngine> engineFactory, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ServiceRegistration.AddChatClient(builder.Services, engineFactory, serviceId);
        return builder;
    }

    /// <summary>Adds the engine (<see cref="ILlmEngine"/>) of a local model, for services that are given it later or for use by itself.</summary>
    /// <param name="builder">Where to register.</param>
    /// <param name="configuration">A section whose keys are the properties of <see cref="LlmEngineOptions"/>. What is wrong, unknown keys
    /// included, is told when a host starts, else on first use.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IKernelBuilder AddLogQuantEngine(this IKernelBuilder builder, IConfiguration configuration, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        EngineRegistration.Add(builder.Services, configuration, serviceId);
        return builder;
    }

    /// <summary>Adds <see cref="LogQuantChatCompletionService"/> over a local model, as chat completion and as text generation.</summary>
    /// <param name="builder">Where to register.</param>
    /// <param name="configuration">A section whose keys are the properties of <see cref="LlmEngineOptions"/>. What is wrong, unknown keys
    /// included, is told when a host starts, else on first use.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IKernelBuilder AddLogQuantChatCompletion(this IKernelBuilder builder, IConfiguration configuration, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        EngineRegistration.Add(builder.Services, configuration, serviceId);
        ServiceRegistration.AddChatCompletion(builder.Services, ServiceRegistration.Registered(serviceId), serviceId);
        return builder;
    }

    /// <summary>
    /// Adds an <see cref="IChatClient"/> over a local model: <see cref="LogQuantChatClient"/> with
    /// function invocation that knows the kernel, telemetry and logging.
    /// </summary>
    /// <param name="builder">Where to register.</param>
    /// <param name="configuration">A section whose keys are the properties of <see cref="LlmEngineOptions"/>. What is wrong, unknown keys
    /// included, is told when a host starts, else on first use.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IKernelBuilder AddLogQuantChatClient(this IKernelBuilder builder, IConfiguration configuration, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        EngineRegistration.Add(builder.Services, configuration, serviceId);
        ServiceRegistration.AddChatClient(builder.Services, ServiceRegistration.Registered(serviceId), serviceId);
        return builder;
    }
}
