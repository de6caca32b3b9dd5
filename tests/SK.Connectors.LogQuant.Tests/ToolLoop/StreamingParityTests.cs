using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using Shouldly;
using Xunit;
using FunctionCallContent = Microsoft.SemanticKernel.FunctionCallContent;
using FunctionResultContent = Microsoft.SemanticKernel.FunctionResultContent;

namespace SK.Connectors.LogQuant.Tests.ToolLoop;

/// <summary>A stream, joined, is the message that the same request gives as a whole, and the history after both is the same.</summary>
public sealed class StreamingParityTests
{
    private static ChatHistory Ask() => [new ChatMessageContent(AuthorRole.User, "What time is it?")];

    private static GenerationUpdate[] Thinking(params GenerationUpdate[] updates) =>
        [new ReasoningDelta("Hm, "), new ReasoningDelta("so."), .. updates];

    private static readonly GenerationUpdate[] TwoCalls =
        Script.Calls(("c1", "Clock-Time", """{ "city": "Rome" }"""), ("c2", "Clock-Add", """{"a":1,"b":2}"""));

    public static TheoryData<string, GenerationUpdate[][]> Answers => new()
    {
        { "text", [Script.Text("It ", "is ", "noon.")] },
        { "nothing", [Script.Text()] },
        { "reasoning", [Thinking(Script.Text("Noon."))] },
        { "cut short", [[new TextDelta("It is"), new GenerationCompleted(LocalLlm.FinishReason.Length, Script.Usage)]] },
        { "calls", [TwoCalls, Script.Text("Noon, ", "and 3.")] },
        { "text before calls", [Thinking([new TextDelta("Let me "), new TextDelta("see."), .. TwoCalls]), Script.Text("Noon.")] },
        { "rounds", [TwoCalls, Script.Calls(("c3", "Clock-Fail", "{}")), Thinking(Script.Text("No."))] },
    };

    [Theory]
    [MemberData(nameof(Answers), DisableDiscoveryEnumeration = true)]
    public async Task AutoInvoke_Stream_IsTheMessageInParts(string name, GenerationUpdate[][] scripts)
    {
        var settings = new LogQuantPromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto() };
        var (whole, streamed) = (Ask(), Ask());

        var message = await new LogQuantChatCompletionService(new ScriptedEngine(scripts))
            .GetChatMessageContentAsync(whole, settings, ClockPlugin.Kernel().Kernel);
        var parts = await new LogQuantChatCompletionService(new ScriptedEngine(scripts))
            .GetStreamingChatMessageContentsAsync(streamed, settings, ClockPlugin.Kernel().Kernel).ToListAsync();

        streamed.Select(Describe).ShouldBe(whole.Select(Describe), name);
        var last = parts.Skip(parts[..^1].FindLastIndex(p => p.Metadata!["FinishReason"] is not null) + 1).ToList();
        string.Concat(last.Select(p => p.Content)).ShouldBe(message.Content ?? "", name);
        string.Concat(last.SelectMany(p => p.Items).OfType<StreamingReasoningContent>().Select(r => r.ToString()))
            .ShouldBe(string.Concat(message.Items.OfType<ReasoningContent>().Select(r => r.Text)), name);
        parts.ShouldAllBe(p => p.Role == AuthorRole.Assistant && p.ModelId == message.ModelId && p.ChoiceIndex == 0);
        var (ended, metadata) = (parts[^1].Metadata!, message.Metadata!);
        ended.Keys.ShouldBe(metadata.Keys, ignoreOrder: true);
        ended["FinishReason"].ShouldBe(metadata["FinishReason"]);
        ((UsageDetails)ended["Usage"]!).TotalTokenCount.ShouldBe(((UsageDetails)metadata["Usage"]!).TotalTokenCount);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Manual_StreamThroughTheBuilder_GivesTheCallsOfTheMessage(bool parallel)
    {
        var settings = new LogQuantPromptExecutionSettings
        {
            FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(autoInvoke: false, options: new() { AllowParallelCalls = parallel }),
        };
        GenerationUpdate[] script = Thinking([new TextDelta("Let me see."), .. TwoCalls]);

        var message = await new LogQuantChatCompletionService(new ScriptedEngine(script))
            .GetChatMessageContentAsync(Ask(), settings, ClockPlugin.Kernel().Kernel);
        var builder = new FunctionCallContentBuilder();
        var text = "";
        await foreach (var part in new LogQuantChatCompletionService(new ScriptedEngine(script))
            .GetStreamingChatMessageContentsAsync(Ask(), settings, ClockPlugin.Kernel().Kernel))
        {
            text += part.Content;
            builder.Append(part);
        }

        text.ShouldBe(message.Content);
        builder.Build().Select(Describe).ShouldBe(FunctionCallContent.GetFunctionCalls(message).Select(Describe));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Stream_PartOfTheNextRound_ComesAfterCallsAndResultsAreInTheHistory(bool concurrent)
    {
        var settings = new LogQuantPromptExecutionSettings
        {
            FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(options: new() { AllowConcurrentInvocation = concurrent }),
        };
        var engine = new ScriptedEngine(TwoCalls, Script.Text("Noon."));
        var history = Ask();
        var countAt = new Dictionary<string, int>();

        await foreach (var part in new LogQuantChatCompletionService(engine)
            .GetStreamingChatMessageContentsAsync(history, settings, ClockPlugin.Kernel().Kernel))
        {
            var isCall = part.Items.OfType<StreamingFunctionCallUpdateContent>().Any();
            countAt[part.Content is { Length: > 0 } text ? text : isCall ? "call" : "end"] = history.Count;
        }

        // Agents tell of each new message of the history as soon as the next part comes.
        (countAt["call"], countAt["Noon."]).ShouldBe((1, 4));
    }

    private static string Describe(ChatMessageContent message) =>
        $"{message.Role} '{message.Content}' {message.Metadata?.GetValueOrDefault("FinishReason")} "
        + string.Join(", ", message.Items.Select(Describe));

    private static string Describe(KernelContent item) => item switch
    {
        FunctionCallContent call => $"{call.Id} {call.PluginName}.{call.FunctionName}"
            + $"({string.Join(", ", call.Arguments!.Select(a => $"{a.Key}: {a.Value}"))}) {call.Exception}",
        FunctionResultContent result => $"{result.CallId} {result.PluginName}.{result.FunctionName} = {result.Result}",
        _ => $"{item.GetType().Name} '{item}'",
    };
}
