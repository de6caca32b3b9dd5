using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using Microsoft.SemanticKernel.TextGeneration;

namespace SK.Connectors.LogQuant.DependencyInjection;

/// <summary>Registers the services that borrow an engine: keyed singletons, or unkeyed ones if the service id is null.</summary>
internal static class ServiceRegistration
{
    public static void AddChatCompletion(IServiceCollection services, Func<IServiceProvider, ILlmEngine> engine, string? serviceId)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(engine);
        services.AddKeyedSingleton(serviceId, (provider, _) =>
            new LogQuantChatCompletionService(engine(provider), provider.GetService<ILoggerFactory>()));
        services.AddKeyedSingleton<IChatCompletionService>(serviceId, (provider, _) => Get<LogQuantChatCompletionService>(provider, serviceId));
        services.AddKeyedSingleton<ITextGenerationService>(serviceId, (provider, _) => Get<LogQuantChatCompletionService>(provider, serviceId));
    }

    public static void AddChatClient(IServiceCollection services, Func<IServiceProvider, ILlmEngine> engine, string? serviceId)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(engine);
        services.AddKeyedSingleton<IChatClient>(serviceId, (provider, _) =>
        {
            var loggerFactory = provider.GetService<ILoggerFactory>();
            var builder = new LogQuantChatClient(engine(provider), loggerFactory).AsBuilder()
                .UseKernelFunctionInvocation(loggerFactory)
                .UseOpenTelemetry(loggerFactory);
            if (loggerFactory is not null)
                builder.UseLogging(loggerFactory);
            return builder.Build(provider);
        });
    }

    public static void AddEmbeddingGenerator(IServiceCollection services, Func<IServiceProvider, ILlmEngine> engine, string? serviceId)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(engine);
        services.AddKeyedSingleton<IEmbeddingGenerator<string, Embedding<float>>>(serviceId, (provider, _) =>
        {
            var loggerFactory = provider.GetService<ILoggerFactory>();
            var builder = new LogQuantEmbeddingGenerator(engine(provider)).AsBuilder().UseOpenTelemetry(loggerFactory);
            if (loggerFactory is not null)
                builder.UseLogging(loggerFactory);
            return builder.Build(provider);
        });
    }

    /// <summary>The engine that is registered under the service id.</summary>
    public static Func<IServiceProvider, ILlmEngine> Registered(string? serviceId) =>
        provider => Get<ILlmEngine>(provider, serviceId);

    private static T Get<T>(IServiceProvider provider, string? serviceId) where T : notnull =>
        serviceId is null ? provider.GetRequiredService<T>() : provider.GetRequiredKeyedService<T>(serviceId);
}
