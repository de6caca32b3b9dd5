using LocalLlm;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using SK.Connectors.LogQuant;
using SK.Connectors.LogQuant.DependencyInjection;

namespace Microsoft.SemanticKernel;

/// <summary>Registers Semantic Kernel services over a local engine.</summary>
/// <remarks>
/// <para>Without a service id the registrations are unkeyed, with one they are keyed singletons. Several models are several service ids.
/// A kernel made by <c>services.AddKernel()</c> does not find a keyed-only service as its default: register without an id, or name the id
/// in the settings.</para>
/// <para>The engine is a singleton of its own, shared by all services with the same id and equal options, loaded on first use and disposed
/// of with the container, synchronously or not. A <c>Kernel</c> does not dispose of its services; dispose of <c>kernel.Services</c> to
/// free the model.</para>
/// </remarks>
public static class LogQuantKernelServiceCollectionExtensions
{
    /// <summary>Adds <see cref="LogQuantChatCompletionService"/> over a local model, as chat completion and as text generation.</summary>
    /// <param name="services">Where to register.</param>
    /// <param name="modelPath">A Hugging Face model folder.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IServiceCollection AddLogQuantChatCompletion(this IServiceCollection services, string modelPath, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        EngineRegistration.Add(services, modelPath, serviceId);
        ServiceRegistration.AddChatCompletion(services, ServiceRegistration.Registered(serviceId), serviceId);
        return services;
    }

    /// <summary>Adds <see cref="LogQuantChatCompletionService"/> over a local model, as chat completion and as text generation.</summary>
    /// <param name="services">Where to register.</param>
    /// <param name="options">How to load and run the model; copied.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IServiceCollection AddLogQuantChatCompletion(
        this IServiceCollection services, LlmEngineOptions options, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        EngineRegistration.Add(services, options, serviceId);
        ServiceRegistration.AddChatCompletion(services, ServiceRegistration.Registered(serviceId), serviceId);
        return services;
    }

    /// <summary>Adds <see cref="LogQuantChatCompletionService"/> over a local model, as chat completion and as text generation.</summary>
    /// <param name="services">Where to register.</param>
    /// <param name="configure">Sets how to load and run the model: options named by the service id, which configuration may complete; they
    /// are validated when a host starts, else on first use.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IServiceCollection AddLogQuantChatCompletion(
        this IServiceCollection services, Action<LlmEngineOptions> configure, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        EngineRegistration.Add(services, configure, serviceId);
        ServiceRegistration.AddChatCompletion(services, ServiceRegistration.Registered(serviceId), serviceId);
        return services;
    }

    /// <summary>Adds <see cref="LogQuantChatCompletionService"/> over an engine of one's own, as chat completion and as text generation.</summary>
    /// <param name="services">Where to register.</param>
    /// <param name="engineFactory">Gives the engine, which is borrowed: whoever made it disposes of it.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IServiceCollection AddLogQuantChatCompletion(
        this IServiceCollection services, Func<IServiceProvider, ILlmEngine> engineFactory, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ServiceRegistration.AddChatCompletion(services, engineFactory, serviceId);
        return services;
    }

    /// <summary>Adds <see cref="LogQuantChatCompletionService"/> over a local model, as chat completion and as text generation.</summary>
    /// <param name="services">Where to register.</param>
    /// <param name="configuration">A section whose keys are the properties of <see cref="LlmEngineOptions"/>. What is wrong, unknown keys
    /// included, is told when a host starts, else on first use.</param>
    /// <param name="serviceId">The key of the registrations, or null for unkeyed ones.</param>
    /// <returns>The same, for chaining.</returns>
    public static IServiceCollection AddLogQuantChatCompletion(
        this IServiceCollection services, IConfiguration configuration, string? serviceId = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        EngineRegistration.Add(services, configuration, serviceId);
        ServiceRegistration.AddChatCompletion(services, ServiceRegistration.Registered(serviceId), serviceId);
        return services;
    }
}
