using System.Net;
using System.Text.Json.Nodes;
using Agents.Conversation;
using Agents.Options;
using Agents.Plugins;
using LocalLlm;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Diagnostics.HealthChecks;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.FileProviders;
using Microsoft.Extensions.Logging;
using Microsoft.SemanticKernel;

namespace Agents.Hosting;

/// <summary>The web application: a chat endpoint, a health check and a page, on the loopback address alone.</summary>
internal static class ChatApplication
{
    /// <summary>What a page of this origin may do: its own scripts, styles and requests, nothing else.</summary>
    public const string ContentSecurityPolicy =
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    /// <summary>Builds it; the model loads once it starts.</summary>
    /// <param name="options">Port, model and settings.</param>
    /// <param name="addEngine">Registers the engine.</param>
    public static WebApplication Build(SampleOptions options, Action<IServiceCollection>? addEngine = null)
    {
        // Empty: no configuration file and no environment variable can open another address.
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new() { ApplicationName = "Agents", ContentRootPath = AppContext.BaseDirectory });
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(IPAddress.Loopback, options.Port ?? 0);
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = ChatRequestReader.MaxBytes;
        });
        builder.Logging.AddFilter(level => level >= LogLevel.Warning);

        IServiceCollection services = builder.Services;
        services.AddRoutingCore();
        services.AddProblemDetails();

        // A page elsewhere can name this address as its own, so the name that was asked for counts.
        services.AddHostFiltering(hosts => hosts.AllowedHosts = ["127.0.0.1", "localhost"]);
        if (addEngine is null)
            services.AddLogQuantChatCompletion(engine => LocalModel.Configure(engine, options));
        else
            addEngine(services);
        services.AddKernel();
        services.AddSingleton<IAutoFunctionInvocationFilter, SerialTools>();
        services.AddLogQuantWarmup(configure: warmup => warmup.WaitForLoad = false);
        services.AddHealthChecks().AddLogQuant(configure: health => health.LoadingStatus = HealthStatus.Unhealthy);
        services.AddSingleton<RequestCounts>();

        WebApplication app = builder.Build();
        var workshop = new Kernel();
        workshop.OpenWorkshop();
        app.UseHostFiltering();
        app.Use(SetHeaders);
        var files = new PhysicalFileProvider(Path.Combine(AppContext.BaseDirectory, "wwwroot"));
        app.UseDefaultFiles(new DefaultFilesOptions { FileProvider = files });
        app.UseStaticFiles(new StaticFileOptions { FileProvider = files });
        app.MapHealthChecks("/health", new HealthCheckOptions { ResponseWriter = WriteHealthAsync });
        app.MapPost("/api/chat", (HttpContext context) =>
        {
            // A kernel of the container's is transient, its plugins included; the workshop is the application's.
            var kernel = new Kernel(context.RequestServices, workshop.Plugins);
            return new ChatEndpoint(options, kernel, app.Services.GetRequiredService<ILlmEngine>(), app.Services.GetRequiredService<RequestCounts>())
                .AnswerAsync(context);
        });
        return app;
    }

    private static Task SetHeaders(HttpContext context, RequestDelegate next)
    {
        IHeaderDictionary headers = context.Response.Headers;
        headers.ContentSecurityPolicy = ContentSecurityPolicy;
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "no-referrer";
        return next(context);
    }

    private static Task WriteHealthAsync(HttpContext context, HealthReport report)
    {
        HealthReportEntry entry = report.Entries.Values.First();
        var health = new JsonObject { ["status"] = report.Status.ToString(), ["description"] = entry.Description };
        foreach ((string name, object value) in entry.Data)
            health[name] = JsonValue.Create(value);
        return context.Response.WriteAsJsonAsync(health, context.RequestAborted);
    }
}
