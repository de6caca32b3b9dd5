using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using Shouldly;
using Xunit;
using TurnRole = LocalLlm.ChatRole;

namespace SK.Connectors.LogQuant.Tests.ToolLoop;

/// <summary>Through a kernel, as most applications use the connector.</summary>
public sealed class KernelTests
{
    private static Kernel ChatKernel(ScriptedEngine engine, ClockPlugin plugin)
    {
        var builder = Kernel.CreateBuilder().AddLogQuantChatCompletion(_ => engine);
        builder.Plugins.AddFromObject(plugin, "Clock");
        return builder.Build();
    }

    private static Kernel ClientKernel(ScriptedEngine engine, ClockPlugin plugin)
    {
        var builder = Kernel.CreateBuilder().AddLogQuantChatClient(_ => engine);
        builder.Plugins.AddFromObject(plugin, "Clock");
        return builder.Build();
    }

    [Fact]
    public async Task InvokePrompt_WithFunctions_CallsThemAndAnswers()
    {
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Time", """{"city":"Rome"}""")), Script.Text("It is noon."));
        var plugin = new ClockPlugin();
        var settings = new LogQuantPromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(), MaxTokens = 50 };

        var result = await ChatKernel(engine, plugin).InvokePromptAsync("What time is it in {{$city}}?", new KernelArguments(settings) { ["city"] = "Rome" });

        result.ToString().ShouldBe("It is noon.");
        result.Metadata!["Usage"].ShouldBeOfType<UsageDetails>();
        plugin.Calls.ShouldBe(["Time(Rome)"]);
        engine.Requests[0].Turns.ShouldHaveSingleItem().Content.ShouldBe("What time is it in Rome?");
        engine.Requests.ShouldAllBe(r => r.MaxTokens == 50);
    }

    [Fact]
    public async Task InvokePromptStreaming_WithFunctions_StreamsTheAnswer()
    {
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Time", """{"city":"Rome"}""")), Script.Text("It ", "is ", "noon."));
        var plugin = new ClockPlugin();
        var arguments = new KernelArguments(new LogQuantPromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto() });

        var parts = await ChatKernel(engine, plugin).InvokePromptStreamingAsync<string>("What time is it?", arguments).ToListAsync();

        string.Concat(parts).ShouldBe("It is noon.");
        parts.Count(p => p.Length > 0).ShouldBe(3);
        plugin.Calls.ShouldBe(["Time(Rome)"]);
    }

    [Fact]
    public async Task InvokePrompt_ChatPrompt_KeepsItsRoles()
    {
        var engine = new ScriptedEngine(Script.Text("Hi."));

        await ChatKernel(engine, new()).InvokePromptAsync("<message role=\"system\">Be brief.</message><message role=\"user\">Hello</message>");

        engine.Requests[0].Turns.Select(t => (t.Role, t.Content)).ShouldBe([(TurnRole.System, "Be brief."), (TurnRole.User, "Hello")]);
    }

    [Fact]
    public async Task InvokePrompt_SettingsOfAnotherKind_Work()
    {
        var engine = new ScriptedEngine(Script.Text("Hi."));
        var arguments = new KernelArguments(new PromptExecutionSettings { ExtensionData = new Dictionary<string, object> { ["temperature"] = 0 } });

        await ChatKernel(engine, new()).InvokePromptAsync("Hello", arguments);

        engine.Requests[0].Sampling!.Temperature.ShouldBe(0);
    }

    [Theory]
    [InlineData("auto", "auto")]
    [InlineData("required", "required")]
    [InlineData("none", "none")]
    public async Task InvokePrompt_ChoiceInThePromptsOwnSettings_IsKept(string type, string expected)
    {
        var engine = new ScriptedEngine(Script.Text("Hi."));
        var config = PromptTemplateConfig.FromJson($$"""
            {
              "template": "Hello",
              "execution_settings": {
                "default": {
                  "temperature": 0.5,
                  "max_tokens": 7,
                  "function_choice_behavior": { "type": "{{type}}", "functions": ["Clock.Time", "Clock.Add"], "options": { "allow_parallel_calls": false } },
                  "response_format": { "type": "json_schema", "json_schema": { "name": "answer", "strict": true, "schema": { "type": "object" } } }
                }
              }
            }
            """);

        await ChatKernel(engine, new()).InvokeAsync(KernelFunctionFactory.CreateFromPrompt(config));

        var request = engine.Requests[0];
        request.Tools.Select(t => t.Name).ShouldBe(["Clock-Time", "Clock-Add"]);
        request.ToolChoice.ShouldBe(expected switch { "auto" => ToolChoice.Auto, "required" => ToolChoice.Required, _ => ToolChoice.None });
        request.AllowParallelToolCalls.ShouldBeFalse();
        request.Constraint.ShouldBeOfType<JsonSchemaConstraint>().Schema.GetRawText().ShouldBe("""{"type":"object"}""");
        (request.MaxTokens, request.Sampling!.Temperature).ShouldBe((7, 0.5f));
    }

    [Fact]
    public async Task InvokePrompt_SeveralTurnsOfAChat_EachSendsTheWholeHistory()
    {
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Time", """{ "city": "Rome" }""")), Script.Text("Noon."), Script.Text("You asked of Rome."));
        var kernel = ChatKernel(engine, new());
        var chat = kernel.GetRequiredService<IChatCompletionService>();
        var settings = new LogQuantPromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto() };
        var history = new ChatHistory("Be brief.");

        history.AddUserMessage("What time is it in Rome?");
        history.Add(await chat.GetChatMessageContentAsync(history, settings, kernel));
        history.AddUserMessage("Which city?");
        await chat.GetChatMessageContentAsync(history, settings, kernel);

        engine.Requests[2].Turns.Select(t => t.Role).ShouldBe([
            TurnRole.System, TurnRole.User, TurnRole.Assistant, TurnRole.Tool, TurnRole.Assistant, TurnRole.User]);
        engine.Requests[2].Turns[2].ToolCalls[0].ArgumentsJson.ShouldBe("""{ "city": "Rome" }""");
        engine.Requests[2].Turns[4].Content.ShouldBe("Noon.");
    }

    [Fact]
    public async Task InvokePrompt_ThroughTheChatClient_InvokesKernelFunctionsAndFilters()
    {
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock_Time", """{"city":"Rome"}""")), Script.Text("It is noon."));
        var plugin = new ClockPlugin();
        var kernel = ClientKernel(engine, plugin);
        var filtered = new List<string>();
        kernel.AutoFunctionInvocationFilters.Add(new Filter((context, next) =>
        {
            filtered.Add(context.Function.Name);
            return next(context);
        }));
        var settings = new LogQuantPromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(), MinP = 0.1, MaxTokens = 9 };

        var result = await kernel.InvokePromptAsync("What time is it?", new KernelArguments(settings));

        result.ToString().ShouldBe("It is noon.");
        plugin.Calls.ShouldBe(["Time(Rome)"]);
        filtered.Count.ShouldBe(1);
        engine.Requests[0].Sampling!.MinP.ShouldBe(0.1f);
        engine.Requests.ShouldAllBe(r => r.MaxTokens == 9);
        engine.Requests[1].Turns[^1].Content.ShouldBe("noon in Rome");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task ChatClient_AsChatCompletionService_NextTurnSendsTheCallsAsTheyWereMade(bool streaming)
    {
        var engine = new ScriptedEngine(
            Script.Calls(("c1", "Clock_Time", """{"city":"Rome"}"""), ("c2", "Clock_Time", """{"city":"Oslo"}""")), Script.Text("Noon."), Script.Text("Bye."));
        var kernel = ClientKernel(engine, new ClockPlugin());
        var chat = kernel.GetRequiredService<IChatClient>().AsChatCompletionService(kernel.Services);
        var settings = new LogQuantPromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto() };
        var history = new ChatHistory();

        foreach (var text in new[] { "What time is it?", "Bye" })
        {
            history.AddUserMessage(text);
            history.AddAssistantMessage(streaming
                ? string.Concat(await chat.GetStreamingChatMessageContentsAsync(history, settings, kernel).Select(p => p.Content).ToListAsync())
                : (await chat.GetChatMessageContentAsync(history, settings, kernel)).Content!);
        }

        var before = engine.Requests[1].Turns;
        before.Select(t => t.Role).ShouldBe([TurnRole.User, TurnRole.Assistant, TurnRole.Tool, TurnRole.Tool]);
        before[1].ToolCalls.Select(c => c.Id).ShouldBe(["c1", "c2"]);
        engine.Requests[2].Turns.Take(4).Select(t => (t.Role, t.Content, t.ToolCallId)).ShouldBe(before.Select(t => (t.Role, t.Content, t.ToolCallId)));
        engine.Requests[2].Turns[1].ToolCalls.ShouldBe(before[1].ToolCalls);
    }

    [Fact]
    public async Task GetResponse_ThroughTheRegisteredClient_InvokesPlainFunctions()
    {
        var engine = new ScriptedEngine(Script.Calls(("c1", "add", """{"a":1,"b":2}""")), Script.Text("3"));
        await using var provider = new ServiceCollection().AddLogQuantChatClient(_ => engine).BuildServiceProvider();
        var client = provider.GetRequiredService<IChatClient>();

        var response = await client.GetResponseAsync("1+2?", new() { Tools = [AIFunctionFactory.Create((int a, int b) => a + b, "add")] });

        response.Text.ShouldBe("3");
        engine.Requests[1].Turns[^1].Content.ShouldBe("3");
        client.GetService<ILlmEngine>().ShouldBeSameAs(engine);
    }
}
