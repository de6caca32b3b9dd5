using System.Diagnostics;
using System.Runtime.ExceptionServices;
using Agents.Hosting;
using Agents.Scoring;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;

namespace Agents.Scenes;

/// <summary>Serves the agent to a browser until it is stopped.</summary>
internal sealed class HostScene : IScene
{
    public async Task<SceneResult> RunAsync(SceneContext context)
    {
        var clock = Stopwatch.StartNew();
        await using WebApplication app = ChatApplication.Build(context.Options);
        var end = ConversationEnd.Complete;
        try
        {
            await context.Interrupt.RunAsync(async token =>
            {
                await app.StartAsync(token);
                context.Terminal.Raw($"listening on {app.Urls.First()} (Ctrl-C stops it)\n");
                await app.WaitForShutdownAsync(token);
                return true;
            });
        }
        catch (OperationCanceledException)
        {
            end = ConversationEnd.Cancelled;
        }

        if (end == ConversationEnd.Complete)
            await ThrowIfFaultedAsync(app.Services);
        var counts = app.Services.GetRequiredService<RequestCounts>();
        return new(end, ResultJson.Of(context.Options, counts.Model, end, clock.Elapsed, counts.ToJson()));
    }

    /// <summary>A model that cannot be loaded stops the host; its error is the scene's.</summary>
    private static async Task ThrowIfFaultedAsync(IServiceProvider services)
    {
        HealthReport health = await services.GetRequiredService<HealthCheckService>().CheckHealthAsync();
        if (health.Entries.Values.Select(e => e.Exception).FirstOrDefault(e => e is not null) is { } error)
            ExceptionDispatchInfo.Throw(error);
    }
}
