using System.Text.Json.Nodes;
using Agents.Plugins;
using DemoModel.Dialogues;
using LocalLlm;
using Microsoft.Agents.AI;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using FunctionCallContent = Microsoft.SemanticKernel.FunctionCallContent;
using FunctionResultContent = Microsoft.SemanticKernel.FunctionResultContent;

namespace SK.Connectors.LogQuant.Tests.RealEngine;

/// <summary>
/// The model that ships, with the tools that it was trained on, under everything that users call. How often it is right is the model
/// card's matter; here it must be so often enough that a broken template, parser or loop would show.
/// </summary>
public sealed class DemoModelTests
{
    private static readonly DialogueOptions ToolTurnsOnly = new() { Tell = 0, SmallTalk = 0, Recall = 0, Unknown = 0, SeveralCalls = 0.1 };

    private static readonly LogQuantPromptExecutionSettings Greedy = new()
    {
        Temperature = 0,
        MaxTokens = 200,
        FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(),
    };

    [Fact]
    public async Task Chat_TurnsThatNeedTools_AreCalledAndAnsweredFromTheirResults()
    {
        await using var services = Services(out var kernel);
        var script = new DialogueGenerator(1, Split.Test, ToolTurnsOnly).Take(6);

        var history = await PlayAsync(kernel, script, streaming: true);

        var calls = history.SelectMany(FunctionCallContent.GetFunctionCalls).ToList();
        var wanted = script.SelectMany(t => t.Calls).ToList();
        MostOf(wanted.Select(c => c.Name), calls.Select(c => $"{c.PluginName}-{c.FunctionName}"));
        calls.Select(Normal).Intersect(wanted.Select(Normal)).ShouldNotBeEmpty("a call with the right arguments");
        history.Where(m => m.Role == AuthorRole.Tool).Select(m => m.Items.OfType<FunctionResultContent>().Single().CallId)
            .ShouldBe(calls.Select(c => c.Id));
        history.Where(m => m.Role == AuthorRole.Assistant).Select(m => m.Content).Intersect(script.Select(t => t.Answer))
            .ShouldNotBeEmpty("an answer from a call's result");
    }

    [Fact]
    public async Task Chat_StreamedAndWhole_AreTheSameConversation()
    {
        await using var first = Services(out var streamed);
        await using var second = Services(out var whole);
        var script = new DialogueGenerator(2, Split.Test, ToolTurnsOnly).Take(3);

        var one = await PlayAsync(streamed, script, streaming: true);
        var other = await PlayAsync(whole, script, streaming: false);

        one.Select(m => (m.Role.Label, m.Content ?? "")).ShouldBe(other.Select(m => (m.Role.Label, m.Content ?? "")));
    }

    [Fact]
    public async Task Chat_LaterTurns_ContinueTheCache()
    {
        await using var services = Services(out var kernel);

        var history = await PlayAsync(kernel, new DialogueGenerator(3, Split.Test, ToolTurnsOnly).Take(2), streaming: false);

        var rounds = history.Where(m => m.Role == AuthorRole.Assistant).Select(m => m.Metadata!).ToList();
        rounds[0][LogQuantMetadata.CachedPromptTokens].ShouldBe(0);
        rounds.Skip(1).ShouldAllBe(m => (int)m[LogQuantMetadata.CachedPromptTokens]! > 0);
    }

    [Fact]
    public async Task InvokePrompt_TwoThingsAsked_TwoCallsInOneMessage()
    {
        await using var services = Services(out var kernel);
        var script = new DialogueGenerator(4, Split.Test, ToolTurnsOnly with { SeveralCalls = 1 }).Take(40).Where(t => t.Rounds is [{ Count: 2 }]).Take(4).ToList();

        var calls = new List<int>();
        foreach (var turn in script)
            calls.Add(FunctionCallContent.GetFunctionCalls((await PlayAsync(kernel, [turn], streaming: true))[2]).Count());

        calls.ShouldContain(2);
    }

    [Fact]
    public async Task Agent_TurnsThatNeedTools_AreCalledAndAnswered()
    {
        await using var services = new ServiceCollection().AddLogQuantChatClient(RealModels.RequireDemoModel()).BuildServiceProvider();
        Kernel kernel = new();
        kernel.OpenWorkshop();
        var called = new List<string>();
        var tools = DemoTools.Workshop.Select(t =>
        {
            var parts = t.Name.Split('-');
            return (AITool)new Renamed(kernel.Plugins.GetFunction(parts[0], parts[1]).WithKernel(kernel), t.Name, called);
        });
        var agent = services.GetRequiredService<IChatClient>().AsAIAgent(new ChatClientAgentOptions
        {
            ChatOptions = new() { Instructions = DemoTools.SystemPrompt, Tools = [.. tools], Temperature = 0, MaxOutputTokens = 200 },
        });
        var session = await agent.CreateSessionAsync();
        var script = new DialogueGenerator(5, Split.Test, ToolTurnsOnly).Take(4);

        var answers = new List<string>();
        foreach (var turn in script)
            answers.Add((await agent.RunAsync(turn.UserText, session)).Text);

        MostOf(script.SelectMany(t => t.Calls).Select(c => c.Name), called);
        answers.Intersect(script.Select(t => t.Answer)).ShouldNotBeEmpty("an answer from a call's result");
    }

    private static ServiceProvider Services(out Kernel kernel)
    {
        kernel = Kernel.CreateBuilder().AddLogQuantChatCompletion(RealModels.RequireDemoModel()).Build();
        kernel.OpenWorkshop();
        return (ServiceProvider)kernel.Services;
    }

    private static async Task<ChatHistory> PlayAsync(Kernel kernel, IEnumerable<ScriptedTurn> script, bool streaming)
    {
        var chat = kernel.GetRequiredService<IChatCompletionService>();
        var history = new ChatHistory(DemoTools.SystemPrompt);
        foreach (var turn in script)
        {
            history.AddUserMessage(turn.UserText);
            if (!streaming)
            {
                history.Add(await chat.GetChatMessageContentAsync(history, Greedy, kernel));
                continue;
            }
            var answer = "";
            await foreach (var part in chat.GetStreamingChatMessageContentsAsync(history, Greedy, kernel))
                answer = part.Metadata![LogQuantMetadata.FinishReason] is "tool_calls" ? "" : answer + part.Content;
            history.AddAssistantMessage(answer);
        }
        return history;
    }

    private static void MostOf(IEnumerable<string> wanted, IEnumerable<string> made)
    {
        var left = made.ToList();
        var all = wanted.ToList();
        all.Count(left.Remove).ShouldBeGreaterThan(all.Count / 2, $"wanted {string.Join(", ", all)}; made {string.Join(", ", made)}");
    }

    private static string Normal(FunctionCallContent call) => $"{call.PluginName}-{call.FunctionName}"
        + string.Concat((call.Arguments ?? []).OrderBy(a => a.Key, StringComparer.Ordinal).Select(a => $" {a.Key}={a.Value}"));

    private static string Normal(ScriptedCall call) => call.Name
        + string.Concat(JsonNode.Parse(call.ArgumentsJson)!.AsObject().OrderBy(a => a.Key, StringComparer.Ordinal).Select(a => $" {a.Key}={a.Value}"));

    /// <summary>A kernel function under the name that the model knows.</summary>
    private sealed class Renamed(AIFunction inner, string name, List<string> called) : DelegatingAIFunction(inner)
    {
        public override string Name => name;

        protected override ValueTask<object?> InvokeCoreAsync(AIFunctionArguments arguments, CancellationToken cancellationToken)
        {
            called.Add(name);
            return base.InvokeCoreAsync(arguments, cancellationToken);
        }
    }
}
