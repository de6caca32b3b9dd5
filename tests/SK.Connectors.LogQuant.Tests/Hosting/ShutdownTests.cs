using LocalLlm;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using SK.Connectors.LogQuant.Hosting;

namespace SK.Connectors.LogQuant.Tests.Hosting;

public sealed class ShutdownTests : IDisposable
{
    private readonly CancellationToken _timeout = TestContext.Current.CancellationToken;
    private readonly TaskCompletionSource _started = new();
    private readonly TaskCompletionSource _release = new();
    private readonly ListLoggerProvider _log = new();

    public void Dispose() => _log.Dispose();

    [Fact]
    public async Task Stop_ARequestRuns_IsWaitedForAndNewOnesAreRefused()
    {
        var (host, engine) = await StartAsync(TimeSpan.FromMinutes(1));
        var chat = host.Services.GetRequiredService<IChatCompletionService>();
        var running = chat.GetChatMessageContentAsync("Hello");
        await _started.Task.WaitAsync(_timeout);

        var stopping = host.StopAsync(_timeout);
        while (!_log.Texts.Any(t => t.StartsWith("1 requests", StringComparison.Ordinal) && t.Contains("get 00:01:00 to end")))
            await Task.Delay(5, _timeout);
        var refused = await Should.ThrowAsync<LocalLlmException>(() => chat.GetChatMessageContentAsync("Hello again"));
        stopping.IsCompleted.ShouldBeFalse();
        _release.SetResult();

        (await running).Content.ShouldBe("Good day");
        await stopping;
        refused.Message.ShouldContain("shutting down");
        engine.Requests.Count.ShouldBe(1);
        host.Dispose();
        engine.IsDisposed.ShouldBeTrue();
    }

    [Fact]
    public async Task Stop_ARequestOutlivesTheGracePeriod_EndsWithAnErrorThatSaysSo()
    {
        var (host, engine) = await StartAsync(TimeSpan.Zero);
        using var _ = host;
        var running = host.Services.GetRequiredService<IChatCompletionService>().GetChatMessageContentAsync("Hello");
        await _started.Task.WaitAsync(_timeout);

        await host.StopAsync(_timeout);

        (await Should.ThrowAsync<LocalLlmException>(() => running)).Message.ShouldContain("shut down before the answer was complete");
        engine.EndedRequests.ShouldBe(1);
    }

    [Fact]
    public async Task Stop_TheHostsTimeoutComesFirst_EndsTheRequests()
    {
        var (host, _) = await StartAsync(TimeSpan.FromHours(1), hostTimeout: TimeSpan.FromMilliseconds(50));
        using var disposing = host;
        var running = host.Services.GetRequiredService<IChatCompletionService>().GetChatMessageContentAsync("Hello");
        await _started.Task.WaitAsync(_timeout);

        try
        {
            await host.StopAsync(_timeout);
        }
        catch (OperationCanceledException)
        {
            // The host's own way to tell that its time was over.
        }

        (await Should.ThrowAsync<LocalLlmException>(() => running)).Message.ShouldContain("shut down before the answer was complete");
    }

    [Fact]
    public async Task Cancel_ByTheCallerWhileStopping_IsACancellation()
    {
        var (host, _) = await StartAsync(TimeSpan.FromMinutes(1));
        using var disposing = host;
        using var cancellation = new CancellationTokenSource();
        var running = host.Services.GetRequiredService<IChatCompletionService>()
            .GetChatMessageContentAsync("Hello", cancellationToken: cancellation.Token);
        await _started.Task.WaitAsync(_timeout);
        var stopping = host.StopAsync(_timeout);

        await cancellation.CancelAsync();

        await Should.ThrowAsync<OperationCanceledException>(() => running);
        await stopping;
    }

    [Fact]
    public async Task Stop_NothingRuns_IsImmediate()
    {
        var (host, _) = await StartAsync(TimeSpan.FromHours(1));
        using var disposing = host;

        await host.StopAsync(_timeout);

        _log.Texts.ShouldNotContain(t => t.Contains("to end; new ones are refused", StringComparison.Ordinal));
    }

    [Fact]
    public void GracePeriod_Negative_IsAnError() =>
        Should.Throw<ArgumentOutOfRangeException>(() => new LogQuantShutdownOptions { GracePeriod = TimeSpan.FromSeconds(-1) });

    private async Task<(IHost Host, ScriptedEngine Engine)> StartAsync(TimeSpan gracePeriod, TimeSpan? hostTimeout = null)
    {
        var engine = new ScriptedEngine(Script.Text("Good ", "day"))
        {
            BeforeUpdate = async ct =>
            {
                _started.TrySetResult();
                await _release.Task.WaitAsync(ct);
            },
        };
        var host = ScriptedHost.Build(
            s =>
            {
                s.AddLogQuantChatCompletion(AppContext.BaseDirectory);
                s.Configure<LogQuantShutdownOptions>(o => o.GracePeriod = gracePeriod);
                s.Configure<HostOptions>(o => o.ShutdownTimeout = hostTimeout ?? TimeSpan.FromMinutes(2));
            },
            engine, _log);
        await host.StartAsync(_timeout);
        return (host, engine);
    }
}
