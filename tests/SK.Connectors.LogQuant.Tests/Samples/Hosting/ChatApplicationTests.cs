using System.Net;
using System.Net.Http.Json;
using System.Net.NetworkInformation;
using System.Text;
using System.Text.Json;
using Agents.Hosting;
using LocalLlm;

namespace SK.Connectors.LogQuant.Tests.Samples.Hosting;

public sealed class ChatApplicationTests
{
    [Fact]
    public async Task Chat_Text_StreamsItAsEvents()
    {
        await using var host = await RunningHost.StartAsync(new ScriptedEngine(Script.Text("Hello", " there")));

        using HttpResponseMessage response = await host.PostAsync(RunningHost.Said(("user", "Hi")));

        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        response.Content.Headers.ContentType!.MediaType.ShouldBe("text/event-stream");
        var events = await EventsAsync(response);
        events.Select(e => e.Name).ShouldBe(["text", "text", "usage", "done"]);
        string.Concat(events.Take(2).Select(e => e.Data.GetProperty("delta").GetString())).ShouldBe("Hello there");
        events[2].Data.GetProperty("cached_prompt_tokens").GetInt32().ShouldBe(60);
        events[2].Data.GetProperty("kv_bytes").GetInt64().ShouldBe(5000);
        events[3].Data.GetProperty("answer").GetString().ShouldBe("Hello there");
    }

    [Fact]
    public async Task Chat_ToolCall_IsCarriedOutAndShown_AndComesBackInTheHistory()
    {
        var engine = new ScriptedEngine(
            Script.Calls(("c1", "Stock-add", """{"item":"copper valve","quantity":5}""")), Script.Text("Added."), Script.Text("As I said."));
        await using var host = await RunningHost.StartAsync(engine);

        using HttpResponseMessage response = await host.PostAsync(RunningHost.Said(("user", "Add 5 units.")));
        var events = await EventsAsync(response);

        JsonElement tool = events.Single(e => e.Name == "tool").Data;
        tool.GetProperty("name").GetString().ShouldBe("Stock-add");
        tool.GetProperty("round").GetInt32().ShouldBe(1);
        tool.GetProperty("result").GetString().ShouldBe("409 units of copper valve");

        object call = new { id = "c1", name = "Stock-add", arguments = tool.GetProperty("arguments"), result = tool.GetProperty("result").GetString() };
        using HttpResponseMessage next = await host.PostAsync(new
        {
            messages = new object[]
            {
                new { role = "user", content = "Add 5 units." },
                new { role = "assistant", content = "Added.", rounds = new[] { new[] { call } } },
                new { role = "user", content = "What?" },
            },
        });
        await EventsAsync(next);

        // The conversation that the page sends is the one that the model had.
        engine.Requests[2].Turns.Select(t => t.Role).ShouldBe(
            [ChatRole.System, ChatRole.User, ChatRole.Assistant, ChatRole.Tool, ChatRole.Assistant, ChatRole.User]);
        engine.Requests[2].Turns.Take(4).Select(t => t.Content).ShouldBe(engine.Requests[1].Turns.Select(t => t.Content));
        engine.Requests[2].Turns[2].ToolCalls.Single().Name.ShouldBe("Stock-add");
    }

    [Fact]
    public async Task Chat_ClientGoesAway_EndsTheGeneration()
    {
        var started = new TaskCompletionSource();
        var ended = new TaskCompletionSource();
        var engine = new ScriptedEngine(Script.Text("never", "read"))
        {
            BeforeUpdate = async token =>
            {
                started.TrySetResult();
                try
                {
                    await Task.Delay(Timeout.Infinite, token);
                }
                finally
                {
                    ended.TrySetResult();
                }
            },
        };
        await using var host = await RunningHost.StartAsync(engine);
        using var abort = new CancellationTokenSource();

        Task<HttpResponseMessage> response = host.PostAsync(RunningHost.Said(("user", "Hi")), abort.Token);
        await started.Task;
        await abort.CancelAsync();

        await Should.ThrowAsync<OperationCanceledException>(response);
        await ended.Task.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
    }

    [Theory]
    [InlineData("""{"messages": []}""", 400, "messages is empty")]
    [InlineData("""{}""", 400, "the body has no 'messages'")]
    [InlineData("""[]""", 400, "the body is an array")]
    [InlineData("""{"messages": "Hi"}""", 400, "'messages' is a string")]
    [InlineData("""{"messages": [3]}""", 400, "messages[0] is a number")]
    [InlineData("""{"messages": [{"role": "user"}]}""", 400, "messages[0] has no 'content'")]
    [InlineData("""{"messages": [{"role": "user", "content": 3}]}""", 400, "'content' is a number")]
    [InlineData("""{"messages": [{"role": "user", "content": ""}]}""", 400, "content is empty")]
    [InlineData("""{"messages": [{"role": "root", "content": "Hi"}, {"role": "user", "content": "Hi"}]}""", 400, "messages[0].role is 'root'")]
    [InlineData("""{"messages": [{"role": "assistant", "content": "Hi"}]}""", 400, "the last message must be the user's")]
    [InlineData("""{"messages": [{"role": "assistant", "content": "", "rounds": [[]]}, {"role": "user", "content": "Hi"}]}""", 400, "rounds[0] is no array of calls")]
    [InlineData("""{"messages": [""", 400, "no JSON")]
    public async Task Chat_WrongBody_IsAProblemThatSaysWhat(string body, int status, string expected)
    {
        await using var host = await RunningHost.StartAsync(new ScriptedEngine());

        using HttpResponseMessage response = await host.Client.PostAsync("api/chat", new StringContent(body, Encoding.UTF8, "application/json"));

        ((int)response.StatusCode).ShouldBe(status);
        (await ProblemAsync(response)).ShouldContain(expected);
    }

    [Fact]
    public async Task Chat_NoJson_IsRefused()
    {
        await using var host = await RunningHost.StartAsync(new ScriptedEngine());

        using HttpResponseMessage response = await host.Client.PostAsync("api/chat", new StringContent("Hi"));

        response.StatusCode.ShouldBe(HttpStatusCode.UnsupportedMediaType);
        (await ProblemAsync(response)).ShouldContain("text/plain");
    }

    [Fact]
    public async Task Chat_TooLong_TellsTheLimit()
    {
        await using var host = await RunningHost.StartAsync(new OracleEngine([], contextTokens: 100));

        using HttpResponseMessage context = await host.PostAsync(RunningHost.Said(("user", new string('x', 1000))));
        using HttpResponseMessage body = await host.PostAsync(RunningHost.Said(("user", new string('x', ChatRequestReader.MaxBytes))));

        context.StatusCode.ShouldBe(HttpStatusCode.RequestEntityTooLarge);
        (await ProblemAsync(context)).ShouldContain("100");
        body.StatusCode.ShouldBe(HttpStatusCode.RequestEntityTooLarge);
        (await ProblemAsync(body)).ShouldContain("the limit");
    }

    [Fact]
    public async Task Chat_ErrorMidway_IsTheLastEvent()
    {
        var engine = new ScriptedEngine(Fail());
        await using var host = await RunningHost.StartAsync(engine);

        using HttpResponseMessage response = await host.PostAsync(RunningHost.Said(("user", "Hi")));
        var events = await EventsAsync(response);

        events.Select(e => e.Name).ShouldBe(["text", "error"]);
        events[1].Data.GetProperty("message").GetString().ShouldBe("The engine broke.");

        static IEnumerable<GenerationUpdate> Fail()
        {
            yield return new TextDelta("Hel");
            throw new LocalLlmException("The engine broke.");
        }
    }

    [Fact]
    public async Task Page_Loads_WithAPolicyThatItsMarkupKeeps()
    {
        await using var host = await RunningHost.StartAsync(new ScriptedEngine());

        using HttpResponseMessage response = await host.Client.GetAsync("/");
        string page = await response.Content.ReadAsStringAsync();

        response.Headers.GetValues("Content-Security-Policy").Single().ShouldBe(ChatApplication.ContentSecurityPolicy);
        ChatApplication.ContentSecurityPolicy.ShouldNotContain("unsafe");
        page.ShouldContain("<main");
        page.ShouldNotContain("<style");
        page.ShouldNotContain(" style=");
        page.ShouldNotContain(" onclick");
        page.ShouldNotContain("//");
        foreach (string file in new[] { "chat.js", "chat.css", "icon.svg" })
            (await host.Client.GetAsync(file)).StatusCode.ShouldBe(HttpStatusCode.OK, file);
    }

    [Fact]
    public async Task Health_ReadyEngine_NamesTheModel()
    {
        await using var host = await RunningHost.StartAsync(new ScriptedEngine());

        JsonElement health = await host.Client.GetFromJsonAsync<JsonElement>("/health");

        health.GetProperty("status").GetString().ShouldBe("Healthy");
        health.GetProperty("model").GetString().ShouldBe("scripted");
    }

    [Fact]
    public async Task Listen_Always_OnTheLoopbackAddressAlone()
    {
        await using var host = await RunningHost.StartAsync(new ScriptedEngine());
        int port = host.Client.BaseAddress!.Port;

        IPEndPoint[] listeners = [.. IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpListeners().Where(l => l.Port == port)];

        listeners.ShouldAllBe(l => IPAddress.IsLoopback(l.Address));
        listeners.ShouldNotBeEmpty();
    }

    [Fact]
    public async Task AnyRequest_ForAnotherHostName_IsRefused()
    {
        await using var host = await RunningHost.StartAsync(new ScriptedEngine());
        using var request = new HttpRequestMessage(HttpMethod.Get, "/health") { Headers = { Host = "elsewhere.example" } };

        using HttpResponseMessage response = await host.Client.SendAsync(request);

        response.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
    }

    private static async Task<string> ProblemAsync(HttpResponseMessage response)
    {
        response.Content.Headers.ContentType!.MediaType.ShouldBe("application/problem+json");
        return (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("detail").GetString()!;
    }

    private static async Task<List<(string Name, JsonElement Data)>> EventsAsync(HttpResponseMessage response) =>
    [
        .. (await response.Content.ReadAsStringAsync()).Split("\n\n", StringSplitOptions.RemoveEmptyEntries).Select(e => e.Split('\n'))
            .Select(lines => (lines[0]["event: ".Length..], JsonDocument.Parse(lines[1]["data: ".Length..]).RootElement)),
    ];
}
