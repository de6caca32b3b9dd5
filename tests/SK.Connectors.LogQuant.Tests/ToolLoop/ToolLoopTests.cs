using LocalLlm;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using Shouldly;
using Xunit;
using TurnRole = LocalLlm.ChatRole;

namespace SK.Connectors.LogQuant.Tests.ToolLoop;

/// <summary>Each test runs the loop in both modes; <see cref="RunAsync"/> gives the messages that the caller sees.</summary>
public sealed class ToolLoopTests
{
    private static readonly LogQuantPromptExecutionSettings Auto = new() { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto() };

    private static async Task<(string Text, IReadOnlyList<StreamingKernelContent> Items)> RunAsync(
        bool streaming, ScriptedEngine engine, ChatHistory history, PromptExecutionSettings settings, Kernel? kernel, CancellationToken ct = default)
    {
        var service = new LogQuantChatCompletionService(engine);
        if (!streaming)
            return ((await service.GetChatMessageContentsAsync(history, settings, kernel, ct)).ShouldHaveSingleItem().Content ?? "", []);
        var parts = await service.GetStreamingChatMessageContentsAsync(history, settings, kernel, ct).ToListAsync(ct);
        return (string.Concat(parts.Select(p => p.Content)), [.. parts.SelectMany(p => p.Items)]);
    }

    private static ChatHistory Ask(string text = "What time is it?") => [new ChatMessageContent(AuthorRole.User, text)];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Auto_OneCall_IsMadeAndAnswered(bool streaming)
    {
        var (kernel, plugin) = ClockPlugin.Kernel();
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Time", """{"city":"Rome"}""")), Script.Text("It is ", "noon."));
        var history = Ask();

        var (text, _) = await RunAsync(streaming, engine, history, Auto, kernel);

        text.ShouldBe("It is noon.");
        plugin.Calls.ShouldBe(["Time(Rome)"]);
        engine.Requests[0].Tools.Select(t => t.Name).ShouldBe(["Clock-Time", "Clock-Add", "Clock-Fail", "Clock-Facts"], ignoreOrder: true);
        engine.Requests[0].Tools.ShouldAllBe(t => !t.Parameters.ToString().Contains("condition"));
        var turns = engine.Requests[1].Turns;
        turns.Select(t => t.Role).ShouldBe([TurnRole.User, TurnRole.Assistant, TurnRole.Tool]);
        turns[1].ToolCalls.ShouldBe([new ToolCall("c1", "Clock-Time", """{"city":"Rome"}""")]);
        (turns[2].ToolCallId, turns[2].Name, turns[2].Content).ShouldBe(("c1", "Clock-Time", "noon in Rome"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Auto_OneCall_HistoryHoldsCallAndResultAsSemanticKernelKeepsThem(bool streaming)
    {
        var (kernel, _) = ClockPlugin.Kernel();
        var engine = new ScriptedEngine(
            [new TextDelta("Let me see."), .. Script.Calls(("c1", "Clock-Time", """{"city":"Rome"}"""))], Script.Text("Noon."));
        var history = Ask();

        await RunAsync(streaming, engine, history, Auto, kernel);

        history.Select(m => m.Role).ShouldBe([AuthorRole.User, AuthorRole.Assistant, AuthorRole.Tool]);
        history[1].Content.ShouldBe("Let me see.");
        history[1].Metadata!["FinishReason"].ShouldBe("tool_calls");
        var call = history[1].Items.OfType<FunctionCallContent>().ShouldHaveSingleItem();
        (call.Id, call.PluginName, call.FunctionName).ShouldBe(("c1", "Clock", "Time"));
        call.Arguments!["city"].ShouldBe("Rome");
        var result = history[2].Items.OfType<FunctionResultContent>().ShouldHaveSingleItem();
        (result.CallId, result.PluginName, result.FunctionName, result.Result).ShouldBe(("c1", "Clock", "Time", "noon in Rome"));
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public async Task Auto_SeveralCalls_OneAssistantMessageAndResultsInCallOrder(bool streaming, bool concurrent)
    {
        var (kernel, plugin) = ClockPlugin.Kernel();
        var first = new TaskCompletionSource<string>();
        kernel.Plugins.AddFromFunctions("Slow", [
            KernelFunctionFactory.CreateFromMethod(() => concurrent ? first.Task : Task.FromResult("first"), "First"),
            KernelFunctionFactory.CreateFromMethod(() => { first.TrySetResult("first"); return "second"; }, "Second")]);
        var engine = new ScriptedEngine(
            Script.Calls(("c1", "Slow-First", "{}"), ("c2", "Nobody-Knows", "{}"), ("c3", "Slow-Second", "{}"), ("c4", "Clock-Add", """{"a":1,"b":2}""")),
            Script.Text("done"));
        var history = Ask();
        var settings = new LogQuantPromptExecutionSettings
        {
            FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(options: new() { AllowConcurrentInvocation = concurrent }),
        };

        await RunAsync(streaming, engine, history, settings, kernel).WaitAsync(TimeSpan.FromSeconds(30));

        history.Select(m => m.Role).ShouldBe([AuthorRole.User, AuthorRole.Assistant, AuthorRole.Tool, AuthorRole.Tool, AuthorRole.Tool, AuthorRole.Tool]);
        var results = history.Skip(2).Select(m => m.Items.OfType<FunctionResultContent>().ShouldHaveSingleItem()).ToList();
        results.Select(r => r.CallId).ShouldBe(["c1", "c2", "c3", "c4"]);
        results.Where(r => r.CallId != "c2").Select(r => r.Result).ShouldBe(["first", "second", "3"]);
        results[1].Result.ShouldBeOfType<string>().ShouldStartWith("Error: there is no function 'Nobody-Knows'");
        engine.Requests[1].Turns[1].ToolCalls.Select(c => c.Id).ShouldBe(["c1", "c2", "c3", "c4"]);
        plugin.Calls.ShouldBe(["Add(1,2)"]);
    }

    [Fact]
    public async Task Streaming_SeveralRoundsAndCalls_UpdatesCarryNameIndexAndRound()
    {
        var (kernel, _) = ClockPlugin.Kernel();
        var engine = new ScriptedEngine(
            Script.Calls(("c1", "Clock-Time", """{"city":"Rome"}"""), ("c2", "Clock-Add", """{"a":1,"b":2}""")),
            Script.Calls(("c3", "Clock-Facts", "{}")),
            Script.Text("done"));

        var (_, items) = await RunAsync(true, engine, Ask(), Auto, kernel);

        items.OfType<StreamingFunctionCallUpdateContent>().Select(u => (u.CallId, u.Name, u.Arguments, u.FunctionCallIndex, u.RequestIndex)).ShouldBe([
            ("c1", "Clock-Time", """{"city":"Rome"}""", 0, 0),
            ("c2", "Clock-Add", """{"a":1,"b":2}""", 1, 0),
            ("c3", "Clock-Facts", "{}", 0, 1)]);
    }

    [Fact]
    public async Task Streaming_AutoInvoke_NeverEndsOnAToolPart()
    {
        var (kernel, _) = ClockPlugin.Kernel();
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Facts", "{}")), Script.Text("done"));

        var parts = await new LogQuantChatCompletionService(engine).GetStreamingChatMessageContentsAsync(Ask(), Auto, kernel).ToListAsync();

        parts.ShouldAllBe(p => p.Role == AuthorRole.Assistant);
        parts.Count(p => p.Metadata!["Usage"] is not null).ShouldBe(2);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Auto_FunctionFails_ErrorGoesToTheModel(bool streaming)
    {
        var (kernel, _) = ClockPlugin.Kernel();
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Fail", "{}")), Script.Text("Sorry."));

        var (text, _) = await RunAsync(streaming, engine, Ask(), Auto, kernel);

        text.ShouldBe("Sorry.");
        engine.Requests[1].Turns[^1].Content.ShouldBe("Error: the function failed: the clock is broken");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Auto_InvalidArguments_ErrorGoesToTheModelAndNothingIsCalled(bool streaming)
    {
        var (kernel, plugin) = ClockPlugin.Kernel();
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Time", "{\"city\":")), Script.Text("Sorry."));

        await RunAsync(streaming, engine, Ask(), Auto, kernel);

        plugin.Calls.ShouldBeEmpty();
        engine.Requests[1].Turns[^1].Content.ShouldStartWith("Error:");
        engine.Requests[1].Turns[^2].ToolCalls[0].ArgumentsJson.ShouldBe("{\"city\":");
    }

    [Fact]
    public async Task Auto_FunctionNotOfferedThoughInTheKernel_IsNotCalled()
    {
        var (kernel, plugin) = ClockPlugin.Kernel();
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Add", """{"a":1,"b":2}""")), Script.Text("Sorry."));
        var settings = new LogQuantPromptExecutionSettings
        {
            FunctionChoiceBehavior = FunctionChoiceBehavior.Auto([kernel.Plugins.GetFunction("Clock", "Time")]),
        };

        await RunAsync(false, engine, Ask(), settings, kernel);

        plugin.Calls.ShouldBeEmpty();
        engine.Requests[0].Tools.ShouldHaveSingleItem().Name.ShouldBe("Clock-Time");
        engine.Requests[1].Turns[^1].Content.ShouldContain("there is no function 'Clock-Add'");
    }

    [Theory]
    [InlineData("Clock-Facts", """{"city":"Zürich","hours":[1,2]}""")]
    [InlineData("Kinds-Message", "from a message")]
    [InlineData("Kinds-Nothing", "")]
    [InlineData("Kinds-Json", "plain")]
    public async Task Auto_ResultOfAnyType_IsReadableText(string function, string expected)
    {
        var (kernel, _) = ClockPlugin.Kernel();
        kernel.Plugins.AddFromFunctions("Kinds", [
            KernelFunctionFactory.CreateFromMethod(() => new ChatMessageContent(AuthorRole.Assistant, "from a message"), "Message"),
            KernelFunctionFactory.CreateFromMethod(() => { }, "Nothing"),
            KernelFunctionFactory.CreateFromMethod(() => System.Text.Json.JsonSerializer.SerializeToElement("plain"), "Json")]);
        var engine = new ScriptedEngine(Script.Calls(("c1", function, "{}")), Script.Text("ok"));

        await RunAsync(false, engine, Ask(), Auto, kernel);

        engine.Requests[1].Turns[^1].Content.ShouldBe(expected);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Manual_AutoInvokeOff_CallsAreReturnedAndNothingIsAdded(bool streaming)
    {
        var (kernel, plugin) = ClockPlugin.Kernel();
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Time", """{"city":"Rome"}"""), ("c2", "Clock-Facts", "{}")));
        var history = Ask();
        var settings = new LogQuantPromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(autoInvoke: false) };
        IReadOnlyList<FunctionCallContent> calls;

        if (streaming)
        {
            var builder = new FunctionCallContentBuilder();
            await foreach (var part in new LogQuantChatCompletionService(engine).GetStreamingChatMessageContentsAsync(history, settings, kernel))
                builder.Append(part);
            calls = builder.Build();
        }
        else
        {
            var message = await new LogQuantChatCompletionService(engine).GetChatMessageContentAsync(history, settings, kernel);
            message.Content.ShouldBeNull();
            message.Metadata!["FinishReason"].ShouldBe("tool_calls");
            calls = [.. FunctionCallContent.GetFunctionCalls(message)];
        }

        calls.Select(c => (c.Id, c.PluginName, c.FunctionName)).ShouldBe([("c1", "Clock", "Time"), ("c2", "Clock", "Facts")]);
        calls[0].Arguments!["city"].ShouldBe("Rome");
        history.Count.ShouldBe(1);
        plugin.Calls.ShouldBeEmpty();
    }

    [Fact]
    public async Task Manual_ResultsAddedByTheCaller_ReachTheEngine()
    {
        var (kernel, _) = ClockPlugin.Kernel();
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Add", """{"a": 1, "b": 2}""")), Script.Text("3"));
        var service = new LogQuantChatCompletionService(engine);
        var history = Ask();
        var settings = new LogQuantPromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(autoInvoke: false) };

        var message = await service.GetChatMessageContentAsync(history, settings, kernel);
        history.Add(message);
        foreach (var call in FunctionCallContent.GetFunctionCalls(message))
            history.Add((await call.InvokeAsync(kernel)).ToChatMessage());
        var answer = await service.GetChatMessageContentAsync(history, settings, kernel);

        answer.Content.ShouldBe("3");
        var turns = engine.Requests[1].Turns;
        turns[1].ToolCalls[0].ShouldBe(new ToolCall("c1", "Clock-Add", """{"a": 1, "b": 2}"""));
        (turns[2].ToolCallId, turns[2].Content).ShouldBe(("c1", "3"));
    }

    [Fact]
    public async Task None_FunctionsInKernel_AreShownButCannotBeCalled()
    {
        var (kernel, _) = ClockPlugin.Kernel();
        var engine = new ScriptedEngine(Script.Text("no"));

        await RunAsync(false, engine, Ask(), new LogQuantPromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.None() }, kernel);

        engine.Requests[0].Tools.Count.ShouldBe(4);
        engine.Requests[0].ToolChoice.ShouldBe(ToolChoice.None);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Required_Called_SecondRoundShowsTheSameToolsButAllowsNoCall(bool streaming)
    {
        var (kernel, plugin) = ClockPlugin.Kernel();
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Time", """{"city":"Rome"}""")), Script.Text("Noon."));

        var (text, _) = await RunAsync(streaming, engine, Ask(), new LogQuantPromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Required() }, kernel);

        text.ShouldBe("Noon.");
        plugin.Calls.Count.ShouldBe(1);
        engine.Requests.Select(r => r.ToolChoice).ShouldBe([ToolChoice.Required, ToolChoice.None]);
        engine.Requests[1].Tools.Select(t => t.Name).ShouldBe(engine.Requests[0].Tools.Select(t => t.Name));
    }

    [Fact]
    public async Task Required_CalledAgainThoughNothingIsOffered_ModelIsToldToAnswer()
    {
        var (kernel, plugin) = ClockPlugin.Kernel();
        var call = Script.Calls(("c1", "Clock-Time", """{"city":"Rome"}"""));
        var engine = new ScriptedEngine(call, call, Script.Text("Noon."));
        var settings = new LogQuantPromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Required() };

        var (text, _) = await RunAsync(false, engine, Ask(), settings, kernel);

        text.ShouldBe("Noon.");
        plugin.Calls.Count.ShouldBe(1);
        engine.Requests[2].Turns[^1].Content.ShouldContain("Answer with what is known");
    }

    [Fact]
    public async Task Required_NamedFunctions_OnlyTheyAreOffered()
    {
        var (kernel, _) = ClockPlugin.Kernel();
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Add", """{"a":1,"b":2}""")), Script.Text("3"));
        var settings = new LogQuantPromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Required([kernel.Plugins["Clock"]["Add"]]) };

        await RunAsync(false, engine, Ask(), settings, kernel);

        engine.Requests[0].Tools.ShouldHaveSingleItem().Name.ShouldBe("Clock-Add");
        engine.Requests[0].ToolChoice.ShouldBe(ToolChoice.Required);
    }

    [Fact]
    public async Task Auto_ParallelCallsNotAllowed_EngineIsToldSo()
    {
        var (kernel, _) = ClockPlugin.Kernel();
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Time", """{"city":"Rome"}""")), Script.Text("Noon."));
        var settings = new LogQuantPromptExecutionSettings
        {
            FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(options: new() { AllowParallelCalls = false }),
        };

        await RunAsync(false, engine, Ask(), settings, kernel);

        engine.Requests.ShouldAllBe(r => !r.AllowParallelToolCalls);
    }

    [Fact]
    public async Task Auto_ArgumentTypesRetained_AreJsonElements()
    {
        var (kernel, _) = ClockPlugin.Kernel();
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Add", """{"a":1,"b":2}""")), Script.Text("3"));
        var history = Ask();
        var settings = new LogQuantPromptExecutionSettings
        {
            FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(options: new() { RetainArgumentTypes = true }),
        };

        await RunAsync(false, engine, history, settings, kernel);

        history[1].Items.OfType<FunctionCallContent>().Single().Arguments!["a"].ShouldBeOfType<System.Text.Json.JsonElement>();
        engine.Requests[1].Turns[^1].Content.ShouldBe("3");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Auto_ModelNeverStopsCalling_LastRoundAllowsNoCall(bool streaming)
    {
        var (kernel, plugin) = ClockPlugin.Kernel();
        var scripts = Enumerable.Range(0, 128).Select(i => Script.Calls(($"c{i}", "Clock-Time", """{"city":"Rome"}"""))).Append(Script.Text("enough"));
        var engine = new ScriptedEngine([.. scripts]);

        var (text, _) = await RunAsync(streaming, engine, Ask(), Auto, kernel);

        text.ShouldBe("enough");
        plugin.Calls.Count.ShouldBe(128);
        engine.Requests.Count.ShouldBe(129);
        engine.Requests[127].ToolChoice.ShouldBe(ToolChoice.Auto);
        engine.Requests[128].ToolChoice.ShouldBe(ToolChoice.None);
        engine.Requests[128].Tools.Count.ShouldBe(4);
    }

    [Fact]
    public async Task Auto_NoKernel_IsAnError() =>
        await Should.ThrowAsync<KernelException>(() => RunAsync(false, new ScriptedEngine(), Ask(), Auto, null));

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Cancellation_InAFunction_EndsTheLoop(bool streaming)
    {
        using var cancellation = new CancellationTokenSource();
        var (kernel, _) = ClockPlugin.Kernel();
        kernel.Plugins.AddFromFunctions("Slow", [KernelFunctionFactory.CreateFromMethod(async (CancellationToken ct) =>
        {
            await cancellation.CancelAsync();
            await Task.Delay(Timeout.Infinite, ct);
        }, "Wait")]);
        var engine = new ScriptedEngine(Script.Calls(("c1", "Slow-Wait", "{}")), Script.Text("never"));

        await Should.ThrowAsync<OperationCanceledException>(() => RunAsync(streaming, engine, Ask(), Auto, kernel, cancellation.Token));

        engine.Requests.Count.ShouldBe(1);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Cancellation_AmongSeveralCalls_EachHasAResultSoThatTheHistoryCanGoOn(bool concurrent)
    {
        using var cancellation = new CancellationTokenSource();
        var (kernel, _) = ClockPlugin.Kernel();
        kernel.Plugins.AddFromFunctions("Slow", [KernelFunctionFactory.CreateFromMethod(async (CancellationToken ct) =>
        {
            await cancellation.CancelAsync();
            await Task.Delay(Timeout.Infinite, ct);
        }, "Wait")]);
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Time", """{"city":"Rome"}"""), ("c2", "Slow-Wait", "{}"), ("c3", "Clock-Facts", "{}")), Script.Text("Noon."));
        var settings = new LogQuantPromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(options: new() { AllowConcurrentInvocation = concurrent }) };
        var history = Ask();

        await Should.ThrowAsync<OperationCanceledException>(() => RunAsync(false, engine, history, settings, kernel, cancellation.Token));

        history.Select(m => m.Role).ShouldBe([AuthorRole.User, AuthorRole.Assistant, AuthorRole.Tool, AuthorRole.Tool, AuthorRole.Tool]);
        history.Skip(2).Select(m => m.Items.OfType<FunctionResultContent>().Single().CallId).ShouldBe(["c1", "c2", "c3"]);
        history.Skip(2).Select(m => m.Content).ShouldBe(["noon in Rome", "Error: the call was cancelled.", "Error: the call was cancelled."]);
        (await RunAsync(false, engine, history, settings, kernel)).Text.ShouldBe("Noon.");
    }

    [Fact]
    public async Task Cancellation_OfTheFunctionsOwn_IsItsResultAndNotTheEnd()
    {
        var (kernel, _) = ClockPlugin.Kernel();
        kernel.Plugins.AddFromFunctions("Slow", [KernelFunctionFactory.CreateFromMethod(string () => throw new TaskCanceledException("timed out"), "Wait")]);
        var engine = new ScriptedEngine(Script.Calls(("c1", "Slow-Wait", "{}")), Script.Text("Sorry."));

        var (text, _) = await RunAsync(false, engine, Ask(), Auto, kernel);

        text.ShouldBe("Sorry.");
    }

    [Fact]
    public async Task NestedAutoInvocation_InAFunction_HasItsOwnRounds()
    {
        var inner = new ScriptedEngine(Script.Text("inner answer"));
        var (kernel, _) = ClockPlugin.Kernel();
        kernel.Plugins.AddFromFunctions("Ask", [KernelFunctionFactory.CreateFromMethod(async (Kernel k) =>
            (await new LogQuantChatCompletionService(inner).GetChatMessageContentAsync(Ask("inner"), Auto, k)).Content, "Expert")]);
        var engine = new ScriptedEngine(Script.Calls(("c1", "Ask-Expert", "{}")), Script.Text("outer"));

        var (text, _) = await RunAsync(false, engine, Ask(), Auto, kernel);

        text.ShouldBe("outer");
        engine.Requests[1].Turns[^1].Content.ShouldBe("inner answer");
        inner.Requests[0].Tools.ShouldNotBeEmpty();
    }

    [Fact]
    public async Task RunawayRecursion_AFunctionThatAsksForItself_IsStopped()
    {
        var depth = 0;
        var (kernel, _) = ClockPlugin.Kernel();
        kernel.Plugins.AddFromFunctions("Ask", [KernelFunctionFactory.CreateFromMethod(async (Kernel k) =>
        {
            depth++;
            var engine = new RecursiveEngine();
            return (await new LogQuantChatCompletionService(engine).GetChatMessageContentAsync(Ask(), Auto, k)).Content;
        }, "Again")]);

        var answer = await new LogQuantChatCompletionService(new RecursiveEngine()).GetChatMessageContentAsync(Ask(), Auto, kernel);

        answer.Content.ShouldBe("enough");
        depth.ShouldBe(128);
    }

    /// <summary>Calls itself as long as it is offered functions and has no result.</summary>
    private sealed class RecursiveEngine : ILlmEngine
    {
        public LlmModelInfo Model { get; } = new ScriptedEngine().Model;

        public async IAsyncEnumerable<GenerationUpdate> GenerateAsync(
            GenerationRequest request, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken = default)
        {
            await Task.CompletedTask;
            var call = request.Tools.Count > 0 && request.Turns[^1].Role == TurnRole.User;
            foreach (var update in call ? Script.Calls(("c", "Ask-Again", "{}")) : Script.Text("enough"))
                yield return update;
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
