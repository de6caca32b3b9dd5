using LocalLlm;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.SemanticKernel;
using SK.Connectors.LogQuant.Hosting;
using SK.Connectors.LogQuant.Tests.RealEngine;

namespace SK.Connectors.LogQuant.Tests.Hosting;

public sealed class WarmupTests
{
    private static readonly string Folder = AppContext.BaseDirectory;
    private readonly CancellationToken _timeout = TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(null)]
    [InlineData("a")]
    public async Task Start_WaitForLoad_HasLoadedTheModel(string? serviceId)
    {
        var loads = 0;
        using var host = ScriptedHost.Build(
            s => s.AddLogQuantChatCompletion(Folder, serviceId).AddLogQuantWarmup(serviceId),
            _ =>
            {
                loads++;
                return Task.FromResult<ILlmEngine>(new ScriptedEngine());
            });

        await host.StartAsync(_timeout);

        loads.ShouldBe(1);
        await host.StopAsync(_timeout);
    }

    [Fact]
    public async Task Start_WaitForLoadAndTheLoadFails_FailsWithItsError()
    {
        using var host = ScriptedHost.Build(
            s => s.AddLogQuantChatCompletion(Folder).AddLogQuantWarmup(),
            _ => Task.FromException<ILlmEngine>(new ModelLoadException("no tokenizer")));

        (await Should.ThrowAsync<ModelLoadException>(() => host.StartAsync(_timeout))).Errors.ShouldBe(["no tokenizer"]);
    }

    [Fact]
    public async Task Start_InTheBackground_StartsAtOnceAndLoadsThen()
    {
        var gate = new TaskCompletionSource();
        var log = new ListLoggerProvider();
        using var host = ScriptedHost.Build(
            s => s.AddLogQuantChatCompletion(Folder).AddLogQuantWarmup(configure: o => o.WaitForLoad = false),
            async _ =>
            {
                await gate.Task;
                return new ScriptedEngine();
            },
            log);

        await host.StartAsync(_timeout);
        log.Texts.ShouldNotContain(t => t.Contains("is loaded and ready", StringComparison.Ordinal));
        gate.SetResult();

        while (!log.Texts.Any(t => t.Contains("'scripted' is loaded and ready", StringComparison.Ordinal)))
            await Task.Delay(5, _timeout);
        await host.StopAsync(_timeout);
    }

    [Fact]
    public async Task Start_InTheBackgroundAndTheLoadFails_StopsTheHostAndSaysWhy()
    {
        var log = new ListLoggerProvider();
        using var host = ScriptedHost.Build(
            s => s.AddLogQuantChatCompletion(Folder).AddLogQuantWarmup(configure: o => o.WaitForLoad = false),
            _ => Task.FromException<ILlmEngine>(new ModelLoadException("no tokenizer")), log);

        await host.StartAsync(_timeout);

        await host.WaitForShutdownAsync(_timeout);
        log.Entries.ShouldContain(e => e.Level == Microsoft.Extensions.Logging.LogLevel.Critical
            && e.Text.Contains("could not be loaded; the application stops", StringComparison.Ordinal)
            && e.Text.Contains("no tokenizer", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Stop_WhileLoadingInTheBackground_EndsTheLoad()
    {
        var cancelled = new TaskCompletionSource();
        var host = ScriptedHost.Build(
            s => s.AddLogQuantChatCompletion(Folder).AddLogQuantWarmup(configure: o => o.WaitForLoad = false),
            async ct =>
            {
                ct.Register(cancelled.SetResult);
                await Task.Delay(Timeout.Infinite, ct);
                return new ScriptedEngine();
            });
        await host.StartAsync(_timeout);

        await host.StopAsync(_timeout);
        host.Dispose();

        await cancelled.Task.WaitAsync(_timeout);
    }

    [Fact]
    public async Task Start_GenerateToken_RunsOneToken()
    {
        var engine = new ScriptedEngine(Script.Text("x"));
        using var host = ScriptedHost.Build(
            s => s.AddLogQuantChatCompletion(Folder).AddLogQuantWarmup(configure: o => o.GenerateToken = true), engine);

        await host.StartAsync(_timeout);

        engine.Requests.ShouldHaveSingleItem().MaxTokens.ShouldBe(1);
        await host.StopAsync(_timeout);
    }

    [Fact]
    public async Task Start_NothingRegisteredUnderTheId_SaysSo()
    {
        using var host = ScriptedHost.Build(s => s.AddLogQuantChatCompletion(Folder, "a").AddLogQuantWarmup("b"), new ScriptedEngine());

        (await Should.ThrowAsync<InvalidOperationException>(() => host.StartAsync(_timeout)))
            .Message.ShouldContain("no engine is registered under 'b'");
    }

    [Fact]
    public async Task Start_RealModel_LogsTheProgressInTenths()
    {
        var log = new ListLoggerProvider();
        var builder = Host.CreateApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Logging.Services.AddSingleton<Microsoft.Extensions.Logging.ILoggerProvider>(log);
        builder.Services.AddLogQuantChatCompletion(o => (o.ModelPath, o.ModelId, o.Threads) = (RealModels.RequireDemoModel(), "demo", 1));
        builder.Services.AddLogQuantWarmup(configure: o => o.GenerateToken = true);
        using var host = builder.Build();

        await host.StartAsync(_timeout);
        await host.StopAsync(_timeout);

        var progress = log.Texts.Where(t => t.StartsWith("Loading 'demo':", StringComparison.Ordinal)).ToList();
        progress.Count.ShouldBeInRange(2, 11);
        progress[0].ShouldContain(": 0 % of");
        progress[^1].ShouldContain(": 100 % of");
        log.Texts.ShouldContain(t => t.StartsWith("'demo' is loaded and ready", StringComparison.Ordinal));
    }
}
