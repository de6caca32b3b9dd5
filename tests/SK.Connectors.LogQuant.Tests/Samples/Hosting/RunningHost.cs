using System.Net.Http.Json;
using Agents.Hosting;
using Agents.Options;
using LocalLlm;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.SemanticKernel;

namespace SK.Connectors.LogQuant.Tests.Samples.Hosting;

/// <summary>The sample's web application in this process, on a free port.</summary>
internal sealed class RunningHost : IAsyncDisposable
{
    private RunningHost(WebApplication app) => (App, Client) = (app, new HttpClient { BaseAddress = new Uri(app.Urls.Single()) });

    public WebApplication App { get; }

    public HttpClient Client { get; }

    public RequestCounts Counts => App.Services.GetRequiredService<RequestCounts>();

    public static async Task<RunningHost> StartAsync(ILlmEngine engine)
    {
        WebApplication app = ChatApplication.Build(new SampleOptions(), services =>
        {
            services.AddLogQuantEngine(_ => engine);
            services.AddLogQuantChatCompletion(provider => provider.GetRequiredService<ILlmEngine>());
        });
        await app.StartAsync(TestContext.Current.CancellationToken);
        return new(app);
    }

    public Task<HttpResponseMessage> PostAsync(object body, CancellationToken cancellationToken = default)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, "api/chat") { Content = JsonContent.Create(body) };
        return Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
    }

    public static object Said(params (string Role, string Content)[] messages) =>
        new { messages = messages.Select(m => new { role = m.Role, content = m.Content }) };

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await App.DisposeAsync();
    }
}
