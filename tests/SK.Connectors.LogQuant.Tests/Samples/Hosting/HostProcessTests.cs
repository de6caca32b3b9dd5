using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Agents.Options;

namespace SK.Connectors.LogQuant.Tests.Samples.Hosting;

/// <summary>The scene "host" as a process of its own, with the model that ships.</summary>
public sealed class HostProcessTests
{
    [Fact]
    public async Task Run_Host_LoadsAnswersAndStopsWhenTold()
    {
        AgentsProcess.RequireModel();
        if (OperatingSystem.IsWindows())
            Assert.Skip("needs signals to end a process in good order");
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using Process process = AgentsProcess.Start("--scene", "host", "--json");
        try
        {
            string line = await process.StandardOutput.ReadLineAsync(cancellation) ?? throw new InvalidOperationException("no line");
            using var client = new HttpClient { BaseAddress = new Uri(line.Split(' ').Single(w => w.StartsWith("http", StringComparison.Ordinal))) };
            client.BaseAddress.Host.ShouldBe("127.0.0.1");
            await ReadyAsync(client, cancellation);

            using HttpResponseMessage response = await client.PostAsJsonAsync(
                "api/chat", RunningHost.Said(("user", "We gave Mirvelo falcon-417 as the locker code.")), cancellation);
            string events = await response.Content.ReadAsStringAsync(cancellation);
            using HttpResponseMessage wrong = await client.PostAsJsonAsync("api/chat", RunningHost.Said(), cancellation);

            events.ShouldContain("event: done");
            wrong.StatusCode.ShouldBe(HttpStatusCode.BadRequest);

            using Process kill = Process.Start("kill", ["-TERM", $"{process.Id}"]);
            string rest = await process.StandardOutput.ReadToEndAsync(cancellation);
            await process.WaitForExitAsync(cancellation);
            process.ExitCode.ShouldBe(ExitCode.Done);
            JsonElement figures = JsonDocument.Parse(rest.TrimEnd().Split('\n')[^1]).RootElement;
            figures.GetProperty("scene").GetString().ShouldBe("host");
            figures.GetProperty("requests").GetInt32().ShouldBe(2);
            figures.GetProperty("completed").GetInt32().ShouldBe(1);
            figures.GetProperty("failed").GetInt32().ShouldBe(1);
        }
        finally
        {
            if (!process.HasExited)
                process.Kill();
        }
    }

    [Fact]
    public async Task Run_HostWithoutModel_FailsWithTheFolder()
    {
        Ended ended = await AgentsProcess.RunAsync("", "--scene", "host", "--model", "/no/such/model");

        ended.ExitCode.ShouldBe(ExitCode.Failed);
        ended.Error.ShouldContain("/no/such/model");
    }

    private static async Task ReadyAsync(HttpClient client, CancellationToken cancellation)
    {
        HttpStatusCode status;
        do
        {
            using HttpResponseMessage health = await client.GetAsync("/health", cancellation);
            status = health.StatusCode;
            status.ShouldBeOneOf(HttpStatusCode.OK, HttpStatusCode.ServiceUnavailable);
            await Task.Delay(50, cancellation);
        }
        while (status != HttpStatusCode.OK);
    }
}
