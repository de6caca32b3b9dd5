using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using Shouldly;
using Xunit;

namespace SK.Connectors.LogQuant.Tests.ToolLoop;

public sealed class FilterTests
{
    private static readonly LogQuantPromptExecutionSettings Auto = new() { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto() };

    private static ChatHistory Ask() => [new ChatMessageContent(AuthorRole.User, "What time is it?")];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Filter_Always_SeesTheCall(bool streaming)
    {
        var seen = new List<string>();
        AutoFunctionInvocationContext? last = null;
        var (kernel, _) = ClockPlugin.Kernel(
            new Filter(async (context, next) =>
            {
                seen.Add($"outer {context.Function.Name} {context.RequestSequenceIndex} {context.FunctionSequenceIndex}/{context.FunctionCount} {context.ToolCallId}");
                last = context;
                await next(context);
                seen.Add($"outer after {context.Result}");
            }),
            new Filter(async (context, next) =>
            {
                seen.Add("inner");
                await next(context);
            }));
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Time", """{"city":"Rome"}""")), Script.Text("Noon."));
        var history = Ask();

        await RunAsync(streaming, engine, history, kernel);

        seen.ShouldBe(["outer Time 0 0/1 c1", "inner", "outer after noon in Rome"]);
        last!.ExecutionSettings.ShouldBeOfType<LogQuantPromptExecutionSettings>();
        last.IsStreaming.ShouldBe(streaming);
        last.ChatHistory.ShouldBeSameAs(history);
        last.ChatMessageContent.ShouldBeSameAs(history[1]);
        last.Arguments!["city"].ShouldBe("Rome");
        last.Kernel.ShouldBeSameAs(kernel);
    }

    [Fact]
    public async Task Filter_ForeignSettings_StillSeesOurs()
    {
        PromptExecutionSettings? seen = null;
        var (kernel, _) = ClockPlugin.Kernel(new Filter((context, next) =>
        {
            seen = context.ExecutionSettings;
            return next(context);
        }));
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Facts", "{}")), Script.Text("ok"));

        await new LogQuantChatCompletionService(engine).GetChatMessageContentsAsync(
            Ask(), new PromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto() }, kernel);

        seen.ShouldBeOfType<LogQuantPromptExecutionSettings>();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Filter_ReplacesTheResult_ModelSeesTheNewOne(bool streaming)
    {
        var (kernel, _) = ClockPlugin.Kernel(new Filter(async (context, next) =>
        {
            await next(context);
            context.Result = new FunctionResult(context.Result, "midnight");
        }));
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Time", """{"city":"Rome"}""")), Script.Text("ok"));

        await RunAsync(streaming, engine, Ask(), kernel);

        engine.Requests[1].Turns[^1].Content.ShouldBe("midnight");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Filter_TerminatesAfterTheFirstCall_LoopEndsOnItsResult(bool streaming)
    {
        var (kernel, plugin) = ClockPlugin.Kernel(new Filter(async (context, next) =>
        {
            await next(context);
            context.Terminate = true;
        }));
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Time", """{"city":"Rome"}"""), ("c2", "Clock-Time", """{"city":"Oslo"}""")));
        var history = Ask();

        var last = await RunAsync(streaming, engine, history, kernel);

        last.ShouldBe((AuthorRole.Tool, "noon in Rome"));
        plugin.Calls.ShouldBe(["Time(Rome)"]);
        history.Select(m => m.Role).ShouldBe([AuthorRole.User, AuthorRole.Assistant, AuthorRole.Tool]);
        engine.Requests.Count.ShouldBe(1);
    }

    [Fact]
    public async Task Filter_TerminatesAStream_UsageIsReportedOnce()
    {
        var (kernel, _) = ClockPlugin.Kernel(new Filter(async (context, next) =>
        {
            await next(context);
            context.Terminate = true;
        }));
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Facts", "{}")));

        var parts = await new LogQuantChatCompletionService(engine).GetStreamingChatMessageContentsAsync(Ask(), Auto, kernel).ToListAsync();

        parts.Count(p => p.Metadata!["Usage"] is not null).ShouldBe(1);
        parts[^1].Role.ShouldBe(AuthorRole.Tool);
        parts[^1].Metadata!["ModelId"].ShouldBe("scripted");
    }

    [Fact]
    public async Task Filter_TerminatesBeforeTheCall_NothingIsCalled()
    {
        var (kernel, plugin) = ClockPlugin.Kernel(new Filter((context, next) =>
        {
            context.Terminate = true;
            return next(context);
        }));
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Time", """{"city":"Rome"}""")));

        var last = await RunAsync(false, engine, Ask(), kernel);

        last.Role.ShouldBe(AuthorRole.Tool);
        plugin.Calls.ShouldBeEmpty();
    }

    [Fact]
    public async Task Filter_TerminatesAmongConcurrentCalls_AllResultsAreKept()
    {
        var (kernel, plugin) = ClockPlugin.Kernel(new Filter(async (context, next) =>
        {
            await next(context);
            context.Terminate = context.FunctionSequenceIndex == 0;
        }));
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Time", """{"city":"Rome"}"""), ("c2", "Clock-Time", """{"city":"Oslo"}""")));
        var history = Ask();
        var settings = new LogQuantPromptExecutionSettings
        {
            FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(options: new() { AllowConcurrentInvocation = true }),
        };

        await new LogQuantChatCompletionService(engine).GetChatMessageContentsAsync(history, settings, kernel);

        plugin.Calls.Count.ShouldBe(2);
        history.Count(m => m.Role == AuthorRole.Tool).ShouldBe(2);
        engine.Requests.Count.ShouldBe(1);
    }

    [Fact]
    public async Task Filter_Fails_ErrorGoesToTheModel()
    {
        var (kernel, _) = ClockPlugin.Kernel(new Filter((_, _) => throw new UnauthorizedAccessException("not allowed")));
        var engine = new ScriptedEngine(Script.Calls(("c1", "Clock-Time", """{"city":"Rome"}""")), Script.Text("Sorry."));

        await RunAsync(false, engine, Ask(), kernel);

        engine.Requests[1].Turns[^1].Content.ShouldContain("not allowed");
    }

    private static async Task<(AuthorRole? Role, string? Content)> RunAsync(bool streaming, ScriptedEngine engine, ChatHistory history, Kernel kernel)
    {
        var service = new LogQuantChatCompletionService(engine);
        if (streaming)
        {
            var parts = await service.GetStreamingChatMessageContentsAsync(history, Auto, kernel).ToListAsync();
            return (parts[^1].Role, parts[^1].Content);
        }
        var message = await service.GetChatMessageContentAsync(history, Auto, kernel);
        return (message.Role, message.Content);
    }
}
