using LocalLlm;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using SK.Connectors.LogQuant.Engines;

namespace SK.Connectors.LogQuant.Tests.Hosting;

/// <summary>A host whose engine is a scripted one, made when a model would be loaded.</summary>
internal static class ScriptedHost
{
    public static IHost Build(Action<IServiceCollection> configure, Func<CancellationToken, Task<ILlmEngine>> load, ListLoggerProvider? log = null)
    {
        var builder = Host.CreateApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Logging.SetMinimumLevel(LogLevel.Trace);
        if (log is not null)
            builder.Logging.Services.AddSingleton<ILoggerProvider>(log);
        builder.Services.AddSingleton<EngineLoader>((_, _, ct) => load(ct));
        configure(builder.Services);
        return builder.Build();
    }

    public static IHost Build(Action<IServiceCollection> configure, ScriptedEngine engine, ListLoggerProvider? log = null) =>
        Build(configure, _ => Task.FromResult<ILlmEngine>(engine), log);
}
