using System.Diagnostics.Metrics;
using LocalLlm;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using SK.Connectors.LogQuant.Engines;
using SK.Connectors.LogQuant.Hosting;
using SK.Connectors.LogQuant.Telemetry;

namespace SK.Connectors.LogQuant.DependencyInjection;

/// <summary>Registers an engine once for each key; the container that built it disposes of it, synchronously or not.</summary>
internal static class EngineRegistration
{
    /// <summary>
    /// Marks a registered engine, to tell a second service of the same model from a conflict. Options are null for a custom engine.
    /// </summary>
    private sealed record Marker(string? ServiceId, LlmEngineOptions? Options);

    public static void Add(IServiceCollection services, string modelPath, string? serviceId)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(modelPath);
        Add(services, new LlmEngineOptions { ModelPath = modelPath }, serviceId);
    }

    public static void Add(IServiceCollection services, LlmEngineOptions options, string? serviceId)
    {
        ArgumentNullException.ThrowIfNull(options);
        var snapshot = EngineOptions.Snapshot(options);
        Add(services, snapshot.CopyTo, snapshot, serviceId);
    }

    public static void Add(IServiceCollection services, Action<LlmEngineOptions> configure, string? serviceId)
    {
        ArgumentNullException.ThrowIfNull(configure);
        var probe = new LlmEngineOptions();
        configure(probe);
        Add(services, configure, EngineOptions.Snapshot(probe), serviceId);
    }

    /// <summary>An engine that the caller makes and the container then owns.</summary>
    public static void Add(IServiceCollection services, Func<IServiceProvider, ILlmEngine> factory, string? serviceId)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(factory);
        if (Find(services, serviceId) is not null)
            throw Conflict(serviceId);
        services.AddSingleton(new Marker(serviceId, Options: null));
        AddShared(services);
        // Wrapped, so that its requests are drained and measured; and because a container that is disposed of synchronously refuses what is
        // IAsyncDisposable only.
        services.AddKeyedSingleton<ILlmEngine>(serviceId, (provider, _) => provider.GetRequiredService<EngineRegistry>().Add(
            new LazyLlmEngine(factory(provider) ?? throw new InvalidOperationException("The factory of the engine returned null."))
            {
                Telemetry = provider.GetRequiredService<EngineTelemetry>(),
            }));
    }

    /// <summary>An engine whose options are in the configuration.</summary>
    public static void Add(IServiceCollection services, IConfiguration configuration, string? serviceId)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(configuration);
        var probe = new LlmEngineOptions();
        EngineConfiguration.Apply(configuration, probe);
        if (Add(services, options => EngineConfiguration.Apply(configuration, options), EngineOptions.Snapshot(probe), serviceId))
        {
            var name = serviceId ?? Options.DefaultName;
            services.AddSingleton<IValidateOptions<LlmEngineOptions>>(new EngineConfigurationValidator(name, configuration));
        }
    }

    /// <returns>False if the same engine is registered already.</returns>
    private static bool Add(IServiceCollection services, Action<LlmEngineOptions> configure, LlmEngineOptions snapshot, string? serviceId)
    {
        ArgumentNullException.ThrowIfNull(services);
        if (Find(services, serviceId) is { } existing)
        {
            if (existing.Options != snapshot)
                throw Conflict(serviceId);
            return false;
        }

        services.AddSingleton(new Marker(serviceId, snapshot));
        AddShared(services);
        var name = serviceId ?? Options.DefaultName;
        services.AddOptions<LlmEngineOptions>(name).Configure(configure).ValidateOnStart();
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<LlmEngineOptions>, LlmEngineOptionsValidator>());
        services.AddKeyedSingleton<ILlmEngine>(serviceId, (provider, _) =>
        {
            var options = EngineOptions.Snapshot(provider.GetRequiredService<IOptionsMonitor<LlmEngineOptions>>().Get(name));
            var modelId = EngineOptions.ModelId(options);
            var loggerFactory = provider.GetService<ILoggerFactory>();
            var progress = new LoadProgressLog(modelId, loggerFactory?.CreateLogger<LoadProgressLog>() ?? NullLogger<LoadProgressLog>.Instance);
            var loader = provider.GetService<EngineLoader>() ?? EngineLoaders.Reporting(progress);
            return provider.GetRequiredService<EngineRegistry>().Add(new LazyLlmEngine(modelId, ct => loader(options, loggerFactory, ct))
            {
                Telemetry = provider.GetRequiredService<EngineTelemetry>(),
                Progress = progress,
            });
        });
        return true;
    }

    /// <summary>What all engines of a container share.</summary>
    private static void AddShared(IServiceCollection services)
    {
        services.AddOptions<LogQuantShutdownOptions>();
        services.TryAddSingleton<EngineRegistry>();
        services.TryAddSingleton(provider =>
            new EngineTelemetry(provider.GetRequiredService<EngineRegistry>(), provider.GetService<IMeterFactory>()));
        // Made by hand, since only a host is sure to have a log and a lifetime, and only a host makes it.
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IHostedService, EngineDrain>(provider => new EngineDrain(
            provider.GetRequiredService<EngineRegistry>(), provider.GetRequiredService<IHostApplicationLifetime>(),
            provider.GetRequiredService<IOptions<LogQuantShutdownOptions>>(), provider.GetRequiredService<ILogger<EngineDrain>>())));
    }

    private static Marker? Find(IServiceCollection services, string? serviceId) => services
        .Select(d => d.IsKeyedService ? null : d.ImplementationInstance as Marker)
        .FirstOrDefault(m => m is not null && m.ServiceId == serviceId);

    private static InvalidOperationException Conflict(string? serviceId) => new(
        $"{(serviceId is null ? "An engine without a service id" : $"An engine with the service id '{serviceId}'")} is registered already, with "
        + "other options. Services share an engine when their options are equal; give the other model its own service id.");
}
