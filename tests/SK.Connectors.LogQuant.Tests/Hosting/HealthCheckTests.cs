using LocalLlm;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using SK.Connectors.LogQuant.Engines;
using SK.Connectors.LogQuant.Hosting;

namespace SK.Connectors.LogQuant.Tests.Hosting;

public sealed class HealthCheckTests : IAsyncDisposable
{
    private readonly ScriptedEngine _engine = new(Script.Text("a"))
    {
        Statistics = new EngineStatistics { RunningRequests = 2, WaitingRequests = 3, KvBytes = 77, RetainedKvBytes = 8 },
    };

    private Func<Task<ILlmEngine>>? _load;

    public ValueTask DisposeAsync() => _engine.DisposeAsync();

    [Fact]
    public async Task Check_NotLoaded_IsDegradedAndLoadsNothing()
    {
        await using var services = Services();

        var entry = await CheckAsync(services);

        entry.Status.ShouldBe(HealthStatus.Degraded);
        entry.Description.ShouldNotBeNull().ShouldContain("not loaded yet");
        ((LazyLlmEngine)services.GetRequiredService<ILlmEngine>()).State.ShouldBe(EngineState.NotLoaded);
    }

    [Fact]
    public async Task Check_Loading_HasTheConfiguredStatus()
    {
        var gate = new TaskCompletionSource<ILlmEngine>();
        _load = () => gate.Task;
        await using var services = Services(o => o.LoadingStatus = HealthStatus.Unhealthy);
        var answer = services.GetRequiredService<IChatCompletionService>().GetChatMessageContentAsync("Hello");

        var entry = await CheckAsync(services);
        gate.SetResult(_engine);
        await answer;

        (entry.Status, entry.Description).ShouldBe((HealthStatus.Unhealthy, "The model is loading."));
    }

    [Fact]
    public async Task Check_LoadFailed_IsUnhealthyWithTheCause()
    {
        _load = () => Task.FromException<ILlmEngine>(new ModelLoadException("no tokenizer"));
        await using var services = Services();
        await Should.ThrowAsync<ModelLoadException>(() => services.GetRequiredService<IChatCompletionService>().GetChatMessageContentAsync("Hello"));

        var entry = await CheckAsync(services);

        entry.Status.ShouldBe(HealthStatus.Unhealthy);
        entry.Exception.ShouldBeOfType<ModelLoadException>();
    }

    [Fact]
    public async Task Check_Ready_IsHealthyWithItsFigures()
    {
        await using var services = await LoadedAsync();

        var entry = await CheckAsync(services);

        entry.Status.ShouldBe(HealthStatus.Healthy);
        entry.Data.ShouldBe(new Dictionary<string, object>
        {
            ["model"] = "scripted",
            ["running"] = 2,
            ["waiting"] = 3,
            ["kvBytes"] = 77L,
            ["retainedKvBytes"] = 8L,
        }, ignoreOrder: true);
    }

    [Theory]
    [InlineData(3, HealthStatus.Healthy)]
    [InlineData(2, HealthStatus.Degraded)]
    public async Task Check_WaitingRequests_AreSaturationAboveTheLimit(int limit, HealthStatus expected)
    {
        await using var services = await LoadedAsync(o => o.MaxWaitingRequests = limit);

        (await CheckAsync(services)).Status.ShouldBe(expected);
    }

    [Fact]
    public async Task Check_EngineStopped_IsUnhealthyWithTheFault()
    {
        await using var services = await LoadedAsync();
        _engine.Statistics = new EngineStatistics { IsStopped = true, Fault = "the loop burnt" };

        var entry = await CheckAsync(services);

        (entry.Status, entry.Description).ShouldBe((HealthStatus.Unhealthy, "the loop burnt"));
    }

    [Fact]
    public async Task Check_HostStops_IsUnhealthySinceNewRequestsAreRefused()
    {
        await using var services = await LoadedAsync();
        services.GetRequiredService<EngineRegistry>().Close();

        var entry = await CheckAsync(services);

        entry.Status.ShouldBe(HealthStatus.Unhealthy);
        entry.Description.ShouldNotBeNull().ShouldContain("shutting down");
    }

    [Fact]
    public async Task AddLogQuant_ServiceId_NamesTheCheckAndFindsTheEngine()
    {
        var services = new ServiceCollection().AddLogging();
        services.AddLogQuantEngine(_ => _engine, "b").AddHealthChecks().AddLogQuant(serviceId: "b");
        await using var provider = services.BuildServiceProvider();

        var report = await provider.GetRequiredService<HealthCheckService>().CheckHealthAsync(TestContext.Current.CancellationToken);

        report.Entries.ShouldHaveSingleItem().Key.ShouldBe("logquant-b");
        report.Entries.Single().Value.Status.ShouldBe(HealthStatus.Healthy);
    }

    private ServiceProvider Services(Action<LogQuantHealthOptions>? configure = null)
    {
        var services = new ServiceCollection().AddLogging();
        services.AddSingleton<EngineLoader>((_, _, _) => _load?.Invoke() ?? Task.FromResult<ILlmEngine>(_engine));
        services.AddLogQuantChatCompletion(AppContext.BaseDirectory);
        services.AddHealthChecks().AddLogQuant(configure: configure);
        return services.BuildServiceProvider();
    }

    private async Task<ServiceProvider> LoadedAsync(Action<LogQuantHealthOptions>? configure = null)
    {
        var services = Services(configure);
        await services.GetRequiredService<IChatCompletionService>().GetChatMessageContentAsync("Hello");
        return services;
    }

    private static async Task<HealthReportEntry> CheckAsync(ServiceProvider services)
    {
        var report = await services.GetRequiredService<HealthCheckService>().CheckHealthAsync(TestContext.Current.CancellationToken);
        report.Entries.Keys.ShouldBe(["logquant"]);
        return report.Entries["logquant"];
    }
}
