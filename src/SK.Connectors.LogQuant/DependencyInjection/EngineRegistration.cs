using LocalLlm;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using SK.Connectors.LogQuant.Engines;

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
        services.AddKeyedSingleton<ILlmEngine>(serviceId, (provider, _) => factory(provider) switch
        {
            null => throw new InvalidOperationException("The factory of the engine returned null."),
            ILlmEngine and IDisposable engine => (ILlmEngine)engine,
            // A container that is disposed of synchronously refuses what is IAsyncDisposable only.
            var engine => new LazyLlmEngine(engine),
        });
    }

    private static void Add(IServiceCollection services, Action<LlmEngineOptions> configure, LlmEngineOptions snapshot, string? serviceId)
    {
        ArgumentNullException.ThrowIfNull(services);
        if (Find(services, serviceId) is { } existing)
        {
            if (existing.Options != snapshot)
                throw Conflict(serviceId);
            return;
        }

        services.AddSingleton(new Marker(serviceId, snapshot));
        var name = serviceId ?? Options.DefaultName;
        services.AddOptions<LlmEngineOptions>(name).Configure(configure).ValidateOnStart();
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<LlmEngineOptions>, LlmEngineOptionsValidator>());
        services.AddKeyedSingleton<ILlmEngine>(serviceId, (provider, _) =>
        {
            var options = EngineOptions.Snapshot(provider.GetRequiredService<IOptionsMonitor<LlmEngineOptions>>().Get(name));
            var loader = provider.GetService<EngineLoader>() ?? EngineLoaders.Default;
            return new LazyLlmEngine(EngineOptions.ModelId(options), ct => loader(options, provider.GetService<ILoggerFactory>(), ct));
        });
    }

    private static Marker? Find(IServiceCollection services, string? serviceId) => services
        .Select(d => d.IsKeyedService ? null : d.ImplementationInstance as Marker)
        .FirstOrDefault(m => m is not null && m.ServiceId == serviceId);

    private static InvalidOperationException Conflict(string? serviceId) => new(
        $"{(serviceId is null ? "An engine without a service id" : $"An engine with the service id '{serviceId}'")} is registered already, with "
        + "other options. Services share an engine when their options are equal; give the other model its own service id.");
}
