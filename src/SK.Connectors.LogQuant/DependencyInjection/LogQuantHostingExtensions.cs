using LocalLlm;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using SK.Connectors.LogQuant.DependencyInjection;
using SK.Connectors.LogQuant.Hosting;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Loads and watches registered engines in a hosted application.</summary>
public static class LogQuantHostingExtensions
{
    /// <summary>Loads a registered model when the host starts, instead of on first use.</summary>
    /// <param name="services">Where to register.</param>
    /// <param name="serviceId">The id under which the engine, or a service over it, is registered.</param>
    /// <param name="configure">Sets how to.</param>
    /// <returns>The same, for chaining.</returns>
    public static IServiceCollection AddLogQuantWarmup(
        this IServiceCollection services, string? serviceId = null, Action<LogQuantWarmupOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        var options = new LogQuantWarmupOptions();
        configure?.Invoke(options);
        return services.AddSingleton<IHostedService>(provider => new EngineWarmup(
            () => Find(provider, serviceId, nameof(AddLogQuantWarmup)), options,
            provider.GetRequiredService<IHostApplicationLifetime>(), provider.GetRequiredService<ILogger<EngineWarmup>>()));
    }

    /// <summary>
    /// Adds a health check of a registered engine: degraded while it loads or has too many requests waiting, unhealthy when it has failed. It loads
    /// nothing itself.
    /// </summary>
    /// <param name="builder">Where to add it.</param>
    /// <param name="name">The check's name; null for "logquant", with the service id if there is one.</param>
    /// <param name="serviceId">The id under which the engine, or a service over it, is registered.</param>
    /// <param name="configure">Sets when it counts as healthy.</param>
    /// <param name="failureStatus">The status of an engine that has failed; null for unhealthy.</param>
    /// <param name="tags">Tags of the check.</param>
    /// <returns>The same, for chaining.</returns>
    public static IHealthChecksBuilder AddLogQuant(
        this IHealthChecksBuilder builder, string? name = null, string? serviceId = null, Action<LogQuantHealthOptions>? configure = null,
        HealthStatus? failureStatus = null, IEnumerable<string>? tags = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        var options = new LogQuantHealthOptions();
        configure?.Invoke(options);
        return builder.Add(new HealthCheckRegistration(
            name ?? (serviceId is null ? "logquant" : $"logquant-{serviceId}"),
            provider => new EngineHealthCheck(Find(provider, serviceId, nameof(AddLogQuant)), options), failureStatus, tags));
    }

    private static ILlmEngine Find(IServiceProvider provider, string? serviceId, string method) =>
        (serviceId is null ? provider.GetService<ILlmEngine>() : provider.GetKeyedService<ILlmEngine>(serviceId))
        ?? throw new InvalidOperationException(
            $"{method}: no engine is registered {(serviceId is null ? "without a service id" : $"under '{serviceId}'")}. Register it with "
            + "AddLogQuantEngine, or a service over a model with AddLogQuantChatCompletion or AddLogQuantChatClient, under the same id. An engine that a service borrows from a factory is not a registered one.");
}
